//! Counts instead of times: instructions in user space (by callgrind) and system calls (by perf or
//! strace) for the work of other scenarios.
//!
//! Counts hardly depend on other load, which moves times by up to a fifth. A count is the
//! difference of two runs of fixed length, so constant costs cancel out. Units are an echo of 64
//! bytes (`64 x connections`), a connection (`churn`), an event (`pipes`), a callback (`dispatch`,
//! `chain`), and for `tasks`, `timers` and `post` those of the scenarios. All threads of a peer are
//! counted, also those that post messages; clients are not.
//!
//! Under valgrind a server is slower than its clients. So with several connections nearly all of
//! them are ready in each wait. perf does not slow the server down.

use std::collections::BTreeMap;
use std::io;

use super::echo::Requests;
use super::scenario::Scenario;
use super::{churn, echo};
use crate::calls::{self, Counter};
use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::instructions;
use crate::options::{Size, joined};
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::table::{Base, Column, Headline, Picture, RAW, Results, Table};
use crate::tools::{Reports, Tool};

pub const SCENARIO: Scenario =
    Scenario { name: "counts", about: "instructions in user space and system calls", run };

/// The second round shows how far counts vary.
const ROUNDS: usize = 2;

/// The work of a column.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Requests of 64 bytes over a number of connections.
    Echo(usize),
    /// Connections, a number of them at once.
    Churn(usize),
    /// A scenario of a worker with one thread: name, sizes, and least amount of work.
    OneThread(&'static str, &'static [usize], u64),
    /// A scenario of a worker with two threads: name and least amount of work.
    TwoThreads(&'static str, u64),
}

use Work::{Churn, Echo, OneThread, TwoThreads};

