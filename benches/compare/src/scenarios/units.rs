//! Tasks, threads and processes: what a unit of concurrency costs, measured here.
//!
//! * `switch`: a hundred of them yield in turn, on one core; CPU nanoseconds for each yield.
//! * `spawn + join`: nanoseconds for each. Tasks: a million at once; threads: a thousand at a time;
//!   processes: one at a time, wall time, until it has begun and ended.
//! * `memory`: of those that wait. Tasks wait for a promise, threads for a channel, processes for a
//!   pipe. Growth of resident memory, for processes the sum of their proportional shares. The
//!   kernel's own memory, 16 KiB of stack and more for each thread and process, comes on top.

use std::fs;
use std::io;

use super::Scenario;
use crate::contest::{Contest, Rounds};
use crate::cores::Place;
use crate::peers::Peer;
use crate::sheet::{Base, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "units", about: "a task, a thread, a process: what each costs", run };

const UNITS: &[&str] = &["mainspring-tasks", "asyncio", "threads", "processes"];

/// The ratios are to it.
const TASK: Base = Base::To("mainspring-tasks");

/// How many of them there are at once, or are made.
fn amount(peer: &Peer) -> u64 {
    match peer.name {
        "processes" => 500,
        "threads" => 10_000,
        "asyncio" => 1_000_000,
        _ => 10_000_000,
    }
}

fn run(contest: &mut Contest) {
    contest.among(|peer| UNITS.contains(&peer.name), run_among);
}

fn run_among(contest: &mut Contest) {
    let mut time = Sheet::new("A task, a thread, a process: time", "ns", TASK);
    time.add("switch", &contest.race_for_time("switch", &[], 1000), 0);
    let spawn = |contest: &Contest, peer: &Peer| ask(contest, peer, "spawn", amount(peer) / 10);
    time.add("spawn + join", &contest.race("spawn", "", spawn), 0);
    contest.add(time);

    let mut memory = Sheet::new("A task, a thread, a process: memory", "bytes each", TASK);
    let waiting = |contest: &Contest, peer: &Peer| ask(contest, peer, "waiting", amount(peer));
    let race: Vec<(&Peer, Rounds)> = contest.race_once("waiting", "", waiting);
    memory.add("waiting", &race, 0);
    let at_once = race.iter().map(|(peer, _)| format!("{} of {}", amount(peer), peer.name));
    memory.note(format!("At once there were {}.", at_once.collect::<Vec<_>>().join(", ")));
    memory.note(limits());
    contest.add(memory);
}

fn ask(contest: &Contest, peer: &Peer, scenario: &str, count: u64) -> io::Result<Vec<f64>> {
    let mut worker = contest.start(peer, scenario, &[], Place::Alone)?;
    Ok(vec![worker.ask(count)?[0] / count as f64])
}

/// How many threads and processes the system would allow.
fn limits() -> String {
    let read = |name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let [ids, threads, maps] =
        ["kernel/pid_max", "kernel/threads-max", "vm/max_map_count"].map(read);
    format!(
        "This system allows {} processes and threads together ({} by memory), and {} pieces of \
         memory in a process, of which a thread needs two.",
        ids.trim(),
        threads.trim(),
        maps.trim()
    )
}
