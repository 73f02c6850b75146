//! Tasks, threads and processes: cost of a unit of concurrency.
//!
//! * `switch`: a hundred units yield in turn on one core. CPU nanoseconds for each yield.
//! * `spawn + join`: nanoseconds for each. Tasks: a million at once. Threads: a thousand at a time.
//!   Processes: one at a time, wall time until the process has started and ended.
//! * `memory`: of units that wait. Tasks wait for a promise, threads for a channel, processes for a
//!   pipe. Growth of resident memory; for processes the sum of their proportional shares. The
//!   kernel's memory, at least 16 KiB of stack for each thread and process, is not included.
//! * `at once`: number of units alive at the same time in the column `memory`. A note has the
//!   limits of the system.

use std::fs;

use super::scenario::Scenario;
use super::tasks::FEW;
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::table::{Base, Rounds, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "units", about: "a task, a thread, a process: what each costs", run };

const UNITS: &[&str] = &["mainspring-tasks", "asyncio", "threads", "processes"];

/// Base of the ratios.
const TASK: Base = Base::Peer("mainspring-tasks");

/// Returns the number of units of a peer.
fn amount(comparison: &Comparison, peer: &Peer) -> u64 {
    comparison.options.scaled(match peer.name {
        "processes" => 500,
        "threads" => 10_000,
        "asyncio" => 1_000_000,
        _ => 10_000_000,
    })
}

fn run(comparison: &mut Comparison) {
    comparison.with_peers(|peer| UNITS.contains(&peer.name), run_among);
}

fn run_among(comparison: &mut Comparison) {
    let amounts: Vec<(&str, u64)> =
        comparison.peers().iter().map(|peer| (peer.name, amount(comparison, peer))).collect();
    let of = |peer: &Peer| amounts.iter().find(|it| it.0 == peer.name).map_or(0, |it| it.1);
    let mut table = Table::magnitudes("A task, a thread, a process", TASK);
    let results = comparison.measure_for_time("switch", &[], 1000);
    table.add("switch, ns", &results, 0);
    let results = comparison.measure_amount("spawn", &[], FEW, |peer| of(peer) / 10);
    table.add("spawn + join, ns", &results, 0);
    let results = comparison.with_rounds(1, |it| it.measure_amount("waiting", &[], 0, of));
    table.add("memory, bytes", &results, 0);
    let at_once = |(peer, _): &(&'static Peer, Rounds)| (*peer, vec![vec![of(peer) as f64]]);
    table.add("at once", &results.iter().map(at_once).collect::<Vec<_>>(), 0);
    table.note(limits());
    comparison.add(table);
}

/// Returns a note with the limits of the system for threads and processes.
fn limits() -> String {
    let read = |name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let [ids, threads, maps] =
        ["kernel/pid_max", "kernel/threads-max", "vm/max_map_count"].map(read);
    format!(
        "Limits of this system: {} processes and threads ({} by memory), and {} memory mappings in a \
         process, of which a thread needs two. Only memory limits the number of tasks.",
        ids.trim(),
        threads.trim(),
        maps.trim()
    )
}