/// A table: its name, the base of its ratios, whether its work makes system calls, and its columns.
type Group = (&'static str, Base, HasCalls, &'static [Work]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HasCalls {
    Yes,
    No,
}

const GROUPS: &[Group] = &[
    ("echo, churn", RAW, HasCalls::Yes, &[Echo(1), Echo(50), Echo(1000), Churn(1), Churn(50)]),
    (
        "pipes, dispatch, chain",
        RAW,
        HasCalls::Yes,
        &[
            OneThread("pipes", &[100, 1], 20_000),
            OneThread("pipes", &[100, 10], 20_000),
            OneThread("pipes", &[1000, 100], 20_000),
            OneThread("pipes", &[9000, 100], 20_000),
            OneThread("dispatch", &[10], 20_000),
            OneThread("dispatch", &[1000], 20_000),
            OneThread("chain", &[], 20_000),
        ],
    ),
    ("post", RAW, HasCalls::Yes, &[TwoThreads("round_trip", 1000), TwoThreads("post", 50_000)]),
    (
        "tasks, timers, batch",
        Base::Best,
        HasCalls::No,
        &[
            OneThread("spawn", &[], 20_000),
            OneThread("switch", &[], 50_000),
            OneThread("rearm", &[10_000], 10_000),
            OneThread("batch", &[], 20_000),
        ],
    ),
];

/// Work with a table of system calls by name.
const NAMED: &[Work] = &[Echo(1), Churn(1), Churn(50), TwoThreads("round_trip", 1000)];

const NAMED_AMOUNT: usize = 2000;

fn run(comparison: &mut Comparison) {
    let interpreted: Vec<_> = comparison.peers().iter().filter(|it| it.is_interpreted()).collect();
    let interpreted: Vec<&str> = interpreted.iter().map(|peer| peer.name).collect();
    if !interpreted.is_empty() {
        comparison.report_missing(format!(
            "skipped in counts: {}: an interpreter takes minutes under valgrind; echo and churn have \
             its system calls",
            interpreted.join(", ")
        ));
    }
    let is_counted =
        |peer: &Peer| !peer.is_interpreted() && !["threads", "processes"].contains(&peer.name);
    comparison.with_peers(is_counted, |comparison| {
        comparison.with_rounds(ROUNDS, |comparison| {
            count_instructions(comparison);
            count_calls(comparison);
        });
    });
}

fn count_instructions(comparison: &mut Comparison) {
    let tool = match instructions::counter() {
        Ok(tool) => tool,
        Err(reason) => {
            return comparison.report_missing(format!("skipped: instructions: {reason}"));
        }
    };
    for (name, base, _, works) in GROUPS {
        let mut table = table("Instructions", name, "instructions in user space", *base);
        for work in cells(comparison, works) {
            let is_able = |peer: &Peer| !(peer.waits_in_io_uring() && work.waits());
            let results = comparison.with_peers(is_able, |comparison| {
                comparison.measure(
                    work.scenario(),
                    |_| work.cell_name("instructions"),
                    |comparison, peer| {
                        let reports = work.count(tool, comparison, peer)?;
                        Ok(vec![reports.per_unit(instructions::collected)?])
                    },
                )
            });
            table.add(work.to_string(), &results, 0);
        }
        if let Some(note) = spread_note(&table) {
            table.note(note);
        }
        if comparison.peers().iter().any(|peer| peer.waits_in_io_uring()) {
            table.note(URING);
        }
        comparison.add(table);
    }
}

const URING: &str = "monoio waits in io_uring_enter(2). Meanwhile valgrind runs no other thread and \
                     delivers no signal, so only work that never waits is counted.";

fn count_calls(comparison: &mut Comparison) {
    let counter = match Counter::available() {
        Ok(counter) => counter,
        Err(reason) => {
            return comparison.report_missing(format!("skipped: system calls: {reason}"));
        }
    };
    for (name, base, _, works) in GROUPS.iter().filter(|group| group.2 == HasCalls::Yes) {
        let mut table = table("System calls", name, "calls", *base);
        for work in cells(comparison, works) {
            let results = work.calls(comparison, counter);
            table.add(work.to_string(), &results, 0);
            if matches!(work, TwoThreads("round_trip", _)) && counter == Counter::Perf {
                table.add(format!("{work}: switches"), &results, 1);
            }
        }
        table.note(counter.note());
        if *name == "post" {
            table.note(
                "Both threads are counted. A switch is a context switch. The number of messages per \
                 wakeup depends on timing, and so do the counts of `post`.",
            );
        }
        comparison.add(table);
    }
    add_calls_by_name(comparison, counter);
}

fn add_calls_by_name(comparison: &mut Comparison, counter: Counter) {
    for work in cells(comparison, NAMED) {
        let mut found = Vec::new();
        comparison.with_rounds(1, |comparison| {
            comparison.measure(
                work.scenario(),
                |_| work.cell_name("calls by name"),
                |comparison, peer| {
                    found.push((peer.name, work.calls_by_name(comparison, counter, peer)?));
                    Ok(Vec::new())
                },
            )
        });
        let mut table = table("System calls by name", &work.to_string(), "calls", Base::Nothing);
        table.picture = Picture::Nothing;
        table.headline = Headline::No;
        table.columns = columns(&found);
        comparison.add(table);
    }
}

/// Returns a column for each name, the most frequent one first, without rare ones.
fn columns(found: &[(&'static str, Vec<(String, f64)>)]) -> Vec<Column> {
    let mut by_name: BTreeMap<&str, Vec<(&'static str, Vec<f64>)>> = BTreeMap::new();
    for (peer, calls) in found {
        for (name, count) in calls.iter().filter(|(_, count)| *count >= 0.01) {
            by_name.entry(name).or_default().push((*peer, vec![*count]));
        }
    }
    let sum = |column: &Column| column.figures.iter().map(|(_, it)| it[0]).sum::<f64>();
    let named = |(name, figures): (&str, _)| Column { name: name.to_owned(), figures };
    let mut columns: Vec<Column> = by_name.into_iter().map(named).collect();
    columns.sort_by(|one, other| sum(other).total_cmp(&sum(one)));
    columns
}

fn table(what: &str, of: &str, unit: &'static str, base: Base) -> Table {
    let mut table = Table::new(format!("{what}: {of}"), unit, base);
    table.headline = Headline::Whole(format!("{}: {of}", what.to_lowercase()));
    table.is_partial = true; // The page of the scenario names missing peers.
    table
}

/// Returns the work to count: all, or one in a quick run.
fn cells(comparison: &Comparison, works: &'static [Work]) -> &'static [Work] {
    if comparison.options.size == Size::Quick { &works[1..2] } else { works }
}

/// Returns a note with the spread of the rounds of each column.
fn spread_note(table: &Table) -> Option<String> {
    let widest_spread = |column: &Column| {
        let (part, peer) = column.widest_spread()?;
        Some(format!("{} {:.2} % ({peer})", column.name, part * 100.0))
    };
    let columns: Vec<String> = table.columns.iter().filter_map(widest_spread).collect();
    let note = || format!("Largest difference between two rounds: {}.", columns.join(", "));
    (!columns.is_empty()).then(note)
}

impl Work {
    /// Returns the scenario of the workers.
    fn scenario(self) -> &'static str {
        match self {
            Echo(_) | Churn(_) => "echo",
            OneThread(scenario, ..) | TwoThreads(scenario, _) => scenario,
        }
    }

    /// Returns the name of the cell, which the scenarios share.
    fn cell_name(self, what: &str) -> String {
        format!("{self}, {what}").replacen(self.scenario(), "", 1).trim().to_owned()
    }

    /// Returns true if the loop waits for another process or thread.
    fn waits(self) -> bool {
        !matches!(self, OneThread(..))
    }

    fn count(self, tool: Tool, comparison: &Comparison, peer: &Peer) -> io::Result<Reports> {
        match self {
            Echo(connections) => {
                let least = (connections * 4).max(2000);
                tool.count_server(comparison, peer, least, echo::requests(&[64, connections]))
            }
            Churn(at_once) => tool.count_server(comparison, peer, 500, churn::connections(at_once)),
            OneThread(scenario, sizes, least) => {
                tool.count_worker(comparison, peer, (scenario, sizes), Placement::FirstCore, least)
            }
            TwoThreads(scenario, least) => {
                tool.count_worker(comparison, peer, (scenario, &[]), Placement::AllCores, least)
            }
        }
    }

    /// Returns the system calls by name.
    fn calls_by_name(
        self,
        comparison: &Comparison,
        counter: Counter,
        peer: &Peer,
    ) -> io::Result<Vec<(String, f64)>> {
        let tool = counter.tool_of_names();
        let count_server = |connect: &dyn Fn(&Server) -> io::Result<Requests>| {
            calls::reports(counter, tool, comparison, peer, NAMED_AMOUNT, connect)
        };
        counter.names(&match self {
            Echo(connections) => count_server(&echo::requests(&[64, connections]))?,
            Churn(at_once) => count_server(&churn::connections(at_once))?,
            OneThread(..) | TwoThreads(..) => self.count(tool, comparison, peer)?,
        })
    }

    /// Returns the system calls, and with perf the context switches.
    fn calls(self, comparison: &mut Comparison, counter: Counter) -> Results {
        match self {
            Echo(connections) => echo::calls(comparison, counter, &[64, connections]),
            Churn(at_once) => churn::calls(comparison, counter, at_once),
            OneThread(..) | TwoThreads(..) => comparison.measure(
                self.scenario(),
                |_| self.cell_name("system calls"),
                |comparison, peer| {
                    let reports = self.count(counter.tool(), comparison, peer)?;
                    let mut figures = vec![reports.per_unit(|report| counter.read(report))?];
                    if counter == Counter::Perf {
                        figures.push(reports.per_unit(calls::switches)?);
                    }
                    Ok(figures)
                },
            ),
        }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Echo(connections) => write!(f, "echo 64x{connections}"),
            Churn(at_once) => write!(f, "churn {at_once} at once"),
            OneThread(scenario, [], _) => write!(f, "{scenario}"),
            OneThread(scenario, sizes, _) => write!(f, "{scenario} {}", joined(sizes)),
            TwoThreads(scenario, _) => write!(f, "{}", scenario.replace('_', " ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Churn, Echo, GROUPS, NAMED, columns};
    use crate::peers;

    #[test]
    fn all_work_has_workers() {
        let works = GROUPS.iter().flat_map(|group| group.3).chain(NAMED);
        for work in works {
            assert!(peers::ALL.iter().any(|peer| peer.has(work.scenario())), "{work}");
        }
    }

    #[test]
    fn cell_names_match_those_of_the_scenarios() {
        assert_eq!(Echo(50).cell_name("system calls"), "64x50, system calls");
        assert_eq!(Churn(50).cell_name("system calls"), "churn 50 at once, system calls");
    }

    #[test]
    fn rare_names_have_no_column() {
        let calls = |it: &[(&str, f64)]| it.iter().map(|it| (it.0.to_owned(), it.1)).collect();
        let raw = calls(&[("close", 1.0), ("mmap", 0.001)]);
        let found = [("raw", raw), ("mio", calls(&[("read", 2.0), ("close", 1.5)]))];
        let columns = columns(&found);
        assert_eq!([&columns[0].name, &columns[1].name], ["close", "read"]);
        assert_eq!(columns[1].figures, [("mio", vec![2.0])]);
        assert_eq!(columns.len(), 2);
    }
}
