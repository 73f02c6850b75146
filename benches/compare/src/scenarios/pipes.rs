//! A chain of pipes, libevent's benchmark: CPU time per event.
//!
//! N pipes are watched, and A of them receive a byte. A callback that reads a byte writes one to
//! the next pipe, up to a number of writes. So few of many fds are ready at a time. An event
//! includes a read(2), a write(2) and a share of a wait. A cell is `N x A`. The bytes travel in
//! step, at least ten pipes apart, so no pipe has two bytes. A peer with tasks has one task for
//! each pipe.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::table::{Headline, RAW, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "pipes", about: "a chain of pipes, libevent's benchmark", run };

const CELLS: &[&[usize]] = &[&[100, 1], &[100, 10], &[1000, 10], &[1000, 100], &[9000, 100]];

fn run(comparison: &mut Comparison) {
    let mut table = Table::new("Chain of pipes", "ns CPU an event", RAW);
    table.headline = Headline::Whole("chain of pipes".to_owned());
    for cell in comparison.options.cells(&CELLS[1..2], CELLS) {
        let results = comparison.measure_for_time("pipes", &cell[..2], 1000);
        table.add(format!("{}x{}", cell[0], cell[1]), &results, 0);
    }
    comparison.add(table);
}
