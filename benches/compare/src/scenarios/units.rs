//! Tasks, threads and processes: what a unit of concurrency costs, measured here.
//!
//! * `switch`: a hundred of them yield in turn, on one core; CPU nanoseconds for each yield.
//! * `spawn + join`: nanoseconds for each. Tasks: a million at once; threads: a thousand at a time;
//!   processes: one at a time, wall time, until it has begun and ended.
//! * `memory`: of those that wait. Tasks wait for a promise, threads for a channel, processes for a
//!   pipe. Growth of resident memory, for processes the sum of their proportional shares. The
//!   kernel's own memory, 16 KiB of stack and more for each thread and process, comes on top.
//! * `at once`: how many were alive at the same time for the column before. A note says what the
//!   system would allow.

use std::fs;

use super::Scenario;
use super::tasks::FEW;
use crate::contest::{Contest, Rounds};
use crate::peers::Peer;
use crate::sheet::{Base, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "units", about: "a task, a thread, a process: what each costs", run };

const UNITS: &[&str] = &["mainspring-tasks", "asyncio", "threads", "processes"];

/// The ratios are to it.
const TASK: Base = Base::To("mainspring-tasks");

/// How many of them there are at once.
fn amount(contest: &Contest, peer: &Peer) -> u64 {
    contest.options.scaled(match peer.name {
        "processes" => 500,
        "threads" => 10_000,
        "asyncio" => 1_000_000,
        _ => 10_000_000,
    })
}

fn run(contest: &mut Contest) {
    contest.among(|peer| UNITS.contains(&peer.name), run_among);
}

fn run_among(contest: &mut Contest) {
    let amounts: Vec<(&str, u64)> =
        contest.peers().iter().map(|peer| (peer.name, amount(contest, peer))).collect();
    let of = |peer: &Peer| amounts.iter().find(|it| it.0 == peer.name).map_or(0, |it| it.1);
    let mut sheet = Sheet::magnitudes("A task, a thread, a process", TASK);
    let race = contest.race_for_time("switch", &[], 1000);
    sheet.add("switch, ns", &race, 0);
    let race = contest.race_for_amount("spawn", &[], FEW, |peer| of(peer) / 10);
    sheet.add("spawn + join, ns", &race, 0);
    let race = contest.in_rounds(1, |it| it.race_for_amount("waiting", &[], 0, of));
    sheet.add("memory, bytes", &race, 0);
    let at_once = |(peer, _): &(&'static Peer, Rounds)| (*peer, vec![vec![of(peer) as f64]]);
    sheet.add("at once", &race.iter().map(at_once).collect::<Vec<_>>(), 0);
    sheet.note(limits());
    contest.add(sheet);
}

/// How many threads and processes the system would allow, and how much memory there is.
fn limits() -> String {
    let read = |name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let [ids, threads, maps] =
        ["kernel/pid_max", "kernel/threads-max", "vm/max_map_count"].map(read);
    format!(
        "This system allows {} processes and threads together ({} by memory), and {} pieces of \
         memory in a process, of which a thread needs two. Tasks are limited by memory only.",
        ids.trim(),
        threads.trim(),
        maps.trim()
    )
}
