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
//! Rust's tasks wait for the oneshot of the crate `futures`, Python's for what their library has.
//! Who cannot have a million has fewer, as [`amount`] tells.

use super::Scenario;
use crate::contest::Contest;
use crate::cores::Place;
use crate::peers::Peer;
use crate::sheet::{Base, Sheet};

pub const SCENARIO: Scenario = Scenario {
    name: "tasks",
    about: "tasks: spawn and join, switch, memory while they wait or sleep",
    run,
};

const MILLION: u64 = 1_000_000;

/// With which the code gets warm, and not the memory.
const FEW: u64 = 1000;

fn run(contest: &mut Contest) {
    contest.among(|peer| peer.name != "processes", run_among);
}

fn run_among(contest: &mut Contest) {
    let count = contest.options.cells(&[&[MILLION as usize]])[0][0] as u64;
    let mut time = Sheet::new("Tasks: time", contest.unit("ns CPU"), Base::Best);
    if contest.options.instructions {
        time.add("spawn + join", &contest.race_for_time("spawn", &[], 1000), 0);
        time.add("switch", &contest.race_for_time("switch", &[], 10_000), 0);
        return contest.add(time);
    }
    let spawn = contest.race("spawn", "", |contest, peer| {
        let mut worker = contest.start(peer, "spawn", &[], Place::Alone)?;
        worker.ask(FEW)?;
        let count = amount(peer, "spawn", count);
        Ok(vec![worker.ask(count)?[0] / count as f64])
    });
    time.add("spawn + join", &spawn, 0);
    time.add("switch", &contest.race_for_time("switch", &[], 10_000), 0);
    contest.add(time);

    let mut memory = Sheet::new("Tasks: memory", "bytes each", Base::Best);
    for scenario in ["waiting", "asleep"] {
        let race = contest.race(scenario, "", |contest, peer| {
            let mut worker = contest.start(peer, scenario, &[], Place::Alone)?;
            let count = amount(peer, scenario, count);
            Ok(vec![worker.ask(count)?[0] / count as f64])
        });
        memory.add(scenario, &race, 0);
    }
    memory.note(
        "Of threads there were 10,000, of tasks in Python and of calloop's sleepers 100,000.",
    );
    contest.add(memory);
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
