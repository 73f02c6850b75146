//! Parts of the benches: options, the two sides and their processes, figures, tables.
//!
//! Both sides run in one run of a bench, in turn: A B A B. Each has a process on the first core;
//! the load runs on the last core. Figures are CPU time, which other processes disturb least, and
//! for each pair of rounds the ratio mainspring / raw. `1.03 (1.01..1.06)` is the median, the
//! minimum and the maximum of the ratios.
#![allow(dead_code)] // Each bench uses a part of this module.

pub mod child;
pub mod figures;
pub mod instructions;
pub mod load;
pub mod options;
pub mod rounds;
pub mod server;
pub mod table;

use std::env;
use std::fs;

use options::{Effort, Options};

use crate::raw;

/// A side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Raw,
    Mainspring,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Raw, Side::Mainspring];

    pub fn name(self) -> &'static str {
        match self {
            Side::Raw => "raw",
            Side::Mainspring => "mainspring",
        }
    }

    fn named(name: &str) -> Side {
        if name == Side::Raw.name() { Side::Raw } else { Side::Mainspring }
    }
}

/// The `main` of a bench. `run_bench` runs in the main process, `work` in the workers that it
/// starts, with the words of their command line and their side.
pub fn run(name: &str, run_bench: fn(&Options), work: fn(&[String], Side)) {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [flag, core, words @ .., side] = &words[..]
        && flag == child::WORKER
    {
        let core = core.parse().expect("the main process passes a core");
        raw::pin(core).expect("sched_setaffinity(2) accepts a core of the process");
        return work(words, Side::named(side));
    }
    let options = Options::parse(words);
    if !raw::IS_SUPPORTED {
        return println!("{name}: skipped, because this system has no epoll");
    }
    if options.effort != Effort::Smoke {
        println!("\n# {name}\n\n{}\n", machine());
    }
    let (_, last) = child::cores();
    raw::pin(last).expect("sched_setaffinity(2) accepts a core of the process");
    run_bench(&options);
}

/// Returns a description of the machine.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown CPU").trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{model}, {cores} cores, kernel {}, load {load}", kernel.trim())
}
