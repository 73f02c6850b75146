//! A load generator: a closed loop of connections to an echo server that checks every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::raw::{Epoll, READ};

/// How many different messages there are.
const VARIANTS: usize = 251;
/// A server that says nothing for so long is broken.
const PATIENCE_MS: i32 = 10_000;

struct Connection {
    stream: TcpStream,
    /// The number of the request that is under way.
    request: usize,
    /// How many bytes of its echo have come.
    received: usize,
}

/// Connections to one server. Each sends a message, waits for its echo, and sends the next one.
pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    /// The connection of an fd.
    by_fd: Vec<usize>,
    /// The messages are windows of it.
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

    /// Sends so many requests in all and tells how long it took until the last echo was there.
    pub fn run(&mut self, requests: usize) -> io::Result<Duration> {
        let began = Instant::now();
        let mut waiting = requests.min(self.connections.len());
        let mut to_send = requests - waiting;
        for number in 0..waiting {
            self.send(number)?;
        }
        while waiting > 0 {
            let count = self.epoll.wait(PATIENCE_MS)?;
            assert!(count > 0, "{waiting} echoes do not come");
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
                // The server always reads a peer that has nothing to take, so there is room soon.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once; whether the echo is complete.
    fn receive(&mut self, number: usize) -> io::Result<bool> {
        let connection = &mut self.connections[number];
        let room = self.size - connection.received;
        // One byte more than is due when nothing is due, so that what comes unasked is seen.
        let count = connection.stream.read(&mut self.buffer[..room.max(1)])?;
        assert!(count > 0, "the server has closed connection {number}");
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
