//! The run: which peers take part, rounds in turn, and what is printed and written in the end.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::cores::{Cores, Place};
use crate::instructions;
use crate::machine;
use crate::options::Options;
use crate::peers::{self, Peer};
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
    sheets: Vec<Sheet>,
}

/// The figures of one peer: for each round as many as its worker gives.
pub type Rounds = Vec<Vec<f64>>;

impl Contest {
    pub fn new(options: Options) -> Contest {
        machine::raise_descriptor_limit();
        let cores = Cores::of_this_process();
        cores.go_to_last();
        let facts = machine::facts(cores.count());
        let (peers, sheets) = (Vec::new(), Vec::new());
        let (present, skipped) = (Vec::new(), Vec::new());
        Contest { options, cores, facts, peers, present, skipped, sheets }
    }

    pub fn run(mut self) -> io::Result<()> {
        self.gather();
        println!("{}\n", self.preamble());
        for scenario in SCENARIOS {
            let asked = &self.options.scenarios;
            if asked.is_empty() || asked.iter().any(|name| name == scenario.name) {
                let before = self.sheets.len();
                (scenario.run)(&mut self);
                self.sheets[before..].iter().for_each(|sheet| println!("{sheet}"));
                self.write(scenario.name, scenario.about, before)?;
            }
        }
        Ok(())
    }

    /// Finds out who can take part.
    fn gather(&mut self) {
        let asked = |peer: &Peer| {
            let names = &self.options.peers;
            let is_asked = names.is_empty() || names.iter().any(|name| name == peer.name);
            // An interpreter under valgrind takes minutes, and nobody would learn from it.
            is_asked && !(self.options.instructions && peer.is_interpreted())
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
        let mut lines = vec![
            self.facts.clone(),
            format!("{} rounds, {} s each", self.options.rounds, self.options.seconds),
            self.present.join(", "),
        ];
        lines.extend(self.skipped.iter().cloned());
        lines.join("\n")
    }

    /// Runs a part of a scenario with some of the peers only.
    pub fn among(&mut self, is_in: impl Fn(&Peer) -> bool, part: impl FnOnce(&mut Contest)) {
        let all = self.peers.clone();
        self.peers.retain(|peer| is_in(peer));
        part(self);
        self.peers = all;
    }

    /// Rounds in turn: `measure` gives the figures of one peer in one round. Who fails is out of
    /// this race, and the failure is told.
    pub fn race(
        &mut self,
        scenario: &str,
        cell: &str,
        measure: impl FnMut(&Contest, &'static Peer) -> io::Result<Vec<f64>>,
    ) -> Vec<(&'static Peer, Rounds)> {
        self.race_rounds(self.options.rounds, scenario, cell, measure)
    }

    /// A race of one round, for figures that do not jitter.
    pub fn race_once(
        &mut self,
        scenario: &str,
        cell: &str,
        measure: impl FnMut(&Contest, &'static Peer) -> io::Result<Vec<f64>>,
    ) -> Vec<(&'static Peer, Rounds)> {
        self.race_rounds(1, scenario, cell, measure)
    }

    fn race_rounds(
        &mut self,
        rounds: usize,
        scenario: &str,
        cell: &str,
        mut measure: impl FnMut(&Contest, &'static Peer) -> io::Result<Vec<f64>>,
    ) -> Vec<(&'static Peer, Rounds)> {
        let racing = self.peers.iter().filter(|peer| peer.has(scenario));
        let mut all: Vec<(&Peer, Rounds)> = racing.map(|peer| (*peer, Vec::new())).collect();
        let what = format!("{scenario} {cell}");
        let what = what.trim();
        let mut failed = Vec::new();
        for round in 1..=rounds {
            all.retain_mut(|(peer, rounds)| {
                progress(&format!("{what}, round {round}: {}", peer.name));
                let figures = measure(self, peer);
                match figures {
                    Ok(figures) => rounds.push(figures),
                    Err(error) => {
                        failed.push(format!("failed: {} in {what}: {error}", peer.name));
                        return false;
                    }
                }
                true
            });
        }
        progress("");
        failed.into_iter().for_each(|line| self.tell(line));
        all
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

    /// A race of workers that decide themselves how much they do in the time of a round. The
    /// figures are for each unit of work.
    pub fn race_for_time(
        &mut self,
        scenario: &str,
        sizes: &[usize],
        least: u64,
    ) -> Vec<(&'static Peer, Rounds)> {
        self.race_for_time_at(Place::Alone, scenario, sizes, least)
    }

    /// The same at another place.
    pub fn race_for_time_at(
        &mut self,
        place: Place,
        scenario: &str,
        sizes: &[usize],
        least: u64,
    ) -> Vec<(&'static Peer, Rounds)> {
        let cell = sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        if self.options.instructions && place == Place::Alone {
            let cell = format!("{cell} valgrind");
            return self.race_once(scenario, &cell, |contest, peer| {
                Ok(vec![instructions::per_unit(contest, peer, scenario, sizes, least)?])
            });
        }
        self.race(scenario, &cell, |contest, peer| {
            let mut worker = contest.start(peer, scenario, sizes, place)?;
            let amount = calibrate(&mut worker, contest.options.seconds, least)?;
            let figures = worker.ask(amount)?;
            Ok(figures.into_iter().map(|figure| figure / amount as f64).collect())
        })
    }

    /// What the figures of `race_for_time` count.
    pub fn unit(&self, time: &'static str) -> &'static str {
        if self.options.instructions { "instructions" } else { time }
    }

    /// Notes what is missing.
    pub fn tell(&mut self, what: String) {
        eprintln!("{what}");
        self.skipped.push(what);
    }

    pub fn add(&mut self, sheet: Sheet) {
        self.sheets.push(sheet);
    }

    /// Writes what a scenario has given as Markdown, and a chart for each sheet.
    fn write(&self, scenario: &str, about: &str, first: usize) -> io::Result<()> {
        let out: &Path = &self.options.out;
        let scenario = match self.options.instructions {
            true => format!("{scenario}-instructions"),
            false => scenario.to_owned(),
        };
        fs::create_dir_all(out)?;
        let mut text = format!("# {scenario}\n\n{about}\n\n```text\n{}\n```\n", self.preamble());
        for (number, sheet) in (1..).zip(&self.sheets[first..]) {
            let chart = format!("{scenario}-{number}.svg");
            fs::write(out.join(&chart), sheet.chart())?;
            text += &format!("\n{}\n![{}]({chart})\n", sheet.markdown(), sheet.title);
        }
        fs::write(out.join(format!("{scenario}.md")), text)
    }
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
