//! The manager's socket for notifications.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};

use mainspring_sys::socket::{Address, connect_datagram, send_fds};

use crate::error::{Error, Result};

/// A connected datagram socket. It is non-blocking, so a send never waits.
///
/// The connection is made at the start, so it outlives chroot(2) and a change of the user.
pub(super) struct Notifier {
    address: Address,
    socket: RefCell<OwnedFd>,
}

impl Notifier {
    pub(super) fn new(address: Address) -> Result<Notifier> {
        let socket = connect_datagram(&address).map_err(|source| Error::Connect {
            address: format!("NOTIFY_SOCKET {address}"),
            source,
        })?;
        Ok(Notifier { address, socket: RefCell::new(socket) })
    }

    /// Sends a message of lines like `READY=1`, with descriptors.
    pub(super) fn send(&self, message: &str, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let mut sent = self.send_once(message, fds);
        if sent.as_ref().is_err_and(is_disconnected) {
            // The manager was restarted and has bound a new socket to the address.
            sent = connect_datagram(&self.address).and_then(|socket| {
                self.socket.replace(socket);
                self.send_once(message, fds)
            });
        }
        sent.map_err(|source| Error::Notify { message: first_line(message), source })
    }

    fn send_once(&self, message: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send_fds(&*self.socket.borrow(), message.as_bytes(), fds).map(drop)
    }
}

fn is_disconnected(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotConnected)
}

/// Returns the first line of a message, for an error.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
