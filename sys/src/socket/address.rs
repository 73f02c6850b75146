//! Addresses of sockets, and their form in the kernel.
//!
//! A `sockaddr` is put together and taken apart byte by byte, at the offsets that the C structs have. So nothing is assumed of how
//! Rust lays out its own types, and no byte is read that the kernel did not write.

use std::fmt;
use std::io;
use std::mem::{offset_of, size_of};
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use super::UnixAddress;

/// Where a socket is, or shall go.
///
/// As text, what begins with `unix:` or `/` is a Unix address, and everything else an internet one.
///
/// ```
/// use mainspring_sys::socket::Address;
///
/// let address: Address = "[::1]:80".parse()?;
/// assert_eq!(address.to_string(), "[::1]:80");
/// let address: Address = "/run/daemon.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/daemon.sock");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 or IPv6 address with a port.
    Inet(net::SocketAddr),
    /// A file, or a name of this machine.
    Unix(UnixAddress),
}

impl From<net::SocketAddr> for Address {
    fn from(address: net::SocketAddr) -> Address {
        Address::Inet(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Address {
        Address::Unix(address)
    }
}

impl Address {
    /// The internet address, if it is one.
    pub fn as_inet(&self) -> Option<net::SocketAddr> {
        match self {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The Unix address, if it is one.
    pub fn as_unix(&self) -> Option<&UnixAddress> {
        match self {
            Address::Inet(_) => None,
            Address::Unix(address) => Some(address),
        }
    }

    /// The family for socket(2).
    pub(super) fn family(&self) -> libc::c_int {
        match self {
            Address::Inet(net::SocketAddr::V4(_)) => libc::AF_INET,
            Address::Inet(net::SocketAddr::V6(_)) => libc::AF_INET6,
            Address::Unix(_) => libc::AF_UNIX,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(address) => address.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Address> {
        if text.starts_with("unix:") || text.starts_with('/') {
            return text.parse().map(Address::Unix);
        }
        text.parse().map(Address::Inet).map_err(|_| {
            let message = format!(
                "{text:?} is no address: expected IP:PORT, [IPv6]:PORT, unix:PATH or an absolute path"
            );
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

/// An address as the kernel has it.
#[derive(Clone)]
#[repr(C)]
pub(super) struct KernelAddress {
    bytes: Bytes,
    length: usize,
}

const ROOM: usize = size_of::<libc::sockaddr_storage>();

/// Aligned as every `sockaddr`.
#[derive(Clone)]
#[repr(C, align(8))]
struct Bytes([u8; ROOM]);

/// Where the path of a Unix address begins.
const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);
const FAMILY: usize = offset_of!(libc::sockaddr, sa_family);
const FAMILY_END: usize = FAMILY + size_of::<libc::sa_family_t>();

impl KernelAddress {
    /// The kernel's form of `address`.
    pub(super) fn new(address: &Address) -> KernelAddress {
        let length = match address {
            Address::Inet(net::SocketAddr::V4(_)) => size_of::<libc::sockaddr_in>(),
            Address::Inet(net::SocketAddr::V6(_)) => size_of::<libc::sockaddr_in6>(),
            Address::Unix(unix) => PATH + unix.kernel_length(),
        };
        let mut kernel = KernelAddress::empty(length);
        #[cfg(has_sockaddr_len)]
        kernel.put(offset_of!(libc::sockaddr, sa_len), &[length as u8]);
        kernel.put(FAMILY, &(address.family() as libc::sa_family_t).to_ne_bytes());
        match address {
            Address::Inet(net::SocketAddr::V4(v4)) => kernel.put_v4(v4),
            Address::Inet(net::SocketAddr::V6(v6)) => kernel.put_v6(v6),
            Address::Unix(unix) => kernel.put(PATH, &unix.kernel_bytes()),
        }
        kernel
    }

    /// Lets a call write an address; gives the call's value too.
    pub(super) fn receive<T>(
        call: impl FnOnce(*mut libc::sockaddr, &mut libc::socklen_t) -> io::Result<T>,
    ) -> io::Result<(T, KernelAddress)> {
        let mut kernel = KernelAddress::empty(ROOM);
        let mut length = ROOM as libc::socklen_t;
        let value = call((&raw mut kernel.bytes).cast(), &mut length)?;
        // The kernel tells the true length of an address that it had to cut.
        kernel.length = ROOM.min(length as usize);
        Ok((value, kernel))
    }

    /// Taken apart again.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a family that is neither internet nor Unix.
    pub(super) fn address(&self) -> io::Result<Address> {
        // Some kernels write nothing at all for an unnamed Unix peer.
        if self.length < FAMILY_END {
            return Ok(UnixAddress::unnamed().into());
        }
        match libc::c_int::from(libc::sa_family_t::from_ne_bytes(self.take(FAMILY))) {
            libc::AF_INET => Ok(Address::Inet(self.v4().into())),
            libc::AF_INET6 => Ok(Address::Inet(self.v6().into())),
            libc::AF_UNIX => {
                let path = self.bytes.0.get(PATH..self.length).unwrap_or_default();
                Ok(UnixAddress::from_kernel_bytes(path).into())
            }
            family => {
                let message = format!("addresses of family {family} are neither IP nor Unix");
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
        }
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.bytes).cast()
    }

    pub(super) fn length(&self) -> libc::socklen_t {
        self.length as libc::socklen_t
    }

    fn empty(length: usize) -> KernelAddress {
        KernelAddress { bytes: Bytes([0; ROOM]), length }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.bytes.0[at + index])
    }

    /// Port and address are big-endian on the wire and in the struct.
    fn put_v4(&mut self, address: &SocketAddrV4) {
        self.put(offset_of!(libc::sockaddr_in, sin_port), &address.port().to_be_bytes());
        self.put(offset_of!(libc::sockaddr_in, sin_addr), &address.ip().octets());
    }

    fn v4(&self) -> SocketAddrV4 {
        let port = u16::from_be_bytes(self.take(offset_of!(libc::sockaddr_in, sin_port)));
        let ip: [u8; 4] = self.take(offset_of!(libc::sockaddr_in, sin_addr));
        SocketAddrV4::new(Ipv4Addr::from(ip), port)
    }

    /// As in [`std::net`], flow and scope are the struct's own numbers.
    fn put_v6(&mut self, address: &SocketAddrV6) {
        self.put(offset_of!(libc::sockaddr_in6, sin6_port), &address.port().to_be_bytes());
        let (flow, scope) = (address.flowinfo().to_ne_bytes(), address.scope_id().to_ne_bytes());
        self.put(offset_of!(libc::sockaddr_in6, sin6_flowinfo), &flow);
        self.put(offset_of!(libc::sockaddr_in6, sin6_addr), &address.ip().octets());
        self.put(offset_of!(libc::sockaddr_in6, sin6_scope_id), &scope);
    }

    fn v6(&self) -> SocketAddrV6 {
        let port = u16::from_be_bytes(self.take(offset_of!(libc::sockaddr_in6, sin6_port)));
        let flow = u32::from_ne_bytes(self.take(offset_of!(libc::sockaddr_in6, sin6_flowinfo)));
        let ip: [u8; 16] = self.take(offset_of!(libc::sockaddr_in6, sin6_addr));
        let scope = u32::from_ne_bytes(self.take(offset_of!(libc::sockaddr_in6, sin6_scope_id)));
        SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope)
    }
}
