//! Counts instead of times: instructions in user space, by valgrind's callgrind, and system calls, by
//! perf or strace, for the work of other scenarios.
//!
//! Where a machine has other work, the rounds of a time lie up to a fifth apart, and peers do not.
//! Counts hardly depend on it. Each is the difference of two runs of a fixed length, so that what
//! happens once cancels out: an echo is a request of 64 bytes, `64 x connections`; `churn` a
//! connection; `pipes` an event, `dispatch` and `chain` a callback; of the scenarios `tasks`,
//! `timers` and `post` it is what their figures are for. All threads of a peer are counted, those
//! that post and wait for replies as well; the clients of a server are not.
//!
//! A server under valgrind is slower than its clients, so that with more than one connection nearly
//! all of them are ready in each wait. perf does not slow it down.

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

/// The second one shows how well they repeat.
const ROUNDS: usize = 2;

/// Work that is counted.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Requests of 64 bytes over so many connections.
    Echo(usize),
    /// Connections, so many at once.
    Churn(usize),
    /// A worker's scenario with its sizes, and the least that is a whole of it.
    Alone(&'static str, &'static [usize], u64),
    /// The same with two threads.
    Paired(&'static str, u64),
}

use Work::{Alone, Churn, Echo, Paired};

/// Work that shares a table: its name, whom the ratios are to, and whether there are calls in it.
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
            Alone("pipes", &[100, 1], 20_000),
            Alone("pipes", &[100, 10], 20_000),
            Alone("pipes", &[1000, 100], 20_000),
            Alone("pipes", &[9000, 100], 20_000),
            Alone("dispatch", &[10], 20_000),
            Alone("dispatch", &[1000], 20_000),
            Alone("chain", &[], 20_000),
        ],
    ),
    ("post", RAW, HasCalls::Yes, &[Paired("round_trip", 1000), Paired("post", 50_000)]),
    (
        "tasks, timers, batch",
        Base::Best,
        HasCalls::No,
        &[
            Alone("spawn", &[], 20_000),
            Alone("switch", &[], 50_000),
            Alone("rearm", &[10_000], 10_000),
            Alone("batch", &[], 20_000),
        ],
    ),
];

/// Of these the calls are told by their names.
const NAMED: &[Work] = &[Echo(1), Churn(1), Churn(50), Paired("round_trip", 1000)];

const NAMED_AMOUNT: usize = 2000;

fn run(comparison: &mut Comparison) {
    let absent: Vec<_> = comparison.peers().iter().filter(|it| it.is_interpreted()).collect();
    let absent: Vec<&str> = absent.iter().map(|peer| peer.name).collect();
    if !absent.is_empty() {
        comparison.report_missing(format!(
            "skipped in counts: {}: an interpreter takes minutes under valgrind; its system calls \
             are in echo and churn",
            absent.join(", ")
        ));
    }
    let is_in =
        |peer: &Peer| !peer.is_interpreted() && !["threads", "processes"].contains(&peer.name);
    comparison.with_peers(is_in, |comparison| {
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
                    |_| work.named("instructions"),
                    |comparison, peer| {
                        let reports = work.counted(tool, comparison, peer)?;
                        Ok(vec![reports.per_unit(instructions::collected)?])
                    },
                )
            });
            table.add(work.to_string(), &results, 0);
        }
        if let Some(apart) = apart(&table) {
            table.note(apart);
        }
        if comparison.peers().iter().any(|peer| peer.waits_in_io_uring()) {
            table.note(URING);
        }
        comparison.add(table);
    }
}

const URING: &str = "monoio waits in io_uring_enter(2), during which valgrind lets no other thread \
                     run and hears no signal, so that only what never waits is counted.";

fn count_calls(comparison: &mut Comparison) {
    let counter = match Counter::here() {
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
            if matches!(work, Paired("round_trip", _)) && counter == Counter::Perf {
                table.add(format!("{work}: switches"), &results, 1);
            }
        }
        table.note(counter.note());
        if *name == "post" {
            table.note(
                "Of both threads. A switch takes a thread from its core: it waits, or has to. How \
                 many messages a wakeup brings depends on the moment, and so does `post`.",
            );
        }
        comparison.add(table);
    }
    name_calls(comparison, counter);
}

