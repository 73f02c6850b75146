//! Memory of the server per idle connection.
//!
//! Connections are opened to a server in a separate process. Each sends one message first, so that
//! memory which is allocated on first use is included. The figure is the growth of resident memory
//! per connection (`Rss`, and the proportional share `Pss`) from `/proc`. It includes unused
//! capacity of tables, but not the kernel's memory of a socket. A cell is the number of
//! connections.

mod raw;
mod support;

use std::fs;

use support::figures::figure;
use support::load::Load;
use support::options::Options;
use support::server::{Server, serve};
use support::table::Table;
use support::{Side, run};

fn main() {
    run("idle", run_bench, |_, side| serve(side));
}

fn run_bench(options: &Options) {
    let cells = options.cells(&[&[10]], &[&[1000], &[9000]], &[&[1000], &[9000]]);
    let mut table =
        Table::new(&["connections", "side", "Pss bytes each", "Rss bytes each", "Rss before"]);
    for cell in cells {
        for side in Side::BOTH {
            options.progress(&format!("{} {}", cell[0], side.name()));
            let [pss, rss, before] = growth(side, cell[0]);
            let name = [cell[0].to_string(), side.name().to_owned()];
            table.row(name.into_iter().chain([pss, rss, before].map(figure)));
        }
    }
    table.print(options);
}

/// Returns bytes per connection by `Pss` and `Rss`, and the `Rss` without connections.
fn growth(side: Side, connections: usize) -> [f64; 3] {
    let server = Server::start(side);
    let mut one = Load::connect(server.address(), 1, 64).expect("the server accepts");
    one.run(1000).expect("the server serves");
    let before = memory(server.process);
    let mut all = Load::connect(server.address(), connections, 64).expect("the server accepts");
    all.run(connections).expect("the server serves");
    let after = memory(server.process);
    let each = |at: usize| (after[at] - before[at]) / connections as f64;
    [each(0), each(1), before[1]]
}

/// Returns `Pss` and `Rss` of a process in bytes.
fn memory(process: u32) -> [f64; 2] {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let text = text.expect("/proc/PID/smaps_rollup is readable");
    ["Pss:", "Rss:"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<f64>();
        kilobytes.expect("a number of kilobytes") * 1024.0
    })
}
