//! A load generator: a closed loop of connections to an echo server that checks every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::raw::{Epoll, READ};

/// Number of different messages.
const VARIANTS: usize = 251;
/// Longest wait for an echo; a server that takes longer is broken.
const PATIENCE_MS: i32 = 10_000;

struct Connection {
    stream: TcpStream,
    /// Number of the request in flight.
    request: usize,
    /// Bytes of its echo so far.
    received: usize,
}

/// Connections to one server. Each sends a message, waits for its echo, and sends the next one.
pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    /// Index of the connection of each fd.
    by_fd: Vec<usize>,
    /// Text of the messages: each one is a window of it.
    pattern: Vec<u8>,
    size: usize,
    buffer: Vec<u8>,
}

impl Load {
    pub fn connect(server: SocketAddr, connections: usize, size: usize) -> io::Result<Load> {
        let mut noise = 1u32;
        let mut byte = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        };
        let pattern = (0..size + VARIANTS).map(|_| byte()).collect();
        let (connections_made, by_fd) = (Vec::new(), Vec::new());
        let (epoll, buffer) = (Epoll::new()?, vec![0; size]);
        let mut load = Load { epoll, connections: connections_made, by_fd, pattern, size, buffer };
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
        self.connections.push(Connection { stream, request: 0, received: 0 });
        Ok(())
    }

    /// Sends `requests` requests in total, and returns the time until the last echo has arrived.
    pub fn run(&mut self, requests: usize) -> io::Result<Duration> {
        let began = Instant::now();
        let mut waiting = requests.min(self.connections.len());
        let mut to_send = requests - waiting;
        for number in 0..waiting {
            self.send(number)?;
        }
        while waiting > 0 {
            let count = self.epoll.wait(PATIENCE_MS)?;
            assert!(count > 0, "{waiting} echoes did not arrive");
            for index in 0..count {
                let number = self.by_fd[self.epoll.event(index).0 as usize];
                if !self.receive(number)? {
                } else if to_send > 0 {
                    to_send -= 1;
                    self.send(number)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(began.elapsed())
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.request += 1;
        connection.received = 0;
        let mut left = message(&self.pattern, self.size, number, connection.request);
        while !left.is_empty() {
            match connection.stream.write(left) {
                Ok(count) => left = &left[count..],
                // The server reads every peer without queued echoes, so the socket has room soon.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once, and returns true if the echo is complete.
    fn receive(&mut self, number: usize) -> io::Result<bool> {
        let connection = &mut self.connections[number];
        let room = self.size - connection.received;
        // Reads a byte even if none is expected, to detect bytes without a request.
        let count = connection.stream.read(&mut self.buffer[..room.max(1)])?;
        assert!(count > 0, "the server closed connection {number}");
        let sent = message(&self.pattern, self.size, number, connection.request);
        let due = &sent[connection.received..];
        assert!(due.starts_with(&self.buffer[..count]), "connection {number} got wrong bytes");
        connection.received += count;
        Ok(connection.received == self.size)
    }
}

fn message(pattern: &[u8], size: usize, connection: usize, request: usize) -> &[u8] {
    &pattern[(connection * 7 + request) % VARIANTS..][..size]
}
