//! Socket addresses, and their form in the kernel.
//!
//! A `sockaddr` is written and read byte by byte, at the offsets of the C structs. So the code does
//! not depend on the layout of Rust's types, and reads no byte that the kernel did not write.

use std::io;
use std::mem::{offset_of, size_of};
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::unix::UnixAddress;

/// Address of a socket: an internet address or a Unix address.
///
/// A text that begins with `unix:` or `/` is a Unix address, and any other an internet address.
/// `Display` and `FromStr` are inverse. The scope of an IPv6 address may be the number or the
/// name of a network interface, `[fe80::1%eth0]:22`. Flow information other than zero is
/// written as `[::1]:80?flowinfo=7`.
///
/// ```
/// # use mainspring_sys::socket::Address;
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
    /// A socket file, an abstract name, or no name.
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
    /// Returns the internet address, if it is one.
    pub fn as_inet(&self) -> Option<net::SocketAddr> {
        match self {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Returns the Unix address, if it is one.
    pub fn as_unix(&self) -> Option<&UnixAddress> {
        match self {
            Address::Inet(_) => None,
            Address::Unix(address) => Some(address),
        }
    }

    /// Returns the address family for socket(2).
    pub(super) fn family(&self) -> libc::c_int {
        match self {
            Address::Inet(net::SocketAddr::V4(_)) => libc::AF_INET,
            Address::Inet(net::SocketAddr::V6(_)) => libc::AF_INET6,
            Address::Unix(_) => libc::AF_UNIX,
        }
    }
}

/// An address in the form of the kernel.
pub(super) struct KernelAddress {
    bytes: Bytes,
    length: usize,
}

const ROOM: usize = size_of::<libc::sockaddr_storage>();

/// Storage with the alignment of every `sockaddr`.
#[repr(C, align(8))]
struct Bytes([u8; ROOM]);

/// Offset of the path in a Unix address.
const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);
const FAMILY: usize = offset_of!(libc::sockaddr, sa_family);
const FAMILY_END: usize = FAMILY + size_of::<libc::sa_family_t>();

impl KernelAddress {
    /// Room for every address, in bytes.
    pub(super) const ROOM: libc::socklen_t = ROOM as libc::socklen_t;

    /// Converts `address` to the kernel's form.
    pub(super) fn new(address: &Address) -> KernelAddress {
        let mut kernel = KernelAddress::vacant();
        kernel.set(address);
        kernel
    }

    /// Replaces the address.
    #[inline]
    pub(super) fn set(&mut self, address: &Address) {
        match address {
            Address::Inet(net::SocketAddr::V4(v4)) => {
                self.begin(size_of::<libc::sockaddr_in>(), libc::AF_INET);
                self.put_v4(v4);
            }
            Address::Inet(net::SocketAddr::V6(v6)) => {
                self.begin(size_of::<libc::sockaddr_in6>(), libc::AF_INET6);
                self.put_v6(v6);
            }
            Address::Unix(unix) => {
                self.begin(PATH + unix.kernel_length(), libc::AF_UNIX);
                self.put(PATH, &unix.kernel_bytes());
            }
        }
    }

    /// Clears the place of an address of this length, and writes the family.
    #[inline]
    fn begin(&mut self, length: usize, family: libc::c_int) {
        self.length = length;
        self.bytes.0[..length].fill(0);
        #[cfg(has_sockaddr_len)]
        self.put(offset_of!(libc::sockaddr, sa_len), &[length as u8]);
        self.put(FAMILY, &(family as libc::sa_family_t).to_ne_bytes());
    }

    /// Runs a call that writes an address, and returns its result and the address.
    pub(super) fn receive<T>(
        call: impl FnOnce(*mut libc::sockaddr, &mut libc::socklen_t) -> io::Result<T>,
    ) -> io::Result<(T, KernelAddress)> {
        let mut kernel = KernelAddress::empty(ROOM);
        let mut length = ROOM as libc::socklen_t;
        let value = call((&raw mut kernel.bytes).cast(), &mut length)?;
        // The kernel reports the full length of an address that it truncated.
        kernel.length = ROOM.min(length as usize);
        Ok((value, kernel))
    }

