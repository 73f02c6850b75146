//! Bytes that travel along a chain of pipes, the benchmark of libevent: CPU time for an event.
//!
//! N pipes are watched, A of them get a byte. Whoever reads a byte writes one to the next pipe,
//! until enough are written. So few of many fds are ready at a time. An event is a read(2) and a
//! write(2) besides its share of a wait. A cell is `N x A`; the bytes travel in step, ten pipes
//! apart or more, so that no two are read at once. Where callbacks are tasks there is one for each
//! pipe.

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
