//! Growth: the cost of an operation over the size of the work.
//!
//! The operations are those of other scenarios: a callback of always-readable fds, timers that are
//! inserted, cancelled and run, tasks that are spawned and joined, an echo of 64 bytes. A curve that
//! bends upward needs a reason: memory that no cache holds any more is one that all share. What
//! another scenario of the same run has measured already is taken from there.

use super::tasks::FEW;
use super::{Scenario, echo, timers};
use crate::contest::Contest;
use crate::peers::Peer;
use crate::sheet::{Base, RAW, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "growth", about: "the cost of an operation over the size of the work", run };

const FDS: &[&[usize]] = &[&[10], &[30], &[100], &[300], &[1000], &[3000], &[9000]];
const DECADES: &[&[usize]] = &[&[1000], &[10_000], &[100_000], &[1_000_000]];
const CONNECTIONS: &[&[usize]] = &[&[10], &[100], &[1000], &[3000], &[8000]];

fn run(contest: &mut Contest) {
    contest.in_rounds(3, |contest| {
        fds(contest);
        timers(contest);
        tasks(contest);
        connections(contest);
    });
}

/// The sizes of a growth; a quick one has but two.
fn sizes(contest: &Contest, all: &[&[usize]]) -> Vec<usize> {
    contest.options.cells(&all[..2], all).iter().map(|cell| cell[0]).collect()
}

fn fds(contest: &mut Contest) {
    let mut sheet = Sheet::curves("Always-readable fds", "fds", "ns CPU a callback", RAW);
    for count in sizes(contest, FDS) {
        sheet.add(count.to_string(), &contest.race_for_time("dispatch", &[count], 1000), 0);
    }
    contest.add(sheet);
}

fn timers(contest: &mut Contest) {
    let curves = |title| Sheet::curves(title, "timers", "ns CPU each", Base::Best);
    let mut sheets = ["Timers: insert", "Timers: cancel", "Timers: insert + run"].map(curves);
    for count in sizes(contest, DECADES) {
        let is_able = |peer: &Peer| timers::amount(peer, count as u64) == count as u64;
        contest.among(is_able, |contest| {
            let race = contest.race_for_amount("timers", &[], 0, |_| count as u64);
            sheets[0].add(count.to_string(), &race, 0);
            sheets[1].add(count.to_string(), &race, 1);
            let race = contest.race_for_amount("timers_run", &[], 0, |_| count as u64);
            sheets[2].add(count.to_string(), &race, 0);
        });
    }
    sheets.into_iter().for_each(|sheet| contest.add(sheet));
}

fn tasks(contest: &mut Contest) {
    let mut sheet = Sheet::curves("Tasks: spawn + join", "tasks", "ns CPU each", Base::Best);
    for count in sizes(contest, DECADES) {
        contest.among(is_able_to(count), |contest| {
            let race = contest.race_for_amount("spawn", &[], FEW, |_| count as u64);
            sheet.add(count.to_string(), &race, 0);
        });
    }
    contest.add(sheet);
}

fn connections(contest: &mut Contest) {
    let mut sheet = Sheet::curves("Echo of 64 bytes", "connections", "ns CPU a request", RAW);
    for count in sizes(contest, CONNECTIONS) {
        sheet.add(count.to_string(), &echo::race(contest, &[64, count]), 0);
    }
    contest.add(sheet);
}

/// Who can have so many tasks in seconds.
fn is_able_to(count: usize) -> impl Fn(&Peer) -> bool {
    move |peer| match peer.name {
        "threads" | "processes" => false,
        "asyncio" | "uvloop" | "trio" => count <= 100_000,
        _ => true,
    }
}
