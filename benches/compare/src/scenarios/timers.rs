//! Timers: CPU nanoseconds for an operation.
//!
//! * `insert`, `cancel`: a million timers with deadlines in a random order, an hour and more ahead;
//!   then each of them is cancelled, in the order of their making.
//! * `insert + run`: a million timers that are due when all are inserted, two seconds later, in a
//!   random order and 200 ns apart on average, until all have run.
//! * `re-arm`: 10,000 timers, each pushed back again and again to a later deadline, in turn; then
//!   one turn of the loop that does not wait.
//!
//! A timer is what the peer has: a callback with a deadline, or a future that was polled, all by
//! one task. Those of libuv and libev lie in one piece of memory.

use super::Scenario;
use crate::contest::Contest;
use crate::cores::Place;
use crate::peers::Peer;
use crate::sheet::{Base, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "timers", about: "timers: insert, cancel, run, re-arm", run };

const MILLION: usize = 1_000_000;

fn run(contest: &mut Contest) {
    let count = contest.options.cells(&[&[MILLION]])[0][0] as u64;
    let mut sheet = Sheet::new("Timers", contest.unit("ns CPU each"), Base::Best);
    if contest.options.instructions {
        sheet.add("re-arm", &contest.race_for_time("rearm", &[10_000], 10_000), 0);
        return contest.add(sheet);
    }
    let once = |scenario: &'static str| {
        move |contest: &Contest, peer: &'static Peer| {
            let mut worker = contest.start(peer, scenario, &[], Place::Alone)?;
            let count = amount(peer, count);
            let figures = worker.ask(count)?.into_iter();
            Ok(figures.map(|figure| figure / count as f64).collect())
        }
    };
    let race = contest.race("timers", "", once("timers"));
    sheet.add("insert", &race, 0);
    sheet.add("cancel", &race, 1);
    sheet.add("insert + run", &contest.race("timers_run", "", once("timers_run")), 0);
    sheet.add("re-arm", &contest.race_for_time("rearm", &[10_000], 10_000), 0);
    sheet.note(
        "In Python there were 100,000 timers, and 10,000 of calloop's, whose cost of an operation \
         grows with their number.",
    );
    contest.add(sheet);
}

/// How many a peer can have in seconds.
fn amount(peer: &Peer, count: u64) -> u64 {
    match peer.name {
        "asyncio" | "uvloop" => count.min(100_000),
        "calloop" => count.min(10_000),
        _ => count,
    }
}
