//! Conversion of values to socket addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::net as unix_net;
use std::path::{Path, PathBuf};

use mainspring_sys::socket::{Address, UnixAddress};

use super::host::Host;

/// A value that converts to an [`Address`] without a DNS lookup: the argument of
/// [`listen`](crate::net::listen), `bind`, `connect` and `send_to`, for callbacks and tasks.
///
/// * [`Address`], [`SocketAddr`], [`UnixAddress`], Unix addresses of std, and their text:
///   `127.0.0.1:80`, `[::1]:80`, `unix:/run/daemon.sock`, `unix:@name`, `/run/daemon.sock`;
/// * a pair of an IP address, or its text, and a port;
/// * a path, for a Unix socket;
/// * a [`Host`] that is an address.
///
/// Host names are rejected, because a lookup takes time. Resolve them with
/// [`lookup_host`](crate::net::lookup_host), or use
/// [`connect_host`](crate::net::TcpStream::connect_host).
///
/// ```
/// use mainspring::net::{Address, IntoAddress};
///
/// assert_eq!("127.0.0.1:80".into_address()?, Address::Inet(([127, 0, 0, 1], 80).into()));
/// assert_eq!(("::1", 80).into_address()?, "[::1]:80".into_address()?);
/// assert!("unix:/run/daemon.sock".into_address()?.as_unix().is_some());
/// let error = "localhost:80".into_address().unwrap_err().to_string();
/// assert!(error.ends_with("look up the host name first"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait IntoAddress {
    /// Returns the address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the value is not an address.
    fn into_address(self) -> io::Result<Address>;
}

/// Implements [`IntoAddress`] for types by an expression.
macro_rules! into_address {
    ($($type:ty => |$value:ident| $address:expr;)*) => {
        $(impl IntoAddress for $type {
            fn into_address(self) -> io::Result<Address> {
                let $value = self;
                $address
            }
        })*
    };
}

into_address! {
    Address => |address| Ok(address);
    &Address => |address| Ok(address.clone());
    UnixAddress => |address| Ok(address.into());
    &UnixAddress => |address| Ok(address.clone().into());
    unix_net::SocketAddr => |address| Ok(UnixAddress::from(address).into());
    &str => |text| text.parse();
    &&str => |text| text.parse();
    String => |text| text.parse();
    &String => |text| text.parse();
    SocketAddr => |address| Ok(address.into());
    &SocketAddr => |address| Ok((*address).into());
    SocketAddrV4 => |address| Ok(Address::Inet(address.into()));
    SocketAddrV6 => |address| Ok(Address::Inet(address.into()));
    (IpAddr, u16) => |address| Ok(Address::Inet(address.into()));
    (Ipv4Addr, u16) => |address| Ok(Address::Inet(address.into()));
    (Ipv6Addr, u16) => |address| Ok(Address::Inet(address.into()));
    ([u8; 4], u16) => |address| Ok(Address::Inet(address.into()));
    ([u8; 16], u16) => |address| Ok(Address::Inet(address.into()));
    ([u16; 8], u16) => |address| Ok(Address::Inet(address.into()));
    (&str, u16) => |host| of_host(host.0, host.1);
    (&String, u16) => |host| of_host(host.0, host.1);
    (String, u16) => |host| of_host(&host.0, host.1);
    Host => |host| of(&host);
    &Host => |host| of(host);
    &Path => |path| Ok(UnixAddress::from_pathname(path)?.into());
    &PathBuf => |path| Ok(UnixAddress::from_pathname(path)?.into());
    PathBuf => |path| Ok(UnixAddress::from_pathname(path)?.into());
}

/// Returns the address of a host that needs no lookup.
fn of_host(host: &str, port: u16) -> io::Result<Address> {
    let host = Host::new(host, port);
    of(&host.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?)
}

fn of(host: &Host) -> io::Result<Address> {
    if let Some(address) = host.address() {
        return Ok(address.into());
    }
    // An IPv6 scope is the name of an interface, which the kernel resolves without waiting.
    let found = host.name().is_some_and(|name| name.contains('%')).then(|| host.to_string());
    if let Some(address) = found {
        return address.parse();
    }
    let message = format!("{host} is not an address: look up the host name first");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Returns the internet address, or `InvalidInput` for a Unix address.
pub(super) fn inet(address: &Address) -> io::Result<SocketAddr> {
    address.as_inet().ok_or_else(|| wrong_family(address, "an internet address"))
}

/// Returns the Unix address, or `InvalidInput` for an internet address.
pub(super) fn unix(address: &Address) -> io::Result<UnixAddress> {
    address.as_unix().cloned().ok_or_else(|| wrong_family(address, "the address of a Unix socket"))
}

fn wrong_family(address: &Address, wanted: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not {wanted}"))
}
