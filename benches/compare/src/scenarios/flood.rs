//! Latency beside a flood: the time of a ping of 64 bytes while other clients keep the server busy.
//!
//! A cell is a kind of flood. The servers are those of the scenario `echo`; the flood and the ping
//! come from threads of the leading process, on its core. In the last three kinds the server itself
//! has two threads that post without a pause, a handler of a signal that is sent without a pause, or
//! a thousand timers; only peers with such a server take part. The figures are the median and the 99th
//! percentile of the pings of a round: wall time, since waiting is what is measured.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal, kill_process};

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::table::{Picture, RAW, Results, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "flood", about: "latency of a ping beside a flood", run };

/// A kind of flood: its name, the server, the number of clients, and the work of one of them.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    server: &'static str,
    clients: usize,
    client: fn(&Flood) -> io::Result<()>,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "large blocks",
        server: "echo",
        clients: 4,
        client: |flood| echoed(flood, 64 * 1024),
    },
    Kind { name: "tiny writes", server: "echo", clients: 4, client: |flood| echoed(flood, 1) },
    Kind { name: "connect and close", server: "echo", clients: 2, client: short },
    Kind { name: "connect and reset", server: "echo", clients: 2, client: reset },
    Kind { name: "clients that do not read", server: "echo", clients: 16, client: deaf },
    Kind { name: "threads that post", server: "echo_posts", clients: 0, client: short },
    Kind { name: "signals", server: "echo_signals", clients: 1, client: signal },
    Kind { name: "1000 timers of 1 ms", server: "echo_timers", clients: 0, client: short },
];

/// Time between two pings.
const PAUSE: Duration = Duration::from_millis(1);
/// Pings of a round, at least.
const LEAST: usize = 50;
/// Rounds last so many times longer than those of other scenarios.
const TIMES: f64 = 15.0;
/// Time of the flood before the first ping.
const WARM: Duration = Duration::from_millis(200);
const PING: [u8; 64] = [b'p'; 64];
const PERCENT: [usize; 2] = [50, 99];

fn run(comparison: &mut Comparison) {
    let all_results: Vec<Results> =
        KINDS.iter().map(|kind| measure_kind(comparison, kind)).collect();
    for (index, percent) in PERCENT.into_iter().enumerate() {
        let title = format!("A ping beside a flood: {percent} % take at most");
        let mut table = Table::new(title, "µs", RAW);
        table.picture = Picture::Magnitudes;
        for (kind, results) in KINDS.iter().zip(&all_results) {
            table.add(kind.name, results, index);
        }
        comparison.add(table);
    }
}

fn measure_kind(comparison: &mut Comparison, kind: &Kind) -> Results {
    let measure = |comparison: &Comparison, peer: &Peer| {
        let server = Server::start(comparison, peer, kind.server)?;
        let flood = Flood::start(&server, kind);
        thread::sleep(WARM);
        let times =
            ping(server.address(), Duration::from_secs_f64(comparison.options.seconds * TIMES));
        flood.end();
        percentiles(times?)
    };
    comparison.measure(kind.server, |_| format!("flood of {}", kind.name), measure)
}

fn percentiles(mut times: Vec<Duration>) -> io::Result<Vec<f64>> {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_nanos() as f64 / 1000.0;
    Ok(PERCENT.into_iter().map(at).collect())
}

/// Returns the times of the pings, one after the other for `span`.
fn ping(server: SocketAddr, span: Duration) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut ping = || {
        thread::sleep(PAUSE);
        let (began, mut echo) = (Instant::now(), [0; PING.len()]);
        stream.write_all(&PING)?;
        stream.read_exact(&mut echo)?;
        match echo == PING {
            true => Ok(began.elapsed()),
            false => Err(Error::other("an echo has wrong bytes")),
        }
    };
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < LEAST || began.elapsed() < span {
        times.push(ping()?);
    }
    Ok(times)
}

/// State that the clients of a flood share.
#[derive(Debug)]
struct Flood {
    port: u16,
    process: u32,
    over: AtomicBool,
    connections: AtomicU32,
}

/// The threads of a flood.
struct Clients {
    flood: Arc<Flood>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn start(server: &Server, kind: &Kind) -> Clients {
        let (over, connections) = (AtomicBool::new(false), AtomicU32::new(0));
        let (port, process) = (server.port, server.process());
        let flood = Arc::new(Flood { port, process, over, connections });
        let client = |_| {
            let (flood, client) = (flood.clone(), kind.client);
            thread::spawn(move || {
                while !flood.is_over() {
                    // A server at its limits refuses some; the ping shows whether it serves others.
                    let _ = client(&flood);
                }
            })
        };
        let threads = (0..kind.clients).map(client).collect();
        Clients { flood, threads }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Connects to one of many addresses of the server: a closed connection keeps its pair of ports
    /// for a minute.
    fn connect(&self) -> io::Result<TcpStream> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let [_, high, middle, low] = (number / 1000 % 0xff_ffff + 1).to_be_bytes();
        TcpStream::connect((Ipv4Addr::new(127, high, middle, low), self.port))
    }
}

impl Clients {
    fn end(self) {
        self.flood.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    }
}

/// Writes blocks of a size as fast as they go, and reads their echo in another thread.
fn echoed(flood: &Flood, size: usize) -> io::Result<()> {
    let writer = flood.connect()?;
    writer.set_nodelay(true)?;
    let mut reader = writer.try_clone()?;
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let (block, mut written) = (vec![b'b'; size], Ok(()));
    while written.is_ok() && !flood.is_over() {
        written = (&writer).write_all(&block);
    }
    let _ = writer.shutdown(Shutdown::Both); // It may be over already.
    reading.join().expect("a reader does not panic");
    written
}

/// Connects, gets one echo and closes.
fn short(flood: &Flood) -> io::Result<()> {
    let mut stream = flood.connect()?;
    stream.write_all(&PING)?;
    stream.read_exact(&mut [0; PING.len()])
}

/// Connects, sends and resets the connection.
fn reset(flood: &Flood) -> io::Result<()> {
    let mut stream = flood.connect()?;
    stream.write_all(&PING)?;
    Ok(set_socket_linger(&stream, Some(Duration::ZERO))?)
}

/// Sends the server a signal.
fn signal(flood: &Flood) -> io::Result<()> {
    let process = Pid::from_raw(flood.process as i32).ok_or(ErrorKind::NotFound)?;
    Ok(kill_process(process, Signal::USR1)?)
}

/// Sends until the server takes no more, and never reads.
fn deaf(flood: &Flood) -> io::Result<()> {
    let mut stream = flood.connect()?;
    stream.set_write_timeout(Some(Duration::from_millis(50)))?;
    let block = vec![b'd'; 64 * 1024];
    while !flood.is_over() {
        match stream.write(&block) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            written => drop(written?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(percentiles(times).unwrap(), [100.0, 198.0]);
        assert_eq!(percentiles(vec![Duration::from_millis(1)]).unwrap(), [1000.0, 1000.0]);
    }
}
