//! The two directions of a socket, for two parts of one task or for two tasks.

use std::ops::Deref;
use std::rc::Rc;

use super::connected::ConnectedSocket;

impl ConnectedSocket {
    /// Returns the two directions, for two parts of one task.
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { socket: self }, WriteHalf { socket: self })
    }

    /// Returns the two directions, for two tasks.
    pub(super) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let socket = Rc::new(self);
        (OwnedReadHalf { socket: socket.clone() }, OwnedWriteHalf { socket })
    }
}

/// The read half of a socket. Derefs to the socket, for `read` and similar methods.
#[derive(Debug, Clone, Copy)]
pub struct ReadHalf<'a> {
    socket: &'a ConnectedSocket,
}

/// The write half of a socket. Derefs to the socket, for `write_all` and similar methods.
#[derive(Debug, Clone, Copy)]
pub struct WriteHalf<'a> {
    socket: &'a ConnectedSocket,
}

/// The read half of a socket, which a task can own. Derefs to the socket.
#[derive(Debug)]
pub struct OwnedReadHalf {
    socket: Rc<ConnectedSocket>,
}

/// The write half of a socket, which a task can own. Derefs to the socket. Dropping it shuts down
/// writing: the peer reads end of file.
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
        // The only error is `NotConnected`: the connection is over already.
        let _ = self.socket.shutdown_write();
    }
}
