//! Growth: the cost of an operation over the size of the work.
//!
//! The operations are those of other scenarios: a callback of always-readable fds; inserting,
//! cancelling and running timers; spawning and joining tasks; an echo of 64 bytes. Curves of all
//! peers rise where the work no longer fits into the caches. Figures that another scenario of the
//! same run has measured are reused.

use super::scenario::Scenario;
use super::tasks::FEW;
use super::{echo, timers};
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::table::{Base, RAW, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "growth", about: "the cost of an operation over the size of the work", run };

const FDS: &[&[usize]] = &[&[10], &[30], &[100], &[300], &[1000], &[3000], &[9000]];
const DECADES: &[&[usize]] = &[&[1000], &[10_000], &[100_000], &[1_000_000]];
const CONNECTIONS: &[&[usize]] = &[&[10], &[100], &[1000], &[3000], &[8000]];

fn run(comparison: &mut Comparison) {
    comparison.with_rounds(3, |comparison| {
        fds(comparison);
        timers(comparison);
        tasks(comparison);
        connections(comparison);
    });
}

/// Returns the sizes; in a quick run the first two.
fn sizes(comparison: &Comparison, all: &[&[usize]]) -> Vec<usize> {
    comparison.options.cells(&all[..2], all).iter().map(|cell| cell[0]).collect()
}

fn fds(comparison: &mut Comparison) {
    let mut table = Table::curves("Always-readable fds", "fds", "ns CPU a callback", RAW);
    for count in sizes(comparison, FDS) {
        table.add(count.to_string(), &comparison.measure_for_time("dispatch", &[count], 1000), 0);
    }
    comparison.add(table);
}

fn timers(comparison: &mut Comparison) {
    let curves = |title| Table::curves(title, "timers", "ns CPU each", Base::Best);
    let mut tables = ["Timers: insert", "Timers: cancel", "Timers: insert + run"].map(curves);
    for count in sizes(comparison, DECADES) {
        let is_able = |peer: &Peer| timers::amount(peer, count as u64) == count as u64;
        comparison.with_peers(is_able, |comparison| {
            let results = comparison.measure_amount("timers", &[], 0, |_| count as u64);
            tables[0].add(count.to_string(), &results, 0);
            tables[1].add(count.to_string(), &results, 1);
            let results = comparison.measure_amount("timers_run", &[], 0, |_| count as u64);
            tables[2].add(count.to_string(), &results, 0);
        });
    }
    tables.into_iter().for_each(|table| comparison.add(table));
}

fn tasks(comparison: &mut Comparison) {
    let mut table = Table::curves("Tasks: spawn + join", "tasks", "ns CPU each", Base::Best);
    for count in sizes(comparison, DECADES) {
        comparison.with_peers(is_able_to(count), |comparison| {
            let results = comparison.measure_amount("spawn", &[], FEW, |_| count as u64);
            table.add(count.to_string(), &results, 0);
        });
    }
    comparison.add(table);
}

fn connections(comparison: &mut Comparison) {
    let mut table = Table::curves("Echo of 64 bytes", "connections", "ns CPU a request", RAW);
    for count in sizes(comparison, CONNECTIONS) {
        table.add(count.to_string(), &echo::measure_cell(comparison, &[64, count]), 0);
    }
    comparison.add(table);
}

/// Returns true for peers that handle so many tasks within seconds.
fn is_able_to(count: usize) -> impl Fn(&Peer) -> bool {
    move |peer| match peer.name {
        "threads" | "processes" => false,
        "asyncio" | "uvloop" | "trio" => count <= 100_000,
        _ => true,
    }
}
