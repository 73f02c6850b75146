//! Parts of echo servers: the listener, and the connection of servers with callbacks.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Size of the read buffer of a server.
pub const BUFFER: usize = 64 * 1024;
/// Water marks. A connection with more than `HIGH` queued bytes is not read until at most `LOW` are
/// left.
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;

/// Returns a listener on all addresses, and prints its port. Accepted sockets inherit
/// `TCP_NODELAY`.
///
/// A server does not read its standard input, so it requests a signal for the end of its parent.
pub fn listener() -> TcpListener {
    set_parent_process_death_signal(Some(Signal::TERM)).expect("prctl(2) accepts SIGTERM");
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    set_tcp_nodelay(&socket, true).expect("an option of a socket");
    let any: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    bind(&socket, &any).expect("a port is free");
    listen(&socket, 4096).expect("a socket can listen");
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).expect("an option of a socket");
    announce(listener.local_addr().expect("it is bound").port());
    listener
}

/// Prints the port and the process id of the server, for the main process.
pub fn announce(port: u16) {
    println!("{port} {}", process::id());
}

/// Number of threads that post to a server in the scenario `echo_posts`.
const POSTING: usize = 2;
/// Limit of messages in flight. At the limit a thread yields.
const IN_FLIGHT: usize = 10_000;
/// Number of timers of a server in the scenario `echo_timers`, and their period.
pub const TIMERS: usize = 1000;
pub const PERIOD: Duration = Duration::from_millis(1);

/// Starts threads that post without a pause. `post` sends a message, which decrements the counter
/// when it runs.
pub fn post_from_threads<P>(post: P)
where
    P: Fn(Arc<AtomicUsize>) + Clone + Send + 'static,
{
    let in_flight = Arc::new(AtomicUsize::new(0));
    for _ in 0..POSTING {
        let (post, in_flight) = (post.clone(), in_flight.clone());
        thread::spawn(move || {
            loop {
                if in_flight.fetch_add(1, Ordering::Relaxed) > IN_FLIGHT {
                    thread::yield_now();
                }
                post(in_flight.clone());
            }
        });
    }
}

/// The accept policy of peers that are level-triggered and leave the policy to their users.
///
/// A server accepts one connection in a tick, because a second try costs a system call. If it also
/// accepted one in the tick before, it accepts up to 64. mainspring and the hand-written loop do
/// the same.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Last tick in which a connection was accepted.
    last_tick: u64,
}

impl Backlog {
    /// Returns the most connections to accept in this tick.
    pub fn batch(&mut self, tick: u64) -> usize {
        let is_in_a_row = tick == self.last_tick + 1;
        self.last_tick = tick;
        if is_in_a_row { 64 } else { 1 }
    }
}

/// A connection of a server with callbacks. It writes what it reads, and queues what the socket has
/// no room for.
#[derive(Debug, Default)]
pub struct Echo {
    queue: VecDeque<u8>,
    is_paused: bool,
    is_ended: bool,
}

impl Echo {
    /// Reads once and echoes the bytes. Returns true if there may be more to read.
    pub fn readable<S>(&mut self, mut stream: S, buffer: &mut [u8]) -> io::Result<bool>
    where
        S: Read + Write,
    {
        if self.is_paused || self.is_ended {
            return Ok(false);
        }
        match stream.read(buffer) {
            Ok(0) => self.is_ended = true,
            Ok(count) => {
                self.write(stream, &buffer[..count])?;
                return Ok(count == buffer.len());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    /// Writes queued bytes, as far as the socket has room.
    pub fn writable(&mut self, mut stream: impl Write) -> io::Result<()> {
        while !self.queue.is_empty() {
            match stream.write(self.queue.as_slices().0) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the interest in reading and in writing. Without any interest the connection is over.
    pub fn interest(&mut self) -> (bool, bool) {
        let queued = self.queue.len();
        self.is_paused = queued > if self.is_paused { LOW } else { HIGH };
        (!self.is_paused && !self.is_ended, queued > 0)
    }

    fn write(&mut self, mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        if self.queue.is_empty() {
            match stream.write(bytes) {
                Ok(count) => written = count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.queue.extend(&bytes[written..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, Echo};

    #[test]
    fn many_are_accepted_after_an_accept_in_the_tick_before() {
        let mut backlog = Backlog::default();
        assert_eq!([5, 7, 8, 9, 11].map(|tick| backlog.batch(tick)), [1, 1, 64, 64, 1]);
    }

    #[test]
    fn connection_with_a_long_queue_is_not_read() {
        let mut echo = Echo::default();
        echo.queue.extend([0; super::HIGH + 1]);
        assert_eq!(echo.interest(), (false, true));
        echo.queue.truncate(super::LOW + 1);
        assert_eq!(echo.interest(), (false, true), "not yet");
        echo.queue.truncate(super::LOW);
        assert_eq!(echo.interest(), (true, true));
    }
}
