//! Fetches of a page from a server that answers slowly: the same for threads, processes and loops.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{process_cpu, run_requests, since_process};

/// Number of fetches in the picture.
pub const SHOWN: usize = 5;

/// Number of figures: wall time, CPU time, and start, first byte and end of the shown fetches.
pub const FIGURES: usize = 2 + 3 * SHOWN;

pub const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// The times of a fetch.
#[derive(Debug, Clone, Copy)]
pub struct Fetch {
    pub began: Instant,
    pub first_byte: Instant,
    pub ended: Instant,
    /// CPU time in nanoseconds that another process has used.
    pub elsewhere: u64,
}

impl Fetch {
    pub fn start() -> Fetch {
        let now = Instant::now();
        Fetch { began: now, first_byte: now, ended: now, elsewhere: 0 }
    }

    /// Notes that bytes have arrived.
    pub fn received(&mut self, count: usize) {
        if count > 0 && self.first_byte == self.began {
            self.first_byte = Instant::now();
        }
        self.ended = Instant::now();
    }

    /// Fetches, and blocks the thread meanwhile.
    pub fn blocking(server: SocketAddr) -> Fetch {
        let mut fetch = Fetch::start();
        let mut read = || -> io::Result<()> {
            let mut stream = TcpStream::connect(server)?;
            stream.write_all(REQUEST)?;
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer)?;
                fetch.received(count);
                if count == 0 {
                    return Ok(());
                }
            }
        };
        read().expect("a fetch");
        fetch
    }

    /// Returns the times since `start` in nanoseconds.
    pub fn since(&self, start: Instant) -> [u64; 3] {
        let since = |time: Instant| time.saturating_duration_since(start).as_nanos() as u64;
        [self.began, self.first_byte, self.ended].map(since)
    }

    /// Returns a fetch from its times since `start`.
    pub fn at(start: Instant, times: [u64; 3], elsewhere: u64) -> Fetch {
        let [began, first_byte, ended] = times.map(|time| start + Duration::from_nanos(time));
        Fetch { began, first_byte, ended, elsewhere }
    }
}

pub fn server(sizes: &[usize]) -> SocketAddr {
    let port = u16::try_from(sizes[0]).expect("a port");
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Runs `fetch_all` for each requested number of fetches, and prints the figures in nanoseconds.
pub fn run_fetches(mut fetch_all: impl FnMut(u64) -> Vec<Fetch>) {
    run_requests(|count| {
        let (before, start) = (process_cpu(), Instant::now());
        let fetches = fetch_all(count);
        let took = start.elapsed().as_nanos() as u64;
        let elsewhere: u64 = fetches.iter().map(|fetch| fetch.elsewhere).sum();
        let mut figures = [0; FIGURES];
        figures[..2].copy_from_slice(&[took, (since_process(before) + elsewhere) / count]);
        let times = fetches.iter().flat_map(|fetch| fetch.since(start));
        figures[2..].iter_mut().zip(times).for_each(|(figure, time)| *figure = time);
        figures
    });
}
