//! Compares mainspring with its peers: the same work in the same run.
//!
//! ```text
//! cargo run --release -p compare -- [SCENARIO ..] [--peers a,b,..] [--rounds N]
//! ```
//!
//! The main process starts a worker for each peer and each round, on a core that the worker has
//! alone. Peers take turns (A B C, A B C ..). The main process requests work, reads the figures and
//! prints medians. If a scenario needs clients, they run in the main process.

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

#[path = "../../support/figures.rs"]
#[allow(dead_code)] // Only the benches in the folder above use the rest.
mod figures;
#[path = "../../raw/mod.rs"]
mod raw;

mod calls;
mod chart;
mod comparison;
mod cores;
mod curves;
mod http_load;
mod instructions;
mod lanes;
mod load;
mod machine;
mod options;
mod peers;
mod report;
mod scenarios;
mod server;
mod summary;
mod table;
mod tools;
mod work;
mod worker;

use comparison::Comparison;
use options::{Choices, Options};
use report::{Page, Report};
use scenarios::SCENARIOS;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [flag, peer, scenario, sizes @ ..] = &words[..]
        && flag == worker::FLAG
    {
        peers::run_worker(peer, scenario, sizes);
        return ExitCode::SUCCESS;
    }
    match run(Options::parse(words, &choices())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn choices() -> Choices {
    Choices {
        scenarios: SCENARIOS.iter().map(|scenario| (scenario.name, scenario.about)).collect(),
        peers: peers::ALL.iter().map(|peer| peer.name).collect(),
    }
}

/// Runs the requested scenarios. Each page is written when its scenario ends, and the index after a
/// run of all scenarios.
fn run(options: Options) -> io::Result<()> {
    let began = Instant::now();
    let mut comparison = Comparison::new(options, peers::ALL);
    println!("{}\n", comparison.preamble());
    let mut report = Report::default();
    for scenario in SCENARIOS {
        if !comparison.options.includes_scenario(scenario.name) {
            continue;
        }
        (scenario.run)(&mut comparison);
        let tables = comparison.take_tables();
        tables.iter().for_each(|table| println!("{table}"));
        let (name, about) = (scenario.name.to_owned(), scenario.about);
        let page = Page { name, about, preamble: comparison.preamble(), tables };
        page.write(&comparison.options.out)?;
        report.pages.push(page);
    }
    if comparison.options.scenarios.is_empty() {
        report.write(&comparison.preamble(), &comparison.options.out)?;
    }
    eprintln!("The run took {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}
