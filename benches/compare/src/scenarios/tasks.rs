//! Tasks that do nothing: cost of spawning, switching and keeping them.
//!
//! * `spawn + join`: a million tasks without an `await` are spawned into a list of handles with
//!   reserved memory. Awaiting the handles in order runs the tasks. CPU nanoseconds for each. All
//!   tasks are alive at once, in memory that is new to the process.
//! * `switch`: a hundred tasks yield in turn. CPU nanoseconds for each yield.
//! * `waiting`: a million tasks wait, each for its own oneshot. Growth of the resident memory of
//!   the process for each task: the task, the oneshot, and the entries in two lists with reserved
//!   memory for the handles and the senders.
//! * `asleep`: a million tasks sleep for an hour. Growth of memory, with one list for the handles.
//!
//! Tasks of `waiting` use what their library has: mainspring's promise, tokio's oneshot, asyncio's
//! future, trio's event; the others use the oneshot of the crate `futures`. In
//! `waiting, one oneshot` all Rust peers use the latter.
//!
//! Memory is measured in one round, because it does not vary. A peer that cannot handle a million
//! has fewer tasks, see [`amount`].

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

/// Amount of work for a warm-up of the code, but not of the memory.
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
        "The number of threads is 10,000, that of tasks in Python and of sleepers in calloop 100,000. \
         The figure of threads is the memory of their process, without their stacks in the kernel.",
    );
    comparison.add(memory);
}

/// Returns the number of tasks that a peer handles within seconds, at most `count`.
fn amount(peer: &Peer, scenario: &str, count: u64) -> u64 {
    match peer.name {
        "threads" => count.min(10_000),
        "asyncio" | "uvloop" | "trio" => count.min(100_000),
        "calloop" if scenario == "asleep" => count.min(100_000), // It needs minutes for a million.
        _ => count,
    }
}
