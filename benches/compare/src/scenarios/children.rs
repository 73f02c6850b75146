//! Child processes: nanoseconds from the start of a program to the notice of its end.
//!
//! Each child is `/bin/true`. The time includes fork, exec and exit, which are the kernel's, so the
//! second table has the CPU time of the parent alone. The peer `processes` waits by waitpid(2),
//! which is the least that a loop could cost.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::table::{Base, Table};

/// Children that run at once.
const AT_ONCE: [usize; 2] = [1, 100];

pub const SCENARIO: Scenario =
    Scenario { name: "children", about: "child processes: from their start to the notice", run };

fn run(comparison: &mut Comparison) {
    let titles = ["Start to notice of the end", "CPU time of the parent for a child"];
    for (index, title) in titles.into_iter().enumerate() {
        let mut table = Table::new(title, "ns each", Base::Peer("processes"));
        for at_once in AT_ONCE {
            let results = comparison.measure_for_time("children", &[at_once], 200);
            table.add(format!("{at_once} at once"), &results, index);
        }
        comparison.add(table);
    }
}
