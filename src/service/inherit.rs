//! [`Inherit`]: the types that an inherited descriptor can become.

use std::net as std_net;
use std::os::fd::OwnedFd;
use std::os::unix::net as unix_net;

use mainspring_sys::socket::SocketKind;

use crate::error::Result;
use crate::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};

/// A socket type that can be inherited: listeners and datagram sockets of std, for callbacks, and
/// of [`net`](crate::net), for tasks. An [`OwnedFd`] accepts any listening socket, like the result
/// of [`listen`](crate::net::listen).
///
/// Implement it for another type of socket:
///
/// ```
/// use std::os::fd::OwnedFd;
/// use mainspring::service::{Inherit, SocketKind};
///
/// struct Packets(OwnedFd);
///
/// impl Inherit for Packets {
///     const EXPECTED: &str = "a listening Unix seqpacket socket";
///
///     fn accepts(kind: SocketKind) -> bool {
///         kind.is_unix() && kind.is_seqpacket() && kind.is_listening()
///     }
///
///     fn from_inherited(fd: OwnedFd) -> mainspring::Result<Packets> {
///         Ok(Packets(fd))
///     }
/// }
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// assert!(!Packets::accepts(SocketKind::of(&listener)?));
/// assert!(std::net::TcpListener::accepts(SocketKind::of(&listener)?));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub trait Inherit: Sized {
    /// The kind of socket with its article, for errors.
    const EXPECTED: &str;

    /// Returns true if a socket of this kind can become this type.
    fn accepts(kind: SocketKind) -> bool;

    /// Takes over an inherited socket that [`accepts`](Inherit::accepts) has accepted.
    ///
    /// # Errors
    ///
    /// The errors of the type, for example if the socket cannot become non-blocking.
    fn from_inherited(fd: OwnedFd) -> Result<Self>;
}

/// Implements [`Inherit`] for types.
macro_rules! inherit {
    ($($type:ty: $expected:literal, |$kind:ident| $accepts:expr,
        |$fd:ident| $make:expr;)*) => {
        $(impl Inherit for $type {
            const EXPECTED: &str = $expected;

            fn accepts($kind: SocketKind) -> bool {
                $accepts
            }

            #[track_caller]
            fn from_inherited($fd: OwnedFd) -> Result<$type> {
                $make
            }
        })*
    };
}

inherit! {
    OwnedFd: "a listening socket", |kind| kind.is_listening(), |fd| Ok(fd);
    std_net::TcpListener: "a listening TCP socket", |kind| is_tcp(kind), |fd| Ok(fd.into());
    TcpListener: "a listening TCP socket", |kind| is_tcp(kind),
        |fd| TcpListener::from_std(fd.into());
    unix_net::UnixListener: "a listening Unix stream socket", |kind| is_unix(kind), |fd| Ok(fd.into());
    UnixListener: "a listening Unix stream socket", |kind| is_unix(kind),
        |fd| UnixListener::from_std(fd.into());
    std_net::UdpSocket: "a UDP socket", |kind| is_udp(kind), |fd| Ok(fd.into());
    UdpSocket: "a UDP socket", |kind| is_udp(kind),
        |fd| UdpSocket::from_std(fd.into());
    unix_net::UnixDatagram: "a Unix datagram socket", |kind| is_unix_datagram(kind), |fd| Ok(fd.into());
    UnixDatagram: "a Unix datagram socket", |kind| is_unix_datagram(kind),
        |fd| UnixDatagram::from_std(fd.into());
}

fn is_tcp(kind: SocketKind) -> bool {
    kind.is_inet() && kind.is_stream() && kind.is_listening()
}

fn is_unix(kind: SocketKind) -> bool {
    kind.is_unix() && kind.is_stream() && kind.is_listening()
}

fn is_udp(kind: SocketKind) -> bool {
    kind.is_inet() && kind.is_datagram()
}

fn is_unix_datagram(kind: SocketKind) -> bool {
    kind.is_unix() && kind.is_datagram()
}
