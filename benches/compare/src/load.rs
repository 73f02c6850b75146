//! A load generator: connections to an echo server, each with a number of requests in flight. Every
//! byte of the echoes is checked.
//!
//! A connection sends a long periodic text in pieces. So a lost, doubled or foreign echo does not
//! match.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::raw::{Epoll, READ};

/// Length of the period: a prime, so that it divides neither buffers nor messages.
const PERIOD: usize = 251;
const BUFFER: usize = 256 * 1024;
/// Longest wait for an echo; a server that takes longer is broken.
const TIMEOUT_MS: i32 = 10_000;
const WRITE: u32 = libc::EPOLLOUT as u32;

struct Connection {
    stream: TcpStream,
    /// Bytes of all requests so far; `sent` and `echoed` are parts of them.
    requested: usize,
    sent: usize,
    echoed: usize,
    /// True if the socket had no room, so that writability is awaited.
    is_blocked: bool,
}

/// Connections to one server.
pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    /// Index of the connection of each fd; `usize::MAX` if there is none.
    by_fd: Vec<usize>,
    /// A period of the text, repeated beyond the size of the buffer.
    text: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes of a request.
    size: usize,
    in_flight: usize,
}

impl Load {
    pub fn connect(
        server: SocketAddr,
        connections: usize,
        size: usize,
        in_flight: usize,
    ) -> io::Result<Load> {
        let mut noise = 1u32;
        let mut byte = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        };
        let period: Vec<u8> = (0..PERIOD).map(|_| byte()).collect();
        let text = period.iter().copied().cycle().take(PERIOD + BUFFER).collect();
        let (epoll, buffer) = (Epoll::new()?, vec![0; BUFFER]);
        let (none, by_fd) = (Vec::new(), Vec::new());
        let mut load = Load { epoll, connections: none, by_fd, text, buffer, size, in_flight };
        for _ in 0..connections {
            load.add(TcpStream::connect(server)?)?;
        }
        Ok(load)
    }

    fn add(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let fd = stream.as_raw_fd();
        self.epoll.add(fd, READ)?;
        if self.by_fd.len() <= fd as usize {
            self.by_fd.resize(fd as usize + 1, usize::MAX);
        }
        self.by_fd[fd as usize] = self.connections.len();
        let (requested, sent, echoed, is_blocked) = (0, 0, 0, false);
        self.connections.push(Connection { stream, requested, sent, echoed, is_blocked });
        Ok(())
    }

    /// Sends `requests` requests in total, and returns the time until the last echo has arrived.
    pub fn run(&mut self, requests: usize) -> io::Result<Duration> {
        let began = Instant::now();
        let (mut to_request, mut missing) = (requests, requests);
        'all: for _ in 0..self.in_flight {
            for connection in &mut self.connections {
                if to_request == 0 {
                    break 'all;
                }
                connection.requested += self.size;
                to_request -= 1;
            }
        }
        for number in 0..self.connections.len() {
            self.send(number)?;
        }
        while missing > 0 {
            let count = self.epoll.wait(TIMEOUT_MS)?;
            if count == 0 {
                return Err(Error::other(format!("{missing} echoes did not arrive")));
            }
            for index in 0..count {
                let (fd, flags) = self.epoll.event(index);
                let number = self.by_fd[fd as usize];
                let complete = if flags & READ != 0 { self.receive(number)? } else { 0 };
                missing -= complete;
                let more = complete.min(to_request);
                to_request -= more;
                self.connections[number].requested += more * self.size;
                self.send(number)?;
            }
        }
        Ok(began.elapsed())
    }

    /// Sends pending requests, as far as the socket has room.
    fn send(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        let mut is_blocked = false;
        while connection.sent < connection.requested && !is_blocked {
            let left = connection.requested - connection.sent;
            match connection.stream.write(piece(&self.text, number, connection.sent, left)) {
                Ok(count) => connection.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => is_blocked = true,
                Err(error) => return Err(error),
            }
        }
        if is_blocked != connection.is_blocked {
            connection.is_blocked = is_blocked;
            let flags = if is_blocked { READ | WRITE } else { READ };
            self.epoll.change(connection.stream.as_raw_fd(), flags)?;
        }
        Ok(())
    }

    /// Reads once, and returns the number of echoes that are complete now.
    fn receive(&mut self, number: usize) -> io::Result<usize> {
        let connection = &mut self.connections[number];
        let count = connection.stream.read(&mut self.buffer)?;
        let expected = piece(&self.text, number, connection.echoed, count);
        if count == 0 || connection.echoed + count > connection.sent {
            return Err(Error::other("the server closed a connection or sent too much"));
        }
        if expected != &self.buffer[..count] {
            return Err(Error::other("an echo has wrong bytes"));
        }
        let before = connection.echoed / self.size;
        connection.echoed += count;
        Ok(connection.echoed / self.size - before)
    }
}

/// Returns at most `length` bytes of the text of a connection, from offset `from` on.
fn piece(text: &[u8], connection: usize, from: usize, length: usize) -> &[u8] {
    &text[(connection * 7 + from) % PERIOD..][..length.min(BUFFER)]
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::Load;

    /// Starts a server that echoes two connections, with a wrong byte at offset `spoiled` of each.
    fn server(spoiled: Option<usize>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let (mut buffer, mut place) = ([0; 4096], 0);
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if let Some(at) = spoiled.filter(|at| (place..place + count).contains(at)) {
                            buffer[at - place] ^= 1;
                        }
                        place += count;
                        stream.write_all(&buffer[..count]).unwrap();
                    }
                });
            }
        });
        address
    }

    #[test]
    fn correct_echo_is_accepted() {
        for (size, in_flight) in [(64, 1), (100, 16), (300_000, 1), (300_000, 2)] {
            let mut load = Load::connect(server(None), 2, size, in_flight).unwrap();
            load.run(7).unwrap();
            load.run(40).unwrap();
        }
    }

    #[test]
    fn single_wrong_byte_is_found() {
        for place in [0, 63, 64, 32 * 64 - 1] {
            let mut load = Load::connect(server(Some(place)), 1, 64, 4).unwrap();
            let error = load.run(32).unwrap_err();
            assert_eq!(error.to_string(), "an echo has wrong bytes", "{place}");
        }
    }
}
