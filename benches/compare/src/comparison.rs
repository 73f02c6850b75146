//! The comparison: the peers that take part, and their measurements, in rounds.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use crate::cores::{Cores, Placement};
use crate::machine;
use crate::options::{Options, joined};
use crate::peers::peer::Peer;
use crate::table::{Results, Rounds, Table};
use crate::worker::Worker;

/// The state of a run in the main process.
#[derive(Debug)]
pub struct Comparison {
    pub options: Options,
    pub cores: Cores,
    /// Description of the machine.
    machine: String,
    /// Peers that the next measurement includes.
    peers: Vec<&'static Peer>,
    /// Names and versions of the requested peers that are available.
    versions: Vec<String>,
    /// Lines about missing peers, failed measurements and missing tools.
    missing: Vec<String>,
    /// Tables of the scenario that runs.
    tables: Vec<Table>,
    /// Figures of this run by scenario, cell and peer. A scenario reuses what another one measured.
    measured: BTreeMap<String, Rounds>,
}

/// Most rounds of an interpreted peer: it is so much slower than the others that two rounds
/// suffice.
const ROUNDS_OF_INTERPRETED: usize = 2;

impl Comparison {
    /// Finds the peers among `all` that are requested and available.
    pub fn new(options: Options, all: &'static [Peer]) -> Comparison {
        machine::raise_descriptor_limit();
        let cores = Cores::of_this_process();
        cores.go_to_last();
        let mut comparison = Comparison {
            machine: machine::description(cores.count()),
            options,
            cores,
            peers: Vec::new(),
            versions: Vec::new(),
            missing: Vec::new(),
            tables: Vec::new(),
            measured: BTreeMap::new(),
        };
        comparison.find_peers(all);
        comparison
    }

    fn find_peers(&mut self, all: &'static [Peer]) {
        for peer in all.iter().filter(|peer| self.options.includes_peer(peer.name)) {
            match peer.version() {
                Ok(version) => {
                    self.versions.push(format!("{} {version}", peer.name));
                    self.peers.push(peer);
                }
                Err(reason) => self.missing.push(format!("skipped: {}: {reason}", peer.name)),
            }
        }
    }

    /// Returns the command line, the machine, the peers, and what is missing.
    pub fn preamble(&self) -> String {
        let mut lines =
            vec![self.options.command(), self.machine.clone(), self.versions.join(", ")];
        lines.extend(self.missing.iter().cloned());
        lines.join("\n")
    }

    pub fn peers(&self) -> &[&'static Peer] {
        &self.peers
    }

    /// Runs a part of a scenario with some of the peers only.
    pub fn with_peers<T>(
        &mut self,
        is_included: impl Fn(&Peer) -> bool,
        part: impl FnOnce(&mut Comparison) -> T,
    ) -> T {
        let all = self.peers.clone();
        self.peers.retain(|peer| is_included(peer));
        let result = part(self);
        self.peers = all;
        result
    }

    /// Runs a part of a scenario in at most `most` rounds.
    pub fn with_rounds<T>(&mut self, most: usize, part: impl FnOnce(&mut Comparison) -> T) -> T {
        let rounds = self.options.rounds;
        self.options.rounds = rounds.min(most);
        let result = part(self);
        self.options.rounds = rounds;
        result
    }

