//! Short connections: CPU time of the server for a client that connects, sends 64 bytes, receives
//! their echo and closes.
//!
//! A cell is the number of clients that connect at once. A single client costs three ticks: for
//! accept, echo and close. Many clients share their ticks.

mod raw;
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::figures::Pairs;
use support::options::Options;
use support::rounds::{calibrate, pairs};
use support::server::{Server, serve};
use support::table::Table;
use support::{Side, run};

fn main() {
    run("churn", run_bench, |_, side| serve(side));
}

fn run_bench(options: &Options) {
    let cells = options.cells(&[&[1]], &[&[1], &[50]], &[&[1], &[50], &[500]]);
    let mut table = Table::new(&["clients at once", "raw ns CPU", "mainspring", "ratio"]);
    for cell in cells {
        options.progress(&cell[0].to_string());
        let figures = cost(options, cell[0]).columns();
        table.row([cell[0].to_string()].into_iter().chain(figures));
    }
    table.print(options);
}

fn cost(options: &Options, at_once: usize) -> Pairs {
    let servers = Side::BOTH.map(Server::start);
    let mut clients = Clients { at_once, made: 0 };
    let batch = at_once as u64;
    let count = calibrate(options, batch, |count| {
        clients.run(servers[0].address(), count).as_nanos() as f64
    });
    let count = count.div_ceil(batch) * batch;
    clients.run(servers[1].address(), count); // Warm-up.
    pairs(options, |side| {
        let server = &servers[usize::from(side == Side::Mainspring)];
        let before = server.cpu();
        clients.run(server.address(), count);
        thread::sleep(Duration::from_millis(5)); // The server still closes the last ones.
        (server.cpu() - before).as_nanos() as f64 / count as f64
    })
}

struct Clients {
    at_once: usize,
    made: u32,
}

impl Clients {
    fn run(&mut self, server: SocketAddr, count: u64) -> Duration {
        let began = Instant::now();
        for _ in 0..count.div_ceil(self.at_once as u64) {
            self.batch(server.port());
        }
        began.elapsed()
    }

    fn batch(&mut self, port: u16) {
        let (message, at_once) = ([b'm'; 64], self.at_once);
        let connect = |_| {
            let mut stream =
                TcpStream::connect(self.next_address(port)).expect("the server accepts");
            stream.write_all(&message).expect("the socket has room for a message");
            stream
        };
        let streams: Vec<TcpStream> = (0..at_once).map(connect).collect();
        for mut stream in streams {
            let mut echo = [0; 64];
            stream.read_exact(&mut echo).expect("an echo arrives");
            assert_eq!(echo, message);
        }
    }

    /// Returns one of many addresses of the server. A closed connection occupies its pair of ports
    /// for a minute, and one address has too few ports for that.
    fn next_address(&mut self, port: u16) -> SocketAddr {
        self.made = self.made.wrapping_add(1);
        let [_, high, middle, low] = (self.made / 1000 % 0xff_ffff + 1).to_be_bytes();
        (Ipv4Addr::new(127, high, middle, low), port).into()
    }
}