    /// Returns true if the kernel wrote no address. Some do so for an unnamed Unix peer.
    pub(super) fn is_empty(&self) -> bool {
        self.length < FAMILY_END
    }

    /// Converts the address back. An empty address is an unnamed Unix address.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a family that is neither internet nor Unix.
    pub(super) fn address(&self) -> io::Result<Address> {
        self.address_of(self.length)
    }

    /// Converts an address back for which the kernel has reported this length. Otherwise like
    /// [`address`](KernelAddress::address).
    ///
    /// # Errors
    ///
    /// Same as [`address`](KernelAddress::address).
    #[inline]
    pub(super) fn address_of(&self, length: usize) -> io::Result<Address> {
        if length < FAMILY_END {
            return Ok(UnixAddress::unnamed().into());
        }
        match libc::c_int::from(libc::sa_family_t::from_ne_bytes(self.take(FAMILY))) {
            libc::AF_INET => Ok(Address::Inet(self.v4().into())),
            libc::AF_INET6 => Ok(Address::Inet(self.v6().into())),
            libc::AF_UNIX => {
                // The address of an unnamed socket may end before the path.
                let path = self.bytes.0.get(PATH..length.min(ROOM)).unwrap_or_default();
                Ok(UnixAddress::from_kernel_bytes(path).into())
            }
            family => {
                let message = format!("unsupported address family {family}: neither IP nor Unix");
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
        }
    }

    /// Returns room for the largest address, for calls that write one.
    pub(super) fn vacant() -> KernelAddress {
        KernelAddress::empty(ROOM)
    }

    /// Returns the place for an address of up to [`ROOM`](KernelAddress::ROOM) bytes.
    pub(super) fn place(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.bytes).cast()
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

    /// Like in [`std::net`], flow and scope are in native byte order.
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

#[cfg(test)]
pub(super) mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn round_trip(address: &Address) -> Address {
        KernelAddress::new(address).address().unwrap()
    }

    /// Returns the address that a kernel reports by `bytes` and a length that may differ.
    fn received(bytes: &[u8], length: usize) -> io::Result<Address> {
        let ((), kernel) = KernelAddress::receive(|address, reported| {
            let place: *mut u8 = address.cast();
            // SAFETY: `place` has room for the largest address, and the tests write no more.
            unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            *reported = length as libc::socklen_t;
            Ok(())
        })?;
        kernel.address()
    }

    fn unix(path: &[u8]) -> Vec<u8> {
        let mut kernel = KernelAddress::new(&UnixAddress::unnamed().into());
        kernel.put(PATH, path);
        kernel.bytes.0[..PATH + path.len()].to_vec()
    }

    fn any_inet() -> impl Strategy<Value = Address> {
        let v4 = any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port));
        let v6 = any::<(u128, u16, u32, u32)>()
            .prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(ip.into(), port, flow, scope));
        prop_oneof![
            v4.prop_map(|v4| Address::Inet(v4.into())),
            v6.prop_map(|v6| Address::Inet(v6.into())),
        ]
    }

    /// A path of up to 103 bytes fits on every system. Without abstract names, a path is used
    /// instead of a name.
    fn unix_address(is_path: bool, bytes: Vec<u8>) -> Address {
        let name = || UnixAddress::from_abstract_name(&bytes);
        let path = || UnixAddress::from_pathname(OsStr::from_bytes(&bytes));
        let unix = if is_path || !cfg!(has_abstract_unix) { path() } else { name() };
        unix.unwrap_or(UnixAddress::unnamed()).into()
    }

    pub fn any_address() -> impl Strategy<Value = Address> {
        let path = vec(1..=255u8, 1..=103).prop_map(|path| unix_address(true, path));
        let name = vec(any::<u8>(), 0..=103).prop_map(|name| unix_address(false, name));
        prop_oneof![any_inet(), path, name]
    }

    proptest! {
        #![proptest_config(crate::socket::cases(2000))]

        #[test]
        fn the_kernel_form_of_an_address_converts_back(address in any_address()) {
            prop_assert_eq!(round_trip(&address), address);
        }

        /// Any bytes and any length from a kernel are an address or an error.
        #[test]
        fn any_bytes_from_a_kernel_are_an_address_or_an_error(
            bytes in vec(any::<u8>(), 0..=ROOM),
            length in 0..=2 * ROOM,
        ) {
            let _ = received(&bytes, length);
        }
    }

    /// P90: flow, scope and mapped addresses are preserved.
    #[test]
    fn p90_internet_addresses_keep_all_their_parts() {
        let mapped = Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped();
        for (ip, flow, scope) in [(Ipv6Addr::LOCALHOST, 0x1234, 7), (mapped, 0, u32::MAX)] {
            let address = Address::Inet(SocketAddrV6::new(ip, 443, flow, scope).into());
            assert_eq!(round_trip(&address), address);
        }
        let v4 = KernelAddress::new(&"127.0.0.1:258".parse().unwrap());
        assert_eq!(v4.length, size_of::<libc::sockaddr_in>());
        assert_eq!(v4.bytes.0[2..8], [1, 2, 127, 0, 0, 1], "big-endian, as on the wire");
    }

    /// P90: Unix addresses as kernels write them, with and without a terminating zero.
    #[test]
    fn p90_unix_addresses_as_kernels_write_them() {
        let path = |text: &str| Address::Unix(UnixAddress::from_pathname(text).unwrap());
        let unnamed = Address::Unix(UnixAddress::unnamed());
        assert_eq!(received(&[], 0).unwrap(), unnamed);
        assert_eq!(received(&unix(b""), PATH).unwrap(), unnamed);
        assert_eq!(received(&unix(b"/a"), PATH + 2).unwrap(), path("/a"));
        assert_eq!(received(&unix(b"/a\0\0junk"), PATH + 8).unwrap(), path("/a"));
        assert_eq!(
            received(&unix(b"/a"), 2 * ROOM).unwrap(),
            path("/a"),
            "the length exceeds the buffer"
        );
        let full = [b'x'; size_of::<libc::sockaddr_un>() - PATH];
        let whole = received(&unix(&full), PATH + full.len() + 1).unwrap();
        assert_eq!(whole.as_unix().unwrap().as_pathname().unwrap().as_os_str().len(), full.len());
        if cfg!(has_abstract_unix) {
            let name = received(&unix(b"\0a\0b"), PATH + 4).unwrap();
            assert_eq!(name.as_unix().unwrap().as_abstract_name(), Some(&b"a\0b"[..]));
            assert_ne!(name, received(&unix(b"\0a\0b\0"), PATH + 5).unwrap());
        }
    }

    #[test]
    fn an_address_of_another_family_is_refused() {
        let mut bytes = unix(b"");
        bytes[FAMILY..FAMILY_END].fill(0x7f);
        let refused = received(&bytes, bytes.len());
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    /// P90: the longest path and name are preserved; one byte more, or a zero in a path, is an
    /// error.
    #[test]
    fn p90_no_unix_address_is_truncated() {
        let longest = size_of::<libc::sockaddr_un>() - PATH - 1;
        let path = "p".repeat(longest);
        let address = Address::Unix(UnixAddress::from_pathname(&path).unwrap());
        assert_eq!(round_trip(&address), address);
        for refused in [path + "p", String::new(), "a\0b".into()] {
            let error = UnixAddress::from_pathname(refused).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        if cfg!(has_abstract_unix) {
            let name = vec![0; longest];
            let address = Address::Unix(UnixAddress::from_abstract_name(&name).unwrap());
            assert_eq!(round_trip(&address), address);
            let error = UnixAddress::from_abstract_name([name, vec![0]].concat()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
