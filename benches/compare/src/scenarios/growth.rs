//! Growth: the cost of an operation over the size of the work.
//!
//! The operations are those of other scenarios: a callback of always-readable fds, timers that are
//! inserted, cancelled and run, tasks that are spawned and joined, an echo of 64 bytes. A curve that
//! bends upward needs a reason: memory that no cache holds any more is one that all share.

use std::io;

use super::{Scenario, echo};
use crate::contest::Contest;
use crate::cores::Place;
use crate::peers::Peer;
use crate::sheet::{Base, RAW, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "growth", about: "the cost of an operation over the size of the work", run };

const FDS: &[usize] = &[10, 30, 100, 300, 1000, 3000, 9000];
const DECADES: &[usize] = &[1000, 10_000, 100_000, 1_000_000];
const CONNECTIONS: &[usize] = &[10, 100, 1000, 8000];

fn run(contest: &mut Contest) {
    let mut sheet = Sheet::curves("Always-readable fds", "fds", "ns CPU a callback", RAW);
    for count in FDS {
        sheet.add(count.to_string(), &contest.race_for_time("dispatch", &[*count], 1000), 0);
    }
    contest.add(sheet);

    let curves = |title| Sheet::curves(title, "timers", "ns CPU each", Base::Best);
    let mut sheets = ["Timers: insert", "Timers: cancel", "Timers: insert + run"].map(curves);
    for count in DECADES {
        let at_once = |scenario| move |it: &Contest, peer: &Peer| ask(it, peer, scenario, *count);
        contest.among(is_able_to(*count), |contest| {
            let race = contest.race("timers", &count.to_string(), at_once("timers"));
            sheets[0].add(count.to_string(), &race, 0);
            sheets[1].add(count.to_string(), &race, 1);
            let race = contest.race("timers_run", &count.to_string(), at_once("timers_run"));
            sheets[2].add(count.to_string(), &race, 0);
        });
    }
    sheets.into_iter().for_each(|sheet| contest.add(sheet));

    let mut sheet = Sheet::curves("Tasks: spawn + join", "tasks", "ns CPU each", Base::Best);
    for count in DECADES {
        contest.among(is_able_to(*count), |contest| {
            let measure = |it: &Contest, peer: &Peer| ask(it, peer, "spawn", *count);
            sheet.add(count.to_string(), &contest.race("spawn", &count.to_string(), measure), 0);
        });
    }
    contest.add(sheet);

    let mut sheet = Sheet::curves("Echo of 64 bytes", "connections", "ns CPU a request", RAW);
    for count in CONNECTIONS {
        let measure = |it: &Contest, peer: &Peer| echo::cost(it, peer, &[64, *count]);
        sheet.add(count.to_string(), &contest.race("echo", &count.to_string(), measure), 0);
    }
    contest.add(sheet);
}

/// Who can have so many timers and tasks in seconds.
fn is_able_to(count: usize) -> impl Fn(&Peer) -> bool {
    move |peer| match peer.name {
        "threads" | "processes" => false,
        "asyncio" | "uvloop" | "trio" => count <= 100_000,
        "calloop" => count <= 10_000,
        _ => true,
    }
}

fn ask(contest: &Contest, peer: &Peer, scenario: &str, count: usize) -> io::Result<Vec<f64>> {
    let mut worker = contest.start(peer, scenario, &[], Place::Alone)?;
    if scenario == "spawn" {
        worker.ask(count.min(1000))?; // Its code gets warm.
    }
    let figures = worker.ask(count)?.into_iter();
    Ok(figures.map(|figure| figure / count as f64).collect())
}
