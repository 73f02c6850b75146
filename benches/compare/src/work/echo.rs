//! What echo servers share: the listener, and for those with callbacks the connection.

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

/// What servers read at a time.
pub const BUFFER: usize = 64 * 1024;
/// Who has more to take is not read, until there is less than `LOW`.
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;

/// A listener on all addresses that is announced already. Accepted sockets inherit `TCP_NODELAY`.
///
/// A server reads no questions whose end it would see, so it ends with whoever has started it.
pub fn listener() -> TcpListener {
    set_parent_process_death_signal(Some(Signal::TERM)).expect("a signal");
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

/// Tells the leading process where to find the server.
pub fn announce(port: u16) {
    println!("{port} {}", process::id());
}

/// Threads that post to a server, in the scenario `echo_posts`.
const POSTING: usize = 2;
/// Messages that may be under way; a thread that has so many yields.
const UNDER_WAY: usize = 10_000;
/// Timers of a server in the scenario `echo_timers`, and their period.
pub const TIMERS: usize = 1000;
pub const PERIOD: Duration = Duration::from_millis(1);

/// Starts threads that post without a pause. `post` sends one message, which takes one from
/// the count when it runs.
pub fn post_from_threads<P>(post: P)
where
    P: Fn(Arc<AtomicUsize>) + Clone + Send + 'static,
{
    let under_way = Arc::new(AtomicUsize::new(0));
    for _ in 0..POSTING {
        let (post, under_way) = (post.clone(), under_way.clone());
        thread::spawn(move || {
            loop {
                if under_way.fetch_add(1, Ordering::Relaxed) > UNDER_WAY {
                    thread::yield_now();
                }
                post(under_way.clone());
            }
        });
    }
}

/// How many connections a server accepts at a time that is told again of those who wait: one, since
/// to look for a second costs a call, and more where somebody has waited in the turn before.
///
/// It is what mainspring and the hand-written loop do, for those who leave it to their user.
#[derive(Debug, Default)]
pub struct Backlog {
    busy: u64,
}

impl Backlog {
    /// How many to accept in a turn, at most.
    pub fn batch(&mut self, turn: u64) -> usize {
        let is_in_a_row = turn == self.busy + 1;
        self.busy = turn;
        if is_in_a_row { 64 } else { 1 }
    }
}

/// A connection of a server with callbacks: what is read is written at once, and queued as far as
/// there is no room for it.
#[derive(Debug, Default)]
pub struct Echo {
    queue: VecDeque<u8>,
    is_paused: bool,
    is_ended: bool,
}

impl Echo {
    /// Reads once and echoes what came; whether there may be more to read.
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

    /// Writes what is queued, as far as there is room.
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

    /// Whether it wants to read, and to write. Nothing at all means that it is over.
    pub fn wants(&mut self) -> (bool, bool) {
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
    fn many_are_accepted_when_somebody_waited_in_the_turn_before() {
        let mut backlog = Backlog::default();
        assert_eq!([5, 7, 8, 9, 11].map(|turn| backlog.batch(turn)), [1, 1, 64, 64, 1]);
    }

    #[test]
    fn who_has_much_to_take_is_not_read() {
        let mut echo = Echo::default();
        echo.queue.extend([0; super::HIGH + 1]);
        assert_eq!(echo.wants(), (false, true));
        echo.queue.truncate(super::LOW + 1);
        assert_eq!(echo.wants(), (false, true), "not yet");
        echo.queue.truncate(super::LOW);
        assert_eq!(echo.wants(), (true, true));
    }
}
