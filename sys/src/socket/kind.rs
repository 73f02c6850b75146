//! The kind of a socket: its family, its type, and if it listens.

use std::fmt;
use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::option::{self, get_of_fd};
use crate::syscall::check;

/// The kind of a socket, for descriptors that another program has opened.
///
/// ```
/// use mainspring_sys::socket::SocketKind;
/// use std::net::{TcpListener, UdpSocket};
///
/// let kind = SocketKind::of(TcpListener::bind("127.0.0.1:0")?)?;
/// assert!(kind.is_inet() && kind.is_stream() && kind.is_listening());
/// assert_eq!(kind.to_string(), "a listening TCP socket");
/// assert_eq!(SocketKind::of(UdpSocket::bind("127.0.0.1:0")?)?.to_string(), "a UDP socket");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketKind {
    family: libc::c_int,
    kind: libc::c_int,
    is_listening: bool,
}

impl SocketKind {
    /// Returns the kind of a socket.
    ///
    /// # Errors
    ///
    /// The errors of getsockopt(2): `ENOTSOCK` for another file.
    pub fn of(socket: impl AsFd) -> io::Result<SocketKind> {
        SocketKind::of_fd(socket.as_fd().as_raw_fd())
    }

    /// Returns the kind of the socket with this number, which may not be open.
    pub(super) fn of_fd(fd: RawFd) -> io::Result<SocketKind> {
        let kind = get_of_fd::<libc::c_int>(fd, libc::SOL_SOCKET, libc::SO_TYPE)?;
        let connects = kind != libc::SOCK_DGRAM;
        // A kernel without the option is trusted: accept(2) reports the error later.
        let is_listening = || option::is_listening(fd).unwrap_or(true);
        let family = family(fd)?;
        Ok(SocketKind { family, kind, is_listening: connects && is_listening() })
    }

    /// Returns true for IPv4 and IPv6.
    pub fn is_inet(self) -> bool {
        matches!(self.family, libc::AF_INET | libc::AF_INET6)
    }

    /// Returns true for a Unix socket.
    pub fn is_unix(self) -> bool {
        self.family == libc::AF_UNIX
    }

    /// Returns true for a stream of bytes, TCP for example.
    pub fn is_stream(self) -> bool {
        self.kind == libc::SOCK_STREAM
    }

    /// Returns true for datagrams, UDP for example.
    pub fn is_datagram(self) -> bool {
        self.kind == libc::SOCK_DGRAM
    }

    /// Returns true for a connection of packets (`SOCK_SEQPACKET`).
    pub fn is_seqpacket(self) -> bool {
        self.kind == libc::SOCK_SEQPACKET
    }

    /// Returns true if the socket accepts connections.
    pub fn is_listening(self) -> bool {
        self.is_listening
    }
}

impl fmt::Display for SocketKind {
    /// Formats the kind with its article, for an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            _ if self.is_inet() && self.is_stream() => "TCP socket",
            _ if self.is_inet() && self.is_datagram() => "UDP socket",
            _ if self.is_unix() && self.is_stream() => "Unix stream socket",
            _ if self.is_unix() && self.is_datagram() => "Unix datagram socket",
            _ if self.is_unix() && self.is_seqpacket() => "Unix seqpacket socket",
            SocketKind { family, kind, .. } => {
                return write!(f, "a socket of family {family} and type {kind}");
            }
        };
        let is_connection = self.is_stream() || self.is_seqpacket();
        match self.is_listening {
            true => write!(f, "a listening {name}"),
            false if is_connection => write!(f, "a {name} that does not listen"),
            false => write!(f, "a {name}"),
        }
    }
}

/// Returns the address family, by getsockname(2): every system has it.
fn family(fd: RawFd) -> io::Result<libc::c_int> {
    // SAFETY: the struct has only integer fields, for which zero is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let place = (&raw mut storage).cast();
    // SAFETY: `place` has room for `length` bytes, and both outlive the call. A wrong number is an
    // error, not a fault.
    check(unsafe { libc::getsockname(fd, place, &raw mut length) })?;
    Ok(libc::c_int::from(storage.ss_family))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn kinds_have_names() -> io::Result<()> {
        let listener = std::net::TcpListener::bind("[::1]:0")
            .or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        assert_eq!(SocketKind::of(&listener)?.to_string(), "a listening TCP socket");
        assert_eq!(SocketKind::of(client)?.to_string(), "a TCP socket that does not listen");
        let (stream, _) = UnixStream::pair()?;
        assert_eq!(
            SocketKind::of(stream)?.to_string(),
            "a Unix stream socket that does not listen"
        );
        assert_eq!(SocketKind::of(UnixDatagram::unbound()?)?.to_string(), "a Unix datagram socket");
        let other = SocketKind { family: 40, kind: libc::SOCK_STREAM, is_listening: true };
        assert!(other.to_string().starts_with("a socket of family 40 and type "));
        let (pipe, _writer) = io::pipe()?;
        assert_eq!(SocketKind::of(pipe).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        Ok(())
    }
}
