//! Timers: CPU nanoseconds for an operation.
//!
//! * `insert`, `cancel`: a million timers with deadlines in random order, at least an hour ahead,
//!   are inserted. Then they are cancelled in the order of insertion.
//! * `insert + run`: a million timers that become due about a second after the last insertion, in
//!   random order and 200 ns apart on average. The figure includes running all of them.
//! * `re-arm`: 10,000 timers are moved to later deadlines in turn, ten million times in total,
//!   followed by one tick that does not wait.
//!
//! A timer is a callback with a deadline, or a future that was polled; all futures belong to one
//! task. Timers of libuv and libev are in one array.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::table::{Base, Headline, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "timers", about: "timers: insert, cancel, run, re-arm", run };

const MILLION: u64 = 1_000_000;

/// Number of timers that are moved in turn.
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
        "Python has 100,000 timers and calloop 10,000, because its cost of an operation grows with \
         their number. Re-arms are 200,000 in Python and a million in calloop.",
    );
    comparison.add(table);
}

/// Returns the number of re-arms that a peer does within seconds.
fn rearmed(peer: &Peer, count: u64) -> u64 {
    match peer.name {
        "asyncio" | "uvloop" => count / 5,
        "calloop" => count,
        _ => count * 10,
    }
}

/// Returns the number of timers that a peer handles within seconds, at most `count`.
pub fn amount(peer: &Peer, count: u64) -> u64 {
    match peer.name {
        "asyncio" | "uvloop" => count.min(100_000),
        "calloop" => count.min(10_000),
        _ => count,
    }
}
