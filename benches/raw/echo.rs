//! An echo server with the same policy as mainspring's. For each event it reads once into a shared
//! buffer, writes at once, and queues the rest. It does not read a peer with 64 KiB in the queue.
//! It accepts one connection in a tick, or more if the tick before accepted one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::epoll::{Epoll, READ, check};

const BUFFER: usize = 64 * 1024;
const ACCEPT_BATCH: usize = 64;
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;

const WRITE: u32 = libc::EPOLLOUT as u32;
const ENDED: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

struct Connection {
    socket: OwnedFd,
    queue: VecDeque<u8>,
    asked: u32,
    is_paused: bool,
    is_ended: bool,
}

struct Server {
    epoll: Epoll,
    listener: OwnedFd,
    /// Connections, indexed by fd.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    tick: u64,
    /// Last tick in which a connection was accepted.
    busy: u64,
}

/// Serves `listener` until an error.
pub fn serve(listener: OwnedFd) -> io::Result<()> {
    prepare(&listener)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), READ)?;
    let (connections, buffer) = (Vec::new(), vec![0; BUFFER]);
    let mut server = Server { epoll, listener, connections, buffer, tick: 0, busy: 0 };
    loop {
        server.tick += 1;
        for index in 0..server.epoll.wait(-1)? {
            let (fd, flags) = server.epoll.event(index);
            if fd == server.listener.as_raw_fd() {
                server.accept()?;
            } else {
                server.serve(fd, flags)?;
            }
        }
    }
}

/// Makes the listener non-blocking, and sets `TCP_NODELAY`, which accepted sockets inherit.
fn prepare(listener: &OwnedFd) -> io::Result<()> {
    let (fd, on) = (listener.as_raw_fd(), 1 as libc::c_int);
    // SAFETY: the call takes two integers and accesses no memory.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) })?;
    let (level, name, size) = (libc::IPPROTO_TCP, libc::TCP_NODELAY, size_of_val(&on));
    // SAFETY: `on` is readable for `size` bytes and outlives the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const on).cast(), size as u32) })?;
    Ok(())
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        let in_a_row = self.tick == self.busy + 1;
        self.busy = self.tick;
        for _ in 0..if in_a_row { ACCEPT_BATCH } else { 1 } {
            let (fd, flags) = (self.listener.as_raw_fd(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
            // SAFETY: without an address the call writes no memory.
            let Ok(fd) =
                check(unsafe { libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags) })
            else {
                break;
            };
            // SAFETY: the call above succeeded, so `fd` is open and has no other owner.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            self.epoll.add(fd, READ)?;
            if self.connections.len() <= fd as usize {
                self.connections.resize_with(fd as usize + 1, || None);
            }
            let (queue, asked) = (VecDeque::new(), READ);
            let connection = Connection { socket, queue, asked, is_paused: false, is_ended: false };
            self.connections[fd as usize] = Some(connection);
        }
        Ok(())
    }

    fn serve(&mut self, fd: RawFd, flags: u32) -> io::Result<()> {
        let Some(connection) = &mut self.connections[fd as usize] else { return Ok(()) };
        let mut lives = true;
        if flags & (READ | ENDED) != 0 && !connection.is_paused && !connection.is_ended {
            lives = connection.echo(&mut self.buffer);
        }
        if flags & (WRITE | ENDED) != 0 {
            lives = lives && connection.flush();
        }
        if !lives || (connection.is_ended && connection.queue.is_empty()) {
            self.epoll.remove(fd)?;
            self.connections[fd as usize] = None;
            return Ok(());
        }
        let asked = connection.wanted();
        if asked != connection.asked {
            connection.asked = asked;
            self.epoll.change(fd, asked)?;
        }
        Ok(())
    }
}

impl Connection {
    /// Reads once and writes the bytes. Returns false if the connection is lost.
    fn echo(&mut self, buffer: &mut [u8]) -> bool {
        match receive(self.socket.as_raw_fd(), buffer) {
            Ok(0) => self.is_ended = true,
            Ok(count) => return self.write(&buffer[..count]),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
        true
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let mut written = 0;
        if self.queue.is_empty() {
            match send(self.socket.as_raw_fd(), bytes) {
                Ok(count) => written = count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        if written < bytes.len() {
            self.queue.extend(&bytes[written..]);
        }
        true
    }

    fn flush(&mut self) -> bool {
        let (front, _) = self.queue.as_slices();
        match send(self.socket.as_raw_fd(), front) {
            Ok(count) => drop(self.queue.drain(..count)),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
        true
    }

    fn wanted(&mut self) -> u32 {
        if self.queue.is_empty() && !self.is_paused && !self.is_ended {
            return READ; // The usual case.
        }
        self.is_paused = self.queue.len() > if self.is_paused { LOW } else { HIGH };
        let reading = if self.is_paused || self.is_ended { 0 } else { READ };
        reading | if self.queue.is_empty() { 0 } else { WRITE }
    }
}

fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its whole length and outlives the call.
    let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    if count == -1 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
}

fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its whole length and outlives the call.
    let count = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if count == -1 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
}
