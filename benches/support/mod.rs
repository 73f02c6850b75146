//! What the benches share: options, the two sides and their processes, figures, tables.
//!
//! Both sides run in one run of a bench, each in a process of its own on the first core, in turn: A B
//! A B. Whatever loads them runs on the last one. The figures are CPU time, which other work on the
//! machine disturbs least, and for each pair of rounds the ratio mainspring / raw, of which the
//! median counts. What is printed as `1.03 (1.01..1.06)` is the median, the least and the greatest
//! ratio.
#![allow(dead_code)] // Each bench uses a part of it.

pub mod child;
pub mod figures;
pub mod instructions;
pub mod load;
pub mod options;
pub mod race;
pub mod server;
pub mod table;

use std::env;
use std::fs;

use options::{Effort, Options};

use crate::raw;

/// One of the two loops that are compared.
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

/// The `main` of a bench: `lead` runs in the process that was started, `work` in those that it
/// starts, which get the words that they were started with and their side.
pub fn run(name: &str, lead: fn(&Options), work: fn(&[String], Side)) {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [flag, core, words @ .., side] = &words[..]
        && flag == child::WORKER
    {
        let core = core.parse().expect("a leader names a core");
        raw::pin(core).expect("a process may choose among its cores");
        return work(words, Side::named(side));
    }
    let options = Options::parse(words);
    if !raw::IS_HERE {
        return println!("{name}: skipped, there is no epoll to compare with");
    }
    if options.effort != Effort::Smoke {
        println!("\n# {name}\n\n{}\n", machine());
    }
    let (_, last) = child::cores();
    raw::pin(last).expect("a process may choose among its cores");
    lead(&options);
}

/// What the figures depend on.
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
