//! Latency beside a flood: the time of a ping of 64 bytes while other clients keep the server busy.
//!
//! A cell is a kind of flood. Servers are those of the scenario `echo`. Flood and ping come from
//! threads of the main process, on its core. In the last three kinds the server floods itself: two
//! threads post messages without a pause, a signal arrives again and again, or a thousand timers
//! run. Only some peers have such a server. Figures are the median and the 99th percentile of the
//! pings of a round, in wall time.

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

/// A kind of flood.
#[derive(Debug)]
struct FloodKind {
    name: &'static str,
    /// Scenario of the server.
    server: &'static str,
    /// Number of client threads.
    clients: usize,
    /// Work of a client, repeated until the end of the flood.
    client: fn(&Flood) -> io::Result<()>,
}

const FLOODS: &[FloodKind] = &[
    FloodKind {
        name: "large blocks",
        server: "echo",
        clients: 4,
        client: |flood| write_blocks(flood, 64 * 1024),
    },
    FloodKind {
        name: "tiny writes",
        server: "echo",
        clients: 4,
        client: |flood| write_blocks(flood, 1),
    },
    FloodKind { name: "connect and close", server: "echo", clients: 2, client: connect_and_close },
    FloodKind { name: "connect and reset", server: "echo", clients: 2, client: connect_and_reset },
    FloodKind { name: "clients that do not read", server: "echo", clients: 16, client: never_read },
    FloodKind {
        name: "threads that post",
        server: "echo_posts",
        clients: 0,
        client: connect_and_close,
    },
    FloodKind { name: "signals", server: "echo_signals", clients: 1, client: send_signal },
    FloodKind {
        name: "1000 timers of 1 ms",
        server: "echo_timers",
        clients: 0,
        client: connect_and_close,
    },
];

/// Time between two pings.
const PAUSE: Duration = Duration::from_millis(1);
/// Least number of pings in a round.
const LEAST_PINGS: usize = 50;
/// Length of a round as a multiple of that of other scenarios.
const ROUND_FACTOR: f64 = 15.0;
/// Time of the flood before the first ping.
const WARM_UP: Duration = Duration::from_millis(200);
const PING: [u8; 64] = [b'p'; 64];
const PERCENT: [usize; 2] = [50, 99];

fn run(comparison: &mut Comparison) {
    let all_results: Vec<Results> =
        FLOODS.iter().map(|kind| measure_kind(comparison, kind)).collect();
    for (index, percent) in PERCENT.into_iter().enumerate() {
        let title = format!("Ping beside a flood, percentile {percent}");
        let mut table = Table::new(title, "µs", RAW);
        table.picture = Picture::Magnitudes;
        for (kind, results) in FLOODS.iter().zip(&all_results) {
            table.add(kind.name, results, index);
        }
        comparison.add(table);
    }
}

fn measure_kind(comparison: &mut Comparison, kind: &FloodKind) -> Results {
    let measure = |comparison: &Comparison, peer: &Peer| {
        let server = Server::start(comparison, peer, kind.server)?;
        let flood = Flood::start(&server, kind);
        thread::sleep(WARM_UP);
        let times = ping(
            server.address(),
            Duration::from_secs_f64(comparison.options.seconds * ROUND_FACTOR),
        );
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

/// Sends one ping after another for `span`, and returns their times.
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
    while times.len() < LEAST_PINGS || began.elapsed() < span {
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
    fn start(server: &Server, kind: &FloodKind) -> Clients {
        let (over, connections) = (AtomicBool::new(false), AtomicU32::new(0));
        let (port, process) = (server.port, server.process());
        let flood = Arc::new(Flood { port, process, over, connections });
        let client = |_| {
            let (flood, client) = (flood.clone(), kind.client);
            thread::spawn(move || {
                while !flood.is_over() {
                    // A server at its limits may refuse a client. The pings show if it still works.
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

    /// Connects to one of many addresses of the server. A closed connection occupies its pair of
    /// ports for a minute, and one address has too few ports for that.
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

/// Writes blocks without a pause, and reads their echo in another thread.
fn write_blocks(flood: &Flood, size: usize) -> io::Result<()> {
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
    let _ = writer.shutdown(Shutdown::Both); // The connection may be closed already.
    reading.join().expect("a reader does not panic");
    written
}

/// Connects, receives one echo and closes.
fn connect_and_close(flood: &Flood) -> io::Result<()> {
    let mut stream = flood.connect()?;
    stream.write_all(&PING)?;
    stream.read_exact(&mut [0; PING.len()])
}

/// Connects, sends and resets the connection.
fn connect_and_reset(flood: &Flood) -> io::Result<()> {
    let mut stream = flood.connect()?;
    stream.write_all(&PING)?;
    Ok(set_socket_linger(&stream, Some(Duration::ZERO))?)
}

/// Sends the server a signal.
fn send_signal(flood: &Flood) -> io::Result<()> {
    let process = Pid::from_raw(flood.process as i32).ok_or(ErrorKind::NotFound)?;
    Ok(kill_process(process, Signal::USR1)?)
}

/// Sends as long as the server accepts data, and never reads.
fn never_read(flood: &Flood) -> io::Result<()> {
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
