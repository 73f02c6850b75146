//! TCP echo: cost of a request for the server.
//!
//! A cell is `size x connections`, or `size x connections x requests in flight` (otherwise 1). Each
//! connection sends requests and checks every byte of the echoes. The figure is the CPU time of the
//! server's process per request, with all threads and the kernel's work for them. The server runs
//! on one core, the load on another.
//!
//! All servers have `TCP_NODELAY`, a backlog of 4096, and read buffers of 64 KiB. Callbacks share
//! one buffer, as do mainspring's tasks; tasks of the other peers have one each. A server follows
//! the documentation of its peer. If that leaves a choice, the server takes the fastest one:
//! polling level-triggered, mio with a short read as the last one, asyncio and uvloop with buffered
//! protocols.
//!
//! System calls are counted in a separate run.

use std::io;

use super::scenario::Scenario;
use crate::calls::{self, Counter};
use crate::comparison::Comparison;
use crate::load::Load;
use crate::options::joined;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::table::{Headline, RAW, Results, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "echo", about: "TCP echo: CPU time and system calls of the server", run };

const CELLS: &[&[usize]] = &[
    &[64, 1],
    &[64, 50],
    &[64, 1000],
    &[64, 8000],
    &[1024, 1],
    &[1024, 50],
    &[1024, 1000],
    &[1024, 8000],
    &[10240, 1],
    &[10240, 50],
    &[10240, 1000],
    &[10240, 8000],
    &[102400, 1],
    &[102400, 50],
    &[102400, 1000],
    &[102400, 8000],
    &[64, 1, 16],
    &[64, 50, 16],
    &[1024, 50, 16],
    &[10240, 50, 16],
];
const FEW: &[&[usize]] = &[&[64, 50], &[10240, 50], &[64, 50, 16]];

/// Cells with a count of system calls.
const COUNTED: &[&[usize]] = &[
    &[64, 1],
    &[64, 50],
    &[64, 1000],
    &[64, 8000],
    &[1024, 50],
    &[10240, 50],
    &[102400, 50],
    &[64, 50, 16],
];

/// Least number of requests in a round: with fewer, the CPU clock is too coarse.
const LEAST: usize = 500;

/// Number of connections from which on three rounds suffice: one request on each connection takes
/// as long as a round of other cells.
const MANY: usize = 1000;

fn run(comparison: &mut Comparison) {
    let cells = comparison.options.cells(FEW, CELLS);
    let is_alike = |one: &Vec<usize>, other: &Vec<usize>| {
        one.len() == other.len() && (one[0] == other[0] || one.len() > 2)
    };
    for cells in cells.chunk_by(is_alike) {
        let what = match cells[0][..] {
            [_, _, in_flight, ..] => format!("echo, {in_flight} requests in flight"),
            _ => format!("echo of {}", size(cells[0][0])),
        };
        let mut table = Table::new(format!("TCP {what}: CPU time"), "ns CPU a request", RAW);
        table.headline = Headline::Whole(what);
        for cell in cells {
            table.add(joined(cell), &measure_cell(comparison, cell), 0);
        }
        comparison.add(table);
    }
    match Counter::available() {
        Ok(counter) => count(comparison, counter),
        Err(reason) => comparison.report_missing(format!("skipped: system calls: {reason}")),
    }
}

/// Measures a cell. The scenario `growth` contains some of the cells, too.
pub fn measure_cell(comparison: &mut Comparison, cell: &[usize]) -> Results {
    let most = if cell[1] >= MANY { 3 } else { usize::MAX };
    comparison.with_rounds(most, |comparison| {
        comparison.measure(
            "echo",
            |_| joined(cell),
            |comparison, peer| cost(comparison, peer, cell),
        )
    })
}

fn count(comparison: &mut Comparison, counter: Counter) {
    let mut table = Table::new("TCP echo: system calls", "calls a request", RAW);
    for cell in &comparison.options.cells(FEW, COUNTED) {
        table.add(joined(cell), &calls(comparison, counter, cell), 0);
    }
    table.note(counter.note());
    comparison.add(table);
}

/// Returns the system calls per request.
pub fn calls(comparison: &mut Comparison, counter: Counter, cell: &[usize]) -> Results {
    let amount = (cell[1] * 2).max(2000);
    comparison.with_rounds(1, |comparison| {
        let what = |_: &Peer| format!("{}, system calls", joined(cell));
        comparison.measure("echo", what, |comparison, peer| {
            Ok(vec![calls::per_unit(counter, comparison, peer, amount, requests(cell))?])
        })
    })
}

fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} B") }
}

/// Returns a function that connects and returns another one, which sends a number of requests.
pub fn requests(cell: &[usize]) -> impl Fn(&Server) -> io::Result<Requests> {
    |server| {
        let mut load = load(server, cell)?;
        Ok(Box::new(move |requests| load.run(requests).map(drop)))
    }
}

pub type Requests = Box<dyn FnMut(usize) -> io::Result<()>>;

fn load(server: &Server, cell: &[usize]) -> io::Result<Load> {
    Load::connect(server.address(), cell[1], cell[0], cell.get(2).copied().unwrap_or(1))
}

/// Returns the CPU time per request. Each connection reaches its full number of requests in flight.
fn cost(comparison: &Comparison, peer: &Peer, cell: &[usize]) -> io::Result<Vec<f64>> {
    let server = Server::start(comparison, peer, "echo")?;
    let mut load = load(&server, cell)?;
    let least = (cell[1] * cell.get(2).unwrap_or(&1)).max(LEAST);
    let mut requests = least;
    let took = loop {
        let took = load.run(requests)?.as_secs_f64();
        if took >= comparison.options.seconds / 8.0 {
            break took;
        }
        requests *= 4;
    };
    let requests = (requests as f64 * comparison.options.seconds / took) as usize;
    let requests = requests.max(least);
    let before = server.cpu()?;
    load.run(requests)?;
    Ok(vec![(server.cpu()? - before).as_nanos() as f64 / requests as f64])
}
