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
use super::{Scenario, churn, echo};
use crate::calls::{self, Counter};
use crate::contest::{Contest, Race};
use crate::cores::Place;
use crate::instructions;
use crate::options::{Size, joined};
use crate::peers::Peer;
use crate::server::Server;
use crate::sheet::{Base, Column, Headline, Picture, RAW, Sheet};
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

fn run(contest: &mut Contest) {
    let absent: Vec<_> = contest.peers().iter().filter(|it| it.is_interpreted()).collect();
    let absent: Vec<&str> = absent.iter().map(|peer| peer.name).collect();
    if !absent.is_empty() {
        contest.tell(format!(
            "skipped in counts: {}: an interpreter takes minutes under valgrind; its system calls \
             are in echo and churn",
            absent.join(", ")
        ));
    }
    let is_in =
        |peer: &Peer| !peer.is_interpreted() && !["threads", "processes"].contains(&peer.name);
    contest.among(is_in, |contest| {
        contest.in_rounds(ROUNDS, |contest| {
            count_instructions(contest);
            count_calls(contest);
        });
    });
}

fn count_instructions(contest: &mut Contest) {
    let tool = match instructions::counter() {
        Ok(tool) => tool,
        Err(reason) => return contest.tell(format!("skipped: instructions: {reason}")),
    };
    for (name, base, _, works) in GROUPS {
        let mut sheet = sheet("Instructions", name, "instructions in user space", *base);
        for work in cells(contest, works) {
            let is_able = |peer: &Peer| !(peer.waits_in_io_uring() && work.waits());
            let race = contest.among(is_able, |contest| {
                contest.race(
                    work.scenario(),
                    |_| work.named("instructions"),
                    |contest, peer| {
                        let reports = work.counted(tool, contest, peer)?;
                        Ok(vec![reports.each(instructions::collected)?])
                    },
                )
            });
            sheet.add(work.to_string(), &race, 0);
        }
        if let Some(apart) = apart(&sheet) {
            sheet.note(apart);
        }
        if contest.peers().iter().any(|peer| peer.waits_in_io_uring()) {
            sheet.note(URING);
        }
        contest.add(sheet);
    }
}

const URING: &str = "monoio waits in io_uring_enter(2), during which valgrind lets no other thread \
                     run and hears no signal, so that only what never waits is counted.";

fn count_calls(contest: &mut Contest) {
    let counter = match Counter::here() {
        Ok(counter) => counter,
        Err(reason) => return contest.tell(format!("skipped: system calls: {reason}")),
    };
    for (name, base, _, works) in GROUPS.iter().filter(|group| group.2 == HasCalls::Yes) {
        let mut sheet = sheet("System calls", name, "calls", *base);
        for work in cells(contest, works) {
            let race = work.calls(contest, counter);
            sheet.add(work.to_string(), &race, 0);
            if matches!(work, Paired("round_trip", _)) && counter == Counter::Perf {
                sheet.add(format!("{work}: switches"), &race, 1);
            }
        }
        sheet.note(counter.told());
        if *name == "post" {
            sheet.note(
                "Of both threads. A switch takes a thread from its core: it waits, or has to. How \
                 many messages a wakeup brings depends on the moment, and so does `post`.",
            );
        }
        contest.add(sheet);
    }
    name_calls(contest, counter);
}

fn name_calls(contest: &mut Contest, counter: Counter) {
    for work in cells(contest, NAMED) {
        let mut found = Vec::new();
        contest.in_rounds(1, |contest| {
            contest.race(
                work.scenario(),
                |_| work.named("calls by name"),
                |contest, peer| {
                    found.push((peer.name, work.names(contest, counter, peer)?));
                    Ok(Vec::new())
                },
            )
        });
        let mut sheet = sheet("System calls by name", &work.to_string(), "calls", Base::Nothing);
        sheet.picture = Picture::Nothing;
        sheet.headline = Headline::No;
        sheet.columns = columns(&found);
        contest.add(sheet);
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

fn sheet(what: &str, of: &str, unit: &'static str, base: Base) -> Sheet {
    let mut sheet = Sheet::new(format!("{what}: {of}"), unit, base);
    sheet.headline = Headline::Whole(format!("{}: {of}", what.to_lowercase()));
    sheet.is_closed = true; // Who has nothing of the kind is named where the scenario is.
    sheet
}

/// One of them suffices to see that all is well.
fn cells(contest: &Contest, works: &'static [Work]) -> &'static [Work] {
    if contest.options.size == Size::Quick { &works[1..2] } else { works }
}

/// How far the rounds of each column lie apart.
fn apart(sheet: &Sheet) -> Option<String> {
    let furthest = |column: &Column| {
        let (part, peer) = column.furthest()?;
        Some(format!("{} {:.2} % ({peer})", column.name, part * 100.0))
    };
    let columns: Vec<String> = sheet.columns.iter().filter_map(furthest).collect();
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

    fn counted(self, tool: Tool, contest: &Contest, peer: &Peer) -> io::Result<Reports> {
        match self {
            Echo(connections) => {
                let least = (connections * 4).max(2000);
                tool.of_server(contest, peer, least, echo::requests(&[64, connections]))
            }
            Churn(at_once) => tool.of_server(contest, peer, 500, churn::connections(at_once)),
            Alone(scenario, sizes, least) => {
                tool.of_worker(contest, peer, (scenario, sizes), Place::Alone, least)
            }
            Paired(scenario, least) => {
                tool.of_worker(contest, peer, (scenario, &[]), Place::Anywhere, least)
            }
        }
    }

    /// The calls by their names.
    fn names(
        self,
        contest: &Contest,
        counter: Counter,
        peer: &Peer,
    ) -> io::Result<Vec<(String, f64)>> {
        let tool = counter.tool_of_names();
        let of_server = |connect: &dyn Fn(&Server) -> io::Result<Requests>| {
            calls::reports(counter, tool, contest, peer, NAMED_AMOUNT, connect)
        };
        counter.names(&match self {
            Echo(connections) => of_server(&echo::requests(&[64, connections]))?,
            Churn(at_once) => of_server(&churn::connections(at_once))?,
            Alone(..) | Paired(..) => self.counted(tool, contest, peer)?,
        })
    }

    /// The calls, and by perf the switches as well.
    fn calls(self, contest: &mut Contest, counter: Counter) -> Race {
        match self {
            Echo(connections) => echo::calls(contest, counter, &[64, connections]),
            Churn(at_once) => churn::calls(contest, counter, at_once),
            Alone(..) | Paired(..) => contest.race(
                self.scenario(),
                |_| self.named("system calls"),
                |contest, peer| {
                    let reports = self.counted(counter.tool(), contest, peer)?;
                    let mut figures = vec![reports.each(|report| counter.read(report))?];
                    if counter == Counter::Perf {
                        figures.push(reports.each(calls::switches)?);
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
