//! The cell of a socket that a server accepted, which also stores the address of its peer.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mainspring_sys::socket::Address;

use super::stream_cell::StreamCell;
use crate::net::socket::Socket;
use crate::net::transport_stream::TransportStream;

/// The address of a peer, in as few bytes as possible and without alignment.
///
/// It is stored because getpeername(2) fails after a reset.
#[derive(Debug, Clone, Copy)]
enum Peer {
    V4([u8; 4], [u8; 2]),
    V6([u8; 16], [u8; 2], [u8; 4]),
    /// A Unix socket, for which getpeername(2) succeeds as long as it is open.
    Other,
}

const _: () = assert!(size_of::<Peer>() <= 24 && align_of::<Peer>() == 1);

impl Peer {
    fn new(address: &Address) -> Peer {
        let Some(address) = address.as_inet() else { return Peer::Other };
        let port = address.port().to_ne_bytes();
        match address {
            SocketAddr::V4(v4) => Peer::V4(v4.ip().octets(), port),
            SocketAddr::V6(v6) => Peer::V6(v6.ip().octets(), port, v6.scope_id().to_ne_bytes()),
        }
    }

    fn address(self) -> Option<Address> {
        let address = match self {
            Peer::V4(ip, port) => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), u16::from_ne_bytes(port))
            }
            Peer::V6(ip, port, scope) => {
                let (ip, port) = (Ipv6Addr::from(ip), u16::from_ne_bytes(port));
                SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(scope)).into()
            }
            Peer::Other => return None,
        };
        Some(address.into())
    }
}

/// An accepted socket and its peer. The socket comes first, so that an event finds it in the first
/// cache line of the transport.
#[repr(C)]
pub(super) struct Accepted {
    socket: Cell<Option<Socket>>,
    peer: Peer,
}

impl Accepted {
    pub(super) fn new(socket: Socket, peer: &Address) -> Accepted {
        Accepted { socket: Cell::new(Some(socket)), peer: Peer::new(peer) }
    }
}

impl StreamCell for Accepted {
    #[inline]
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        StreamCell::read(&self.socket, buffer)
    }

    #[inline]
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        StreamCell::write(&self.socket, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        StreamCell::write_vectored(&self.socket, slices)
    }

    fn is_tcp(&self) -> bool {
        self.socket.is_tcp()
    }

    fn is_unbuffered(&self) -> bool {
        true
    }

    fn with(&self, call: &mut dyn FnMut(&mut dyn TransportStream)) -> bool {
        self.socket.with(call)
    }

    fn with_any(&self, call: &mut dyn FnMut(&mut dyn Any)) {
        self.socket.with_any(call);
    }

    fn take(&self) -> Option<Box<dyn Any>> {
        StreamCell::take(&self.socket)
    }

    fn peer(&self) -> Option<Address> {
        self.peer.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_address_is_unchanged() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1%7]:1"] {
            let address = Address::from(text.parse::<SocketAddr>().unwrap());
            assert_eq!(Peer::new(&address).address(), Some(address));
        }
        let unix: Address = "/run/x".parse().unwrap();
        assert!(Peer::new(&unix).address().is_none());
    }
}
