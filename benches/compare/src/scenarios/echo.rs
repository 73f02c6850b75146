//! TCP echo: what a request costs the server.
//!
//! A cell is `size x connections`, or `size x connections x in flight`. Each connection sends
//! requests and keeps so many under way (else one), and checks every byte that comes back. The
//! figure is the CPU time of the server's process for a request, all threads and the kernel's work
//! in its name included; it runs on one core, the load on another one.
//!
//! All have `TCP_NODELAY` (from the listener, or set for each connection by those who insist),
//! buffers of 64 KiB to read into, and a backlog of 4096. Callbacks share one buffer, and so do
//! mainspring's tasks; those of the others have one each. Servers are written as the documentation
//! of each peer writes them; where it offers a choice they have what is best here: level-triggered
//! polling, mio with a short read taken as the last, asyncio and uvloop with buffered protocols.
//!
//! System calls are counted in a run of their own, all that the server makes for a request.

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

/// For which system calls are counted.
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

/// With fewer requests the clock is too coarse.
const LEAST: usize = 500;

/// In these a single pass over all connections takes as long as a round elsewhere.
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
    match Counter::here() {
        Ok(counter) => count(comparison, counter),
        Err(reason) => comparison.report_missing(format!("skipped: system calls: {reason}")),
    }
}

/// The race of a cell, which the growth has as well.
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

/// The system calls of a request.
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

/// What connects, and then sends as many requests as it is asked for.
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

/// All connections have as many requests under way as they may, at least once.
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