fn name_calls(comparison: &mut Comparison, counter: Counter) {
    for work in cells(comparison, NAMED) {
        let mut found = Vec::new();
        comparison.with_rounds(1, |comparison| {
            comparison.measure(
                work.scenario(),
                |_| work.named("calls by name"),
                |comparison, peer| {
                    found.push((peer.name, work.names(comparison, counter, peer)?));
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

/// A column for each name, the most frequent one first; those that are rare are left out.
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
    table.is_partial = true; // Who has nothing of the kind is named where the scenario is.
    table
}

/// One of them suffices to see that all is well.
fn cells(comparison: &Comparison, works: &'static [Work]) -> &'static [Work] {
    if comparison.options.size == Size::Quick { &works[1..2] } else { works }
}

/// How far the rounds of each column lie apart.
fn apart(table: &Table) -> Option<String> {
    let widest_spread = |column: &Column| {
        let (part, peer) = column.widest_spread()?;
        Some(format!("{} {:.2} % ({peer})", column.name, part * 100.0))
    };
    let columns: Vec<String> = table.columns.iter().filter_map(widest_spread).collect();
    let apart = || format!("Two rounds are at most so far apart: {}.", columns.join(", "));
    (!columns.is_empty()).then(apart)
}

impl Work {
    /// The scenario of its workers.
    fn scenario(self) -> &'static str {
        match self {
            Echo(_) | Churn(_) => "echo",
            Alone(scenario, ..) | Paired(scenario, _) => scenario,
        }
    }

    /// How it is named among what was measured.
    fn named(self, what: &str) -> String {
        format!("{self}, {what}").replacen(self.scenario(), "", 1).trim().to_owned()
    }

    /// Whether the loop has to wait for somebody else.
    fn waits(self) -> bool {
        !matches!(self, Alone(..))
    }

    fn counted(self, tool: Tool, comparison: &Comparison, peer: &Peer) -> io::Result<Reports> {
        match self {
            Echo(connections) => {
                let least = (connections * 4).max(2000);
                tool.of_server(comparison, peer, least, echo::requests(&[64, connections]))
            }
            Churn(at_once) => tool.of_server(comparison, peer, 500, churn::connections(at_once)),
            Alone(scenario, sizes, least) => {
                tool.of_worker(comparison, peer, (scenario, sizes), Placement::FirstCore, least)
            }
            Paired(scenario, least) => {
                tool.of_worker(comparison, peer, (scenario, &[]), Placement::AllCores, least)
            }
        }
    }

    /// The calls by their names.
    fn names(
        self,
        comparison: &Comparison,
        counter: Counter,
        peer: &Peer,
    ) -> io::Result<Vec<(String, f64)>> {
        let tool = counter.tool_of_names();
        let of_server = |connect: &dyn Fn(&Server) -> io::Result<Requests>| {
            calls::reports(counter, tool, comparison, peer, NAMED_AMOUNT, connect)
        };
        counter.names(&match self {
            Echo(connections) => of_server(&echo::requests(&[64, connections]))?,
            Churn(at_once) => of_server(&churn::connections(at_once))?,
            Alone(..) | Paired(..) => self.counted(tool, comparison, peer)?,
        })
    }

    /// The calls, and by perf the switches as well.
    fn calls(self, comparison: &mut Comparison, counter: Counter) -> Results {
        match self {
            Echo(connections) => echo::calls(comparison, counter, &[64, connections]),
            Churn(at_once) => churn::calls(comparison, counter, at_once),
            Alone(..) | Paired(..) => comparison.measure(
                self.scenario(),
                |_| self.named("system calls"),
                |comparison, peer| {
                    let reports = self.counted(counter.tool(), comparison, peer)?;
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
            Alone(scenario, [], _) => write!(f, "{scenario}"),
            Alone(scenario, sizes, _) => write!(f, "{scenario} {}", joined(sizes)),
            Paired(scenario, _) => write!(f, "{}", scenario.replace('_', " ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Churn, Echo, GROUPS, NAMED, columns};
    use crate::peers;

    #[test]
    fn all_that_is_counted_has_workers() {
        let works = GROUPS.iter().flat_map(|group| group.3).chain(NAMED);
        for work in works {
            assert!(peers::ALL.iter().any(|peer| peer.has(work.scenario())), "{work}");
        }
    }

    #[test]
    fn calls_are_measured_once_for_all_scenarios() {
        assert_eq!(Echo(50).named("system calls"), "64x50, system calls");
        assert_eq!(Churn(50).named("system calls"), "churn 50 at once, system calls");
    }

    #[test]
    fn names_that_are_rare_have_no_column() {
        let calls = |it: &[(&str, f64)]| it.iter().map(|it| (it.0.to_owned(), it.1)).collect();
        let raw = calls(&[("close", 1.0), ("mmap", 0.001)]);
        let found = [("raw", raw), ("mio", calls(&[("read", 2.0), ("close", 1.5)]))];
        let columns = columns(&found);
        assert_eq!([&columns[0].name, &columns[1].name], ["close", "read"]);
        assert_eq!(columns[1].figures, [("mio", vec![2.0])]);
        assert_eq!(columns.len(), 2);
    }
}
