//! mainspring beside what one would use instead of it, on the same work in the same run.
//!
//! ```text
//! cargo run --release -p compare -- [SCENARIO ..] [--peers a,b,..] [--rounds N]
//! ```
//!
//! This process leads: it starts a worker for each peer and each round, on a core of its own, one
//! peer after the other (A B C, A B C ..), asks it for work, and prints medians. Where a scenario
//! needs clients, this process is all of them.

use std::env;
use std::process::ExitCode;

#[path = "../../support/figures.rs"]
#[allow(dead_code)] // The benches of the loop alone use the rest.
mod figures;
#[path = "../../raw/mod.rs"]
mod raw;

mod calls;
mod chart;
mod contest;
mod cores;
mod curves;
mod http_load;
mod instructions;
mod load;
mod machine;
mod options;
mod peers;
mod report;
mod scenarios;
mod server;
mod sheet;
mod summary;
mod tools;
mod work;
mod worker;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [flag, peer, scenario, arguments @ ..] = &words[..]
        && flag == worker::FLAG
    {
        peers::work(peer, scenario, arguments);
        return ExitCode::SUCCESS;
    }
    let options = options::Options::parse(words);
    match contest::Contest::new(options).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
