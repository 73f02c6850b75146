//! Callbacks for the next tick: CPU nanoseconds for each.
//!
//! * `chain`: a callback queues its successor. So each tick calls the selector and runs one
//!   callback. In peers with tasks, a task spawns its successor; their schedulers call the selector
//!   less often.
//! * `batch`: a thousand callbacks, each with a captured number, are queued and run in one tick.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::table::{Headline, RAW, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "soon", about: "callbacks for the next tick: a chain, batches", run };

fn run(comparison: &mut Comparison) {
    let mut table = Table::new("Callbacks for the next tick", "ns CPU each", RAW);
    table.headline = Headline::Each("call_soon");
    for scenario in ["chain", "batch"] {
        table.add(scenario, &comparison.measure_for_time(scenario, &[], 1000), 0);
    }
    comparison.add(table);
}
