//! A load generator for HTTP: connections that are kept alive and have one request under way each.
//!
//! It knows the one answer that the scenario `http` has, and checks its first line and its body.

use std::io::{self, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::raw::{Epoll, READ};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const FIRST_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// The end of the head, and the body.
const END: &[u8] = b"\r\n\r\nHello, World!";
/// More than a head and a body need.
const ROOM: usize = 1024;
/// A server that says nothing for so long is broken.
const TIMEOUT_MS: i32 = 10_000;

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// Connections to one server.
pub struct HttpLoad {
    epoll: Epoll,
    connections: Vec<Connection>,
    /// The connection of an fd.
    by_fd: Vec<usize>,
}

impl HttpLoad {
    pub fn connect(server: SocketAddr, connections: usize) -> io::Result<HttpLoad> {
        let (mut connected, mut by_fd, epoll) = (Vec::new(), Vec::new(), Epoll::new()?);
        for number in 0..connections {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let fd = stream.as_raw_fd();
            epoll.add(fd, READ)?;
            by_fd.resize(by_fd.len().max(fd as usize + 1), usize::MAX);
            by_fd[fd as usize] = number;
            connected.push(Connection { stream, answer: Vec::with_capacity(ROOM) });
        }
        Ok(HttpLoad { epoll, connections: connected, by_fd })
    }

    /// Sends so many requests in all and tells how long it took until the last answer was there.
    pub fn run(&mut self, requests: usize) -> io::Result<Duration> {
        let began = Instant::now();
        let mut waiting = requests.min(self.connections.len());
        let mut to_send = requests - waiting;
        for connection in &mut self.connections[..waiting] {
            connection.stream.write_all(REQUEST)?;
        }
        while waiting > 0 {
            let count = self.epoll.wait(TIMEOUT_MS)?;
            if count == 0 {
                return Err(Error::other(format!("{waiting} answers do not come")));
            }
            for index in 0..count {
                let number = self.by_fd[self.epoll.event(index).0 as usize];
                let connection = &mut self.connections[number];
                if !connection.receive()? {
                } else if to_send > 0 {
                    to_send -= 1;
                    connection.stream.write_all(REQUEST)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(began.elapsed())
    }
}

impl Connection {
    /// Reads once; whether the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = [0; ROOM];
        let count = self.stream.read(&mut bytes)?;
        self.answer.extend(&bytes[..count]);
        if self.answer.ends_with(END) && self.answer.starts_with(FIRST_LINE) {
            self.answer.clear();
            return Ok(true);
        }
        if count == 0 || self.answer.len() >= ROOM {
            let answer = String::from_utf8_lossy(&self.answer).into_owned();
            return Err(Error::other(format!("an answer is wrong: {answer:?}")));
        }
        Ok(false)
    }
}
