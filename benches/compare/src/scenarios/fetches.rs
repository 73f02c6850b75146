//! Fetches at once from a server that answers slowly: what a model of concurrency costs.
//!
//! The server waits 150 ms before the header and 50 ms before the body. `blocking` fetches one page
//! after another. `threads` and `processes` have one thread or process for each fetch, the others
//! one thread for all.
//!
//! * `wall time`: until the last fetch has ended.
//! * `CPU time`: of the process, and of its children, for each fetch.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mainspring::net::{Address, ListenOptions, Transport, listen};
use mainspring::{EventLoop, LoopHandle, Remote, Result};

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::table::{Base, Picture, Results, Table};
use crate::work::fetches::{FIGURES, SHOWN};

pub const SCENARIO: Scenario =
    Scenario { name: "fetches", about: "the same fetches by each model of concurrency", run };

const BEFORE_HEADER: Duration = Duration::from_millis(150);
const BEFORE_BODY: Duration = Duration::from_millis(50);

/// Numbers of fetches at once.
const CELLS: &[&[usize]] = &[&[SHOWN], &[100], &[1000]];

/// Most fetches of `blocking`, which takes 200 ms for each.
const MOST_IN_TURN: usize = SHOWN;

fn run(comparison: &mut Comparison) {
    let server = match Server::start() {
        Ok(server) => server,
        Err(error) => return comparison.report_missing(format!("failed: fetches: {error}")),
    };
    let mut wall = Table::new("Wall time", "ms for all", Base::Best);
    let mut cost = Table::new("CPU time", "µs CPU a fetch", Base::Best);
    for cell in comparison.options.cells(&CELLS[..1], CELLS) {
        let name = format!("{} at once", cell[0]);
        let results = measure(comparison, &server, cell[0]);
        if cell[0] == SHOWN {
            comparison.add(in_time(&results));
        }
        wall.add(&name, &in_units(&results, 1e6), 0);
        cost.add(&name, &in_units(&results, 1e3), 1);
    }
    wall.is_partial = true;
    cost.is_partial = true;
    comparison.add(wall);
    comparison.add(cost);
}

fn measure(comparison: &mut Comparison, server: &Server, count: usize) -> Results {
    let is_able = |peer: &Peer| peer.name != "blocking" || count <= MOST_IN_TURN;
    comparison.with_peers(is_able, |comparison| {
        let port = [server.port.into()];
        comparison.measure(
            "fetches",
            |_| format!("{count} at once"),
            |comparison, peer| {
                let mut worker = comparison.start(peer, "fetches", &port, Placement::FirstCore)?;
                worker.request(1)?; // A warm-up.
                worker.request(count)
            },
        )
    })
}

/// A table with the times of the shown fetches, as its picture.
fn in_time(results: &Results) -> Table {
    let title = format!("{SHOWN} fetches in time");
    let mut table = Table::new(title, "ms", Base::Nothing);
    table.picture = Picture::Lanes;
    table.is_partial = true;
    let results = in_units(results, 1e6);
    for index in 2..FIGURES {
        table.add(format!("{}", index - 2), &results, index);
    }
    table
}

fn in_units(results: &Results, unit: f64) -> Results {
    let figures = |round: &Vec<f64>| round.iter().map(|figure| figure / unit).collect();
    results.iter().map(|(peer, rounds)| (*peer, rounds.iter().map(figures).collect())).collect()
}

/// The server, in a thread of the main process. Dropping it ends the thread.
#[derive(Debug)]
struct Server {
    port: u16,
    remote: Remote<()>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Server {
    fn start() -> io::Result<Server> {
        let (sender, started) = mpsc::channel();
        let serve = move || {
            let mut el = EventLoop::new()?;
            let anywhere: Address = "127.0.0.1:0".parse().map_err(mainspring::Error::other)?;
            let options = ListenOptions { backlog: 4096, ..ListenOptions::default() };
            let server = el.serve(listen(&anywhere, &options)?, answer)?;
            let port = server.local_addr()?.as_inet().map_or(0, |address| address.port());
            let _ = sender.send((port, el.remote())); // The receiver waits for it.
            el.run_forever()
        };
        let thread = thread::spawn(serve);
        let (port, remote) = started.recv().map_err(io::Error::other)?;
        Ok(Server { port, remote, thread: Some(thread) })
    }
}

fn answer(el: &LoopHandle<()>, (): &mut (), client: &Transport, _: &[u8]) -> Result<()> {
    let client = client.clone();
    el.call_later(BEFORE_HEADER, move |el, ()| {
        client.write(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n");
        el.call_later(BEFORE_BODY, move |_, ()| {
            client.write(b"page");
            client.close();
        });
    });
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.remote.stop(); // The loop has ended already if it failed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
