//! An echo server over TCP: CPU time per request, and requests per second.
//!
//! The server runs in a separate process on one core, the load generator on another one. Each
//! connection sends a message, waits for its echo, checks every byte and sends the next one. A cell
//! is `size x connections`.
//!
//! Most of the time of a request is the kernel's and the same on both sides; `more` is the
//! difference between mainspring and raw. The slower of the two processes limits the rate, so
//! compare the CPU time.
//!
//! `--count` counts system calls per request with strace. It slows the server down, so that more
//! connections are ready in each wait. Compare the sides, and calls that do not depend on the
//! waits. `--instructions` counts instructions with valgrind, with the same effect.

mod raw;
mod support;

use std::collections::BTreeMap;

use support::child::is_installed;
use support::figures::{Pairs, figure};
use support::instructions::collected;
use support::load::Load;
use support::options::Options;
use support::rounds::{calibrate, pairs};
use support::server::{Server, serve};
use support::table::Table;
use support::{Side, run};

fn main() {
    run("echo", run_bench, |_, side| serve(side));
}

fn run_bench(options: &Options) {
    let cells = options.cells(
        &[&[64, 5]],
        &[&[64, 1], &[64, 50], &[64, 1000], &[10240, 50]],
        &[&[64, 1], &[64, 50], &[64, 1000], &[10240, 1], &[10240, 50], &[10240, 1000]],
    );
    match (options.count, options.instructions) {
        (true, _) => count(options, &cells),
        (_, true) => instructions(options, &cells),
        _ => time(options, &cells),
    }
}

fn time(options: &Options, cells: &[Vec<usize>]) {
    let heading = ["cell", "raw ns CPU", "mainspring", "ratio", "raw req/s", "mainspring", "ratio"];
    let mut table = Table::new(&heading);
    for cell in cells {
        let name = name(cell);
        options.progress(&name);
        let (cost, rate) = cost_and_rate(options, cell);
        table.row([name].into_iter().chain(cost.columns()).chain(rate.columns()));
    }
    table.print(options);
}

fn name(cell: &[usize]) -> String {
    format!("{}x{}", cell[0], cell[1])
}

/// Returns CPU nanoseconds of the server per request, and requests per second.
fn cost_and_rate(options: &Options, cell: &[usize]) -> (Pairs, Pairs) {
    let mut sides = Side::BOTH.map(|side| {
        let server = Server::start(side);
        let load = Load::connect(server.address(), cell[1], cell[0]).expect("the server accepts");
        (server, load)
    });
    let mut send = |side: Side, requests: u64| {
        let (server, load) = &mut sides[usize::from(side == Side::Mainspring)];
        let before = server.cpu();
        let took = load.run(requests as usize).expect("the server serves");
        ((server.cpu() - before).as_nanos() as f64 / requests as f64, took.as_secs_f64())
    };
    let requests =
        calibrate(options, cell[1] as u64 * 2, |requests| send(Side::Raw, requests).1 * 1e9);
    send(Side::Mainspring, requests); // Warm-up.
    let mut rates = Vec::new();
    let cost = pairs(options, |side| {
        let (cost, seconds) = send(side, requests);
        rates.push(requests as f64 / seconds);
        cost
    });
    (cost, Pairs(rates.as_chunks().0.to_vec()))
}

const STRACE: &[&str] = &["strace", "-f", "-c", "-U", "calls,name"];
const CALLS: [&str; 4] = ["recvfrom", "sendto", "epoll_wait", "epoll_ctl"];

fn count(options: &Options, cells: &[Vec<usize>]) {
    if !is_installed(STRACE[0]) {
        return println!("skipped: strace is not installed");
    }
    let mut table = Table::new(&["cell", "side", "recv", "send", "epoll_wait", "epoll_ctl", "all"]);
    for cell in cells {
        for side in Side::BOTH {
            options.progress(&format!("{} {}", name(cell), side.name()));
            let calls = calls_per_request(cell, side);
            let of = |call| format!("{:.4}", calls.get(call).copied().unwrap_or(0.0));
            let first = [name(cell), side.name().to_owned()];
            let all = format!("{:.4}", calls.values().sum::<f64>());
            table.row(first.into_iter().chain(CALLS.map(of)).chain([all]));
        }
    }
    table.print(options);
}

/// Returns the difference between a long and a short run, in which start, accept and close cancel
/// out.
fn calls_per_request(cell: &[usize], side: Side) -> BTreeMap<String, f64> {
    let short = requests_for(cell);
    let counted = |requests| parse_calls(&report_of(STRACE, cell, side, requests));
    let (few, many) = (counted(short), counted(short * 3));
    let before = |call: &str| few.get(call).copied().unwrap_or(0.0);
    let share = |(call, count): (String, f64)| {
        let count = (count - before(&call)) / (2 * short) as f64;
        (call, count)
    };
    many.into_iter().map(share).collect()
}

fn requests_for(cell: &[usize]) -> usize {
    (cell[1] * 4).max(2000)
}

fn report_of(tool: &[&str], cell: &[usize], side: Side, requests: usize) -> String {
    let server = Server::start_under(tool, side);
    let load = Load::connect(server.address(), cell[1], cell[0]);
    let mut load = load.expect("the server accepts");
    load.run(requests).expect("the server serves");
    server.end()
}

fn parse_calls(report: &str) -> BTreeMap<String, f64> {
    let calls = report.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        let name = match name.trim() {
            "total" => return None,
            "epoll_pwait" | "epoll_pwait2" => "epoll_wait",
            name => name,
        };
        Some((name.to_owned(), count.parse().ok()?))
    });
    let mut sums = BTreeMap::new();
    calls.for_each(|(name, count): (_, f64)| *sums.entry(name).or_default() += count);
    sums
}

const CALLGRIND: &[&str] = &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

fn instructions(options: &Options, cells: &[Vec<usize>]) {
    if !is_installed(CALLGRIND[0]) {
        return println!("skipped: valgrind is not installed");
    }
    let mut table = Table::new(&["instructions", "raw", "mainspring", "more"]);
    for cell in cells {
        options.progress(&name(cell));
        let requests = requests_for(cell) * 4;
        let [raw, ours] = Side::BOTH.map(|side| {
            let counted = |requests| collected(&report_of(CALLGRIND, cell, side, requests));
            (counted(requests * 3) - counted(requests)) / (2 * requests) as f64
        });
        table.row([name(cell), figure(raw), figure(ours), figure(ours - raw)]);
    }
    table.print(options);
}
