//! The two directions of a socket, for two parts of one task or for two tasks.

use std::ops::Deref;
use std::rc::Rc;

use super::stream_socket::ConnectedSocket;

impl ConnectedSocket {
    /// The two directions, for two parts of one task.
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { socket: self }, WriteHalf { socket: self })
    }

    /// The two directions, for two tasks.
    pub(super) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let socket = Rc::new(self);
        (OwnedReadHalf { socket: socket.clone() }, OwnedWriteHalf { socket })
    }
}

/// The half of a socket that reads; derefs to the whole, for `read` and the like.
#[derive(Debug, Clone, Copy)]
pub struct ReadHalf<'a> {
    socket: &'a ConnectedSocket,
}

/// The half of a socket that writes; derefs to the whole, for `write_all` and the like.
#[derive(Debug, Clone, Copy)]
pub struct WriteHalf<'a> {
    socket: &'a ConnectedSocket,
}

/// The half of a socket that reads, for a task of its own; derefs to the whole.
#[derive(Debug)]
pub struct OwnedReadHalf {
    socket: Rc<ConnectedSocket>,
}

/// The half of a socket that writes, for a task of its own; derefs to the whole. Dropping it tells
/// the peer that nothing more comes.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    socket: Rc<ConnectedSocket>,
}

impl Deref for ReadHalf<'_> {
    type Target = ConnectedSocket;

    fn deref(&self) -> &ConnectedSocket {
        self.socket
    }
}

impl Deref for WriteHalf<'_> {
    type Target = ConnectedSocket;

    fn deref(&self) -> &ConnectedSocket {
        self.socket
    }
}

impl Deref for OwnedReadHalf {
    type Target = ConnectedSocket;

    fn deref(&self) -> &ConnectedSocket {
        &self.socket
    }
}

impl Deref for OwnedWriteHalf {
    type Target = ConnectedSocket;

    fn deref(&self) -> &ConnectedSocket {
        &self.socket
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // A connection that is over needs no word of it.
        let _ = self.socket.shutdown_write();
    }
}
