//! What a task costs that does nothing: to make, to switch to, to keep.
//!
//! * `spawn + join`: a million tasks without an `await` are spawned, the handles kept in a list
//!   that has its room before; then the handles are awaited in the order of spawning, which runs
//!   the tasks. CPU nanoseconds for each. All are alive at once, in memory that is new to the
//!   process.
//! * `switch`: a hundred tasks that yield in turn; CPU nanoseconds for each yield.
//! * `waiting`: a million tasks that each wait for a oneshot of their own, after all have begun.
//!   Growth of the process's resident memory for each: the task, the oneshot, and the two lists
//!   that keep the tasks' handles and the oneshots' senders, which have exactly the room they need.
//! * `asleep`: a million tasks that each sleep for an hour; the same, with one list for the
//!   handles.
//!
//! What `waiting` waits for is what a library has: mainspring's promise, tokio's oneshot, asyncio's
//! future, trio's event; the others have the oneshot of the crate `futures`. In `waiting, one
//! oneshot` all in Rust wait for that one.
//!
//! Memory is measured once: it does not jitter. Who cannot have a million has fewer, as [`amount`] tells.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::table::{Base, Headline, Table};

pub const SCENARIO: Scenario = Scenario {
    name: "tasks",
    about: "tasks: spawn and join, switch, memory while they wait or sleep",
    run,
};

const MILLION: u64 = 1_000_000;

/// With which the code gets warm, and not the memory.
pub const FEW: u64 = 1000;

fn run(comparison: &mut Comparison) {
    comparison.with_peers(|peer| peer.name != "processes", run_among);
}

fn run_among(comparison: &mut Comparison) {
    let count = comparison.options.amount(MILLION);
    let mut time = Table::new("Tasks: time", "ns CPU", Base::Best);
    time.headline = Headline::Each("tasks");
    let results = comparison.measure_amount("spawn", &[], FEW, |peer| amount(peer, "spawn", count));
    time.add("spawn + join", &results, 0);
    time.add("switch", &comparison.measure_for_time("switch", &[], 10_000), 0);
    comparison.add(time);

    let mut memory = Table::new("Tasks: memory", "bytes each", Base::Best);
    memory.headline = Headline::Each("tasks");
    for (name, scenario) in
        [("waiting", "waiting"), ("waiting, one oneshot", "oneshot"), ("asleep", "asleep")]
    {
        let amount = |peer: &Peer| amount(peer, scenario, count);
        let results = comparison.with_rounds(1, |it| it.measure_amount(scenario, &[], 0, amount));
        memory.add(name, &results, 0);
    }
    memory.note(
        "Of threads there were 10,000, of tasks in Python and of calloop's sleepers 100,000. Of \
         threads it is what their process takes; the kernel's stack of each comes on top.",
    );
    comparison.add(memory);
}

/// How many a peer can have in seconds, and on a usual machine.
fn amount(peer: &Peer, scenario: &str, count: u64) -> u64 {
    match peer.name {
        "threads" => count.min(10_000),
        "asyncio" | "uvloop" | "trio" => count.min(100_000),
        "calloop" if scenario == "asleep" => count.min(100_000), // It needs minutes for a million.
        _ => count,
    }
}
