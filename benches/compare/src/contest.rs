//! The run: which peers take part, and rounds in turn.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use crate::cores::{Cores, Place};
use crate::machine;
use crate::options::{Options, joined};
use crate::peers::{self, Peer};
use crate::report::{Page, Report};
use crate::scenarios::SCENARIOS;
use crate::sheet::Sheet;
use crate::worker::Worker;

/// The run of the leading process.
#[derive(Debug)]
pub struct Contest {
    pub options: Options,
    pub cores: Cores,
    facts: String,
    peers: Vec<&'static Peer>,
    /// What was asked for: names and versions of those who take part, and reasons of the others.
    present: Vec<String>,
    skipped: Vec<String>,
    /// Those of the scenario that runs.
    sheets: Vec<Sheet>,
    /// What was measured so far, by scenario, cell and peer: nothing is measured twice.
    measured: BTreeMap<String, Rounds>,
}

/// The figures of one peer: for each round as many as its worker gives.
pub type Rounds = Vec<Vec<f64>>;

/// The figures of those who took part.
pub type Race = Vec<(&'static Peer, Rounds)>;

/// Who is read by another program is so far from the others that more rounds tell nothing.
const ROUNDS_OF_INTERPRETED: usize = 2;

impl Contest {
    pub fn new(options: Options) -> Contest {
        machine::raise_descriptor_limit();
        let cores = Cores::of_this_process();
        cores.go_to_last();
        let facts = machine::facts(cores.count());
        let (peers, sheets) = (Vec::new(), Vec::new());
        let (present, skipped, measured) = (Vec::new(), Vec::new(), BTreeMap::new());
        Contest { options, cores, facts, peers, present, skipped, sheets, measured }
    }

    /// Runs what was asked for. Each scenario is written as soon as it is over.
    pub fn run(mut self) -> io::Result<()> {
        let began = Instant::now();
        self.gather();
        println!("{}\n", self.preamble());
        let mut report = Report::default();
        for scenario in SCENARIOS {
            let asked = &self.options.scenarios;
            if asked.is_empty() || asked.iter().any(|name| name == scenario.name) {
                (scenario.run)(&mut self);
                self.sheets.iter().for_each(|sheet| println!("{sheet}"));
                let (name, about) = (scenario.name.to_owned(), scenario.about);
                let sheets = std::mem::take(&mut self.sheets);
                let page = Page { name, about, preamble: self.preamble(), sheets };
                page.write(&self.options.out)?;
                report.pages.push(page);
            }
        }
        if self.options.scenarios.is_empty() {
            report.write(&self.preamble(), &self.options.out)?;
        }
        eprintln!("It took {:.0} s.", began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Finds out who can take part.
    fn gather(&mut self) {
        let asked = |peer: &Peer| {
            let names = &self.options.peers;
            names.is_empty() || names.iter().any(|name| name == peer.name)
        };
        for peer in peers::ALL.iter().filter(|peer| asked(peer)) {
            match peer.version() {
                Ok(version) => {
                    self.present.push(format!("{} {version}", peer.name));
                    self.peers.push(peer);
                }
                Err(reason) => self.skipped.push(format!("skipped: {}: {reason}", peer.name)),
            }
        }
    }

    fn preamble(&self) -> String {
        let mut lines = vec![self.options.command(), self.facts.clone(), self.present.join(", ")];
        lines.extend(self.skipped.iter().cloned());
        lines.join("\n")
    }

    pub fn peers(&self) -> &[&'static Peer] {
        &self.peers
    }

    /// Runs a part of a scenario with some of the peers only.
    pub fn among<T>(
        &mut self,
        is_in: impl Fn(&Peer) -> bool,
        part: impl FnOnce(&mut Contest) -> T,
    ) -> T {
        let all = self.peers.clone();
        self.peers.retain(|peer| is_in(peer));
        let result = part(self);
        self.peers = all;
        result
    }

    /// Runs a part of a scenario in so many rounds at most.
    pub fn in_rounds<T>(&mut self, most: usize, part: impl FnOnce(&mut Contest) -> T) -> T {
        let rounds = self.options.rounds;
        self.options.rounds = rounds.min(most);
        let result = part(self);
        self.options.rounds = rounds;
        result
    }

    /// Rounds in turn: `measure` gives the figures of one peer in one round. Who fails is out of
    /// this race, and the failure is told. What is named alike, by scenario and cell, is measured
    /// once in a run.
    pub fn race(
        &mut self,
        scenario: &str,
        cell: impl Fn(&Peer) -> String,
        mut measure: impl FnMut(&Contest, &'static Peer) -> io::Result<Vec<f64>>,
    ) -> Race {
        let racing = self.peers.iter().copied().filter(|peer| peer.has(scenario));
        let racing: Vec<&'static Peer> = racing.collect();
        let what = |peer: &Peer| format!("{scenario} {}", cell(peer)).trim().to_owned();
        let key = |peer: &Peer| format!("{}: {}", what(peer), peer.name);
        let mut left = racing.clone();
        left.retain(|peer| !self.measured.contains_key(&key(peer)));
        for round in 1..=self.options.rounds {
            left.retain(|peer| {
                if peer.is_interpreted() && round > ROUNDS_OF_INTERPRETED {
                    return false;
                }
                progress(&format!("{}, round {round}: {}", what(peer), peer.name));
                let figures = measure(self, peer);
                let rounds = self.measured.entry(key(peer)).or_default();
                match figures {
                    Ok(figures) => rounds.push(figures),
                    Err(error) => {
                        self.tell(format!("failed: {} in {}: {error}", peer.name, what(peer)));
                        return false;
                    }
                }
                true
            });
        }
        progress("");
        let measured = |peer: &'static Peer| Some((peer, self.measured.get(&key(peer))?.clone()));
        racing.into_iter().filter_map(measured).collect()
    }

    /// Starts a worker of a peer.
    pub fn start(
        &self,
        peer: &Peer,
        scenario: &str,
        sizes: &[usize],
        place: Place,
    ) -> io::Result<Worker> {
        let command = peer.command(scenario, sizes)?;
        self.cores.at(place, || Worker::start(command))
    }

    /// A race of workers that do a fixed amount of work, after `warm` that are not measured. The
    /// figures are for each unit of work.
    pub fn race_for_amount(
        &mut self,
        scenario: &str,
        sizes: &[usize],
        warm: u64,
        amount: impl Fn(&Peer) -> u64,
    ) -> Race {
        let cell = |peer: &Peer| format!("{} of {}", joined(sizes), amount(peer));
        self.race(scenario, cell, |contest, peer| {
            let (mut worker, amount) =
                (contest.start(peer, scenario, sizes, Place::Alone)?, amount(peer));
            if warm > 0 {
                worker.ask(warm)?;
            }
            Ok(each(worker.ask(amount)?, amount))
        })
    }

    /// A race of workers that decide themselves how much they do in the time of a round. The
    /// figures are for each unit of work.
    pub fn race_for_time(&mut self, scenario: &str, sizes: &[usize], least: u64) -> Race {
        self.race_for_time_at(Place::Alone, scenario, sizes, least)
    }

    /// The same at another place.
    pub fn race_for_time_at(
        &mut self,
        place: Place,
        scenario: &str,
        sizes: &[usize],
        least: u64,
    ) -> Race {
        self.race(
            scenario,
            |_| joined(sizes),
            |contest, peer| {
                let mut worker = contest.start(peer, scenario, sizes, place)?;
                let amount = calibrate(&mut worker, contest.options.seconds, least)?;
                Ok(each(worker.ask(amount)?, amount))
            },
        )
    }

    /// Notes what is missing.
    pub fn tell(&mut self, what: String) {
        eprintln!("{what}");
        self.skipped.push(what);
    }

    /// Adds a table, with a note that names those who have no part in it.
    pub fn add(&mut self, mut sheet: Sheet) {
        let present = sheet.peers();
        let absent = self.peers.iter().map(|peer| peer.name);
        let absent: Vec<&str> = absent.filter(|name| !present.contains(name)).collect();
        if !absent.is_empty() && !sheet.is_closed {
            sheet.note(format!("They have nothing of the kind: {}.", absent.join(", ")));
        }
        self.sheets.push(sheet);
    }
}

fn each(figures: Vec<f64>, amount: u64) -> Vec<f64> {
    figures.into_iter().map(|figure| figure / amount as f64).collect()
}

/// How much work takes as long as a round is to take. The worker gets warm by it.
fn calibrate(worker: &mut Worker, seconds: f64, least: u64) -> io::Result<u64> {
    let wanted = seconds * 1e9;
    let mut work = least;
    loop {
        let took = worker.ask(work)?.iter().sum::<f64>().max(1.0);
        if took >= wanted / 8.0 {
            let units = (work as f64 * wanted / took / least as f64) as u64;
            return Ok(units.max(1) * least);
        }
        work *= 4;
    }
}

/// Says what is being done, on standard error; in one line, if it is a terminal.
pub fn progress(what: &str) {
    let mut stderr = io::stderr();
    // Nobody is told if nobody listens.
    let _ = match (stderr.is_terminal(), what) {
        (true, what) => write!(stderr, "\r\x1b[K{what}").and_then(|()| stderr.flush()),
        (false, "") => Ok(()),
        (false, what) => writeln!(stderr, "  {what}"),
    };
}
