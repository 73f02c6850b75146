//! Callbacks for the next tick: CPU nanoseconds for each.
//!
//! * `chain`: a callback that queues its successor: one callback a tick, and each tick asks the
//!   selector. Where callbacks are tasks, it is a task that spawns its successor; their schedulers
//!   ask the selector now and then.
//! * `batch`: a thousand callbacks that have captured a number are queued and run in one tick.

use super::Scenario;
use crate::contest::Contest;
use crate::sheet::{Headline, RAW, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "soon", about: "callbacks for the next tick: a chain, batches", run };

fn run(contest: &mut Contest) {
    let mut sheet = Sheet::new("Callbacks for the next tick", "ns CPU each", RAW);
    sheet.headline = Headline::Each("call_soon");
    for scenario in ["chain", "batch"] {
        sheet.add(scenario, &contest.race_for_time(scenario, &[], 1000), 0);
    }
    contest.add(sheet);
}
