//! Timers: CPU nanoseconds for an operation.
//!
//! * `insert`, `cancel`: a million timers with deadlines in a random order, an hour and more ahead;
//!   then each of them is cancelled, in the order of their making.
//! * `insert + run`: a million timers that are due when all are inserted, a second later, in a
//!   random order and 200 ns apart on average, until all have run.
//! * `re-arm`: 10,000 timers, pushed back in turn to a later deadline, ten million times in all; then
//!   one turn of the loop that does not wait.
//!
//! A timer is what the peer has: a callback with a deadline, or a future that was polled, all by
//! one task. Those of libuv and libev lie in one piece of memory.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::table::{Base, Headline, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "timers", about: "timers: insert, cancel, run, re-arm", run };

const MILLION: u64 = 1_000_000;

/// How many timers are pushed back in turn.
const IN_TURN: usize = 10_000;

fn run(comparison: &mut Comparison) {
    let count = comparison.options.amount(MILLION);
    let mut table = Table::new("Timers", "ns CPU each", Base::Best);
    table.headline = Headline::Each("timers");
    let results = comparison.measure_amount("timers", &[], 0, |peer| amount(peer, count));
    table.add("insert", &results, 0);
    table.add("cancel", &results, 1);
    let results = comparison.measure_amount("timers_run", &[], 0, |peer| amount(peer, count));
    table.add("insert + run", &results, 0);
    let results =
        comparison.measure_amount("rearm", &[IN_TURN], 10_000, |peer| rearmed(peer, count));
    table.add("re-arm", &results, 0);
    table.note(
        "In Python there were 100,000 timers, and 10,000 of calloop's, whose cost of an operation \
         grows with their number. Those of Python were re-armed 200,000 times, calloop's a million.",
    );
    comparison.add(table);
}

/// How often a peer can re-arm in seconds.
fn rearmed(peer: &Peer, count: u64) -> u64 {
    match peer.name {
        "asyncio" | "uvloop" => count / 5,
        "calloop" => count,
        _ => count * 10,
    }
}

/// How many a peer can have in seconds.
pub fn amount(peer: &Peer, count: u64) -> u64 {
    match peer.name {
        "asyncio" | "uvloop" => count.min(100_000),
        "calloop" => count.min(10_000),
        _ => count,
    }
}
