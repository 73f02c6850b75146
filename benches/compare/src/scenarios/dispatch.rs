//! Always-readable fds: cost of a callback that only counts.
//!
//! N pipes contain a byte that is never read, so each tick reports all of them. The figure is CPU
//! nanoseconds per callback. The kernel's share is large and the same for all. Edge-triggered peers
//! cannot take part.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::table::{Headline, RAW, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "dispatch", about: "always-readable fds: a callback that counts", run };

const CELLS: &[&[usize]] = &[&[10], &[100], &[1000], &[9000]];

fn run(comparison: &mut Comparison) {
    let mut table = Table::new("Always-readable fds", "ns CPU a callback", RAW);
    table.headline = Headline::Whole("always-readable fds".to_owned());
    for cell in comparison.options.cells(&CELLS[1..3], CELLS) {
        let results = comparison.measure_for_time("dispatch", &cell[..1], 1000);
        table.add(format!("{} fds", cell[0]), &results, 0);
    }
    comparison.add(table);
}
