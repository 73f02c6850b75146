//! Short connections: cost for the server of a client that connects, sends 64 bytes, receives their
//! echo and closes.
//!
//! A cell is the number of clients that connect at once. Servers and figures are those of the
//! scenario `echo`: CPU time and system calls of the server's process.

use std::io::{self, Error, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::echo::Requests;
use super::scenario::Scenario;
use crate::calls::{self, Counter};
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::table::{Headline, RAW, Results, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "churn", about: "connect, echo, close: CPU time and system calls", run };

const CELLS: &[&[usize]] = &[&[1], &[50]];

fn run(comparison: &mut Comparison) {
    let cells = comparison.options.cells(&CELLS[1..], CELLS);
    let title = "Connect, echo, close: CPU time";
    let mut table = Table::new(title, "ns CPU a connection", RAW);
    table.headline = Headline::Whole("connect, echo, close".to_owned());
    for cell in &cells {
        let name = name(cell);
        let measure = |comparison: &Comparison, peer: &Peer| {
            let server = Server::start(comparison, peer, "echo")?;
            cost(comparison, &server, &mut Clients { at_once: cell[0], made: 0 })
        };
        let results = comparison.measure("echo", |_| format!("churn {name}"), measure);
        table.add(name, &results, 0);
    }
    comparison.add(table);
    match Counter::available() {
        Ok(counter) => count(comparison, counter, &cells),
        Err(reason) => comparison.report_missing(format!("skipped: system calls: {reason}")),
    }
}

fn name(cell: &[usize]) -> String {
    format!("{} at once", cell[0])
}

fn count(comparison: &mut Comparison, counter: Counter, cells: &[Vec<usize>]) {
    let mut table = Table::new("Connect, echo, close: system calls", "calls a connection", RAW);
    for cell in cells {
        table.add(name(cell), &calls(comparison, counter, cell[0]), 0);
    }
    table.note(counter.note());
    comparison.add(table);
}

/// Returns the system calls of a connection.
pub fn calls(comparison: &mut Comparison, counter: Counter, at_once: usize) -> Results {
    comparison.with_rounds(1, |comparison| {
        let what = |_: &Peer| format!("churn {}, system calls", name(&[at_once]));
        comparison.measure("echo", what, |comparison, peer| {
            Ok(vec![calls::per_unit(counter, comparison, peer, COUNTED, connections(at_once))?])
        })
    })
}

/// Returns a function that makes a number of connections, `at_once` at a time.
pub fn connections(at_once: usize) -> impl Fn(&Server) -> io::Result<Requests> {
    move |server| {
        let (mut clients, port) = (Clients { at_once, made: 0 }, server.port);
        Ok(Box::new(move |connections| {
            clients.run(port, connections / at_once)?;
            thread::sleep(CLOSING);
            Ok(())
        }))
    }
}

/// Number of connections in a count of system calls.
const COUNTED: usize = 2000;

/// Time for the server to close the last connections.
const CLOSING: Duration = Duration::from_millis(5);

fn cost(comparison: &Comparison, server: &Server, clients: &mut Clients) -> io::Result<Vec<f64>> {
    let batches = |seconds: f64, per_batch: f64| ((seconds / per_batch) as usize).max(1);
    let trial = 20;
    let took = clients.run(server.port, trial)?.as_secs_f64();
    let batches = batches(comparison.options.seconds, took / trial as f64);
    let before = server.cpu()?;
    clients.run(server.port, batches)?;
    thread::sleep(CLOSING);
    let spent = (server.cpu()? - before).as_nanos() as f64;
    Ok(vec![spent / (batches * clients.at_once) as f64])
}

struct Clients {
    at_once: usize,
    made: u32,
}

impl Clients {
    fn run(&mut self, port: u16, batches: usize) -> io::Result<Duration> {
        let began = Instant::now();
        (0..batches).try_for_each(|_| self.batch(port))?;
        Ok(began.elapsed())
    }

    fn batch(&mut self, port: u16) -> io::Result<()> {
        let message = [b'm'; 64];
        let mut streams = Vec::with_capacity(self.at_once);
        for _ in 0..self.at_once {
            let mut stream = TcpStream::connect(self.next_address(port))?;
            stream.write_all(&message)?;
            streams.push(stream);
        }
        for mut stream in streams {
            let mut echo = [0; 64];
            stream.read_exact(&mut echo)?;
            if echo != message {
                return Err(Error::other("an echo has wrong bytes"));
            }
        }
        Ok(())
    }

    /// Returns one of many addresses of the server. A closed connection occupies its pair of ports
    /// for a minute, and one address has too few ports for that.
    fn next_address(&mut self, port: u16) -> SocketAddr {
        self.made = self.made.wrapping_add(1);
        let [_, high, middle, low] = (self.made / 1000 % 0xff_ffff + 1).to_be_bytes();
        (Ipv4Addr::new(127, high, middle, low), port).into()
    }
}