    /// Measures all peers in rounds: A B C, A B C, and so on.
    ///
    /// `measure` returns the figures of one peer in one round. A peer that fails is left out of the
    /// remaining rounds, and its failure is reported. Figures with the same scenario and cell are
    /// measured once in a run.
    pub fn measure(
        &mut self,
        scenario: &str,
        cell: impl Fn(&Peer) -> String,
        mut measure: impl FnMut(&Comparison, &'static Peer) -> io::Result<Vec<f64>>,
    ) -> Results {
        let able: Vec<&'static Peer> =
            self.peers.iter().copied().filter(|peer| peer.has(scenario)).collect();
        let name = |peer: &Peer| format!("{scenario} {}", cell(peer)).trim().to_owned();
        let key = |peer: &Peer| format!("{}: {}", name(peer), peer.name);
        let mut left = able.clone();
        left.retain(|peer| !self.measured.contains_key(&key(peer)));
        for round in 1..=self.options.rounds {
            left.retain(|peer| {
                if peer.is_interpreted() && round > ROUNDS_OF_INTERPRETED {
                    return false;
                }
                progress(&format!("{}, round {round}: {}", name(peer), peer.name));
                let figures = measure(self, peer);
                let rounds = self.measured.entry(key(peer)).or_default();
                match figures {
                    Ok(figures) => rounds.push(figures),
                    Err(error) => {
                        self.report_missing(format!(
                            "failed: {}, {}: {error}",
                            peer.name,
                            name(peer)
                        ));
                        return false;
                    }
                }
                true
            });
        }
        progress("");
        let measured = |peer: &'static Peer| Some((peer, self.measured.get(&key(peer))?.clone()));
        able.into_iter().filter_map(measured).collect()
    }

    /// Starts a worker of a peer.
    pub fn start(
        &self,
        peer: &Peer,
        scenario: &str,
        sizes: &[usize],
        placement: Placement,
    ) -> io::Result<Worker> {
        let command = peer.command(scenario, sizes)?;
        self.cores.start_at(placement, || Worker::start(command))
    }

    /// Measures workers that do a fixed amount of work, after a warm-up of `warm` units. The
    /// figures are per unit.
    pub fn measure_amount(
        &mut self,
        scenario: &str,
        sizes: &[usize],
        warm: u64,
        amount: impl Fn(&Peer) -> u64,
    ) -> Results {
        let cell = |peer: &Peer| format!("{} of {}", joined(sizes), amount(peer));
        self.measure(scenario, cell, |comparison, peer| {
            let mut worker = comparison.start(peer, scenario, sizes, Placement::FirstCore)?;
            let amount = amount(peer);
            if warm > 0 {
                worker.request(warm)?;
            }
            Ok(per_unit(worker.request(amount)?, amount))
        })
    }

    /// Measures workers that do as much work as fits into the time of a round, in multiples of
    /// `least`. The figures are per unit.
    pub fn measure_for_time(&mut self, scenario: &str, sizes: &[usize], least: u64) -> Results {
        self.measure_for_time_at(Placement::FirstCore, scenario, sizes, least)
    }

    /// Like [`measure_for_time`](Comparison::measure_for_time), with a choice of the cores.
    pub fn measure_for_time_at(
        &mut self,
        placement: Placement,
        scenario: &str,
        sizes: &[usize],
        least: u64,
    ) -> Results {
        self.measure(
            scenario,
            |_| joined(sizes),
            |comparison, peer| {
                let mut worker = comparison.start(peer, scenario, sizes, placement)?;
                let amount = calibrate(&mut worker, comparison.options.seconds, least)?;
                Ok(per_unit(worker.request(amount)?, amount))
            },
        )
    }

    /// Notes something that the results lack, on standard error and on the pages.
    pub fn report_missing(&mut self, line: String) {
        eprintln!("{line}");
        self.missing.push(line);
    }

    /// Adds a table to the page of the scenario, with a note that names peers without a figure.
    pub fn add(&mut self, mut table: Table) {
        let present = table.peers();
        let absent = self.peers.iter().map(|peer| peer.name);
        let absent: Vec<&str> = absent.filter(|name| !present.contains(name)).collect();
        if !absent.is_empty() && !table.is_partial {
            table.note(format!("Not available in {}.", absent.join(", ")));
        }
        self.tables.push(table);
    }

    /// Returns the tables that the scenario has added.
    pub fn take_tables(&mut self) -> Vec<Table> {
        std::mem::take(&mut self.tables)
    }
}

fn per_unit(figures: Vec<f64>, amount: u64) -> Vec<f64> {
    figures.into_iter().map(|figure| figure / amount as f64).collect()
}

/// Returns the amount of work that takes about `seconds`. The search also warms the worker up.
fn calibrate(worker: &mut Worker, seconds: f64, least: u64) -> io::Result<u64> {
    let wanted = seconds * 1e9;
    let mut work = least;
    loop {
        let took = worker.request(work)?.iter().sum::<f64>().max(1.0);
        if took >= wanted / 8.0 {
            let units = (work as f64 * wanted / took / least as f64) as u64;
            return Ok(units.max(1) * least);
        }
        work *= 4;
    }
}

/// Prints the current step on standard error. On a terminal each step overwrites the last one.
pub fn progress(step: &str) {
    let mut stderr = io::stderr();
    // Progress is optional: an error of standard error does not stop the run.
    let _ = match (stderr.is_terminal(), step) {
        (true, step) => write!(stderr, "\r\x1b[K{step}").and_then(|()| stderr.flush()),
        (false, "") => Ok(()),
        (false, step) => writeln!(stderr, "  {step}"),
    };
}
