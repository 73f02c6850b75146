//! A load generator for HTTP: connections that are kept alive, each with one request in flight.
//!
//! All requests of the scenario `http` have the same answer. Its first line and its body are
//! checked.

use std::io::{self, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::raw::{Epoll, READ};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const FIRST_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// The end of the head, and the body.
const END: &[u8] = b"\r\n\r\nHello, World!";
/// Limit of an answer, larger than head and body.
const LONGEST_ANSWER: usize = 1024;
/// Longest wait for an answer; a server that takes longer is broken.
const TIMEOUT_MS: i32 = 10_000;

struct Connection {
    stream: TcpStream,
    /// Bytes of the answer so far.
    answer: Vec<u8>,
}

/// Connections to one server.
pub struct HttpLoad {
    epoll: Epoll,
    connections: Vec<Connection>,
    /// Index of the connection of each fd; `usize::MAX` if there is none.
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
            connected.push(Connection { stream, answer: Vec::with_capacity(LONGEST_ANSWER) });
        }
        Ok(HttpLoad { epoll, connections: connected, by_fd })
    }

    /// Sends `requests` requests in total, and returns the time until the last answer has arrived.
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
                return Err(Error::other(format!("{waiting} answers did not arrive")));
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
    /// Reads once, and returns true if the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = [0; LONGEST_ANSWER];
        let count = self.stream.read(&mut bytes)?;
        self.answer.extend(&bytes[..count]);
        if self.answer.ends_with(END) && self.answer.starts_with(FIRST_LINE) {
            self.answer.clear();
            return Ok(true);
        }
        if count == 0 || self.answer.len() >= LONGEST_ANSWER {
            let answer = String::from_utf8_lossy(&self.answer).into_owned();
            return Err(Error::other(format!("wrong answer: {answer:?}")));
        }
        Ok(false)
    }
}
