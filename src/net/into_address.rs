//! What can be said in place of an address.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::Path;

use mainspring_sys::socket::{Address, UnixAddress};

/// What names a socket without asking anybody: an [`Address`] in any form, as text too.
///
/// A host's name is none, since to look it up takes its time: see
/// [`connect_host`](crate::net::TcpStream::connect_host) and
/// [`lookup_host`](crate::net::lookup_host).
///
/// ```
/// use mainspring::net::{Address, IntoAddress};
///
/// assert_eq!("127.0.0.1:80".into_address()?, Address::Inet(([127, 0, 0, 1], 80).into()));
/// assert!("unix:/run/daemon.sock".into_address()?.as_unix().is_some());
/// let error = "localhost:80".into_address().unwrap_err().to_string();
/// assert!(error.ends_with("a host's name has to be looked up first"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait IntoAddress {
    /// The address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is none.
    fn into_address(self) -> io::Result<Address>;
}

impl IntoAddress for Address {
    fn into_address(self) -> io::Result<Address> {
        Ok(self)
    }
}

impl IntoAddress for &Address {
    fn into_address(self) -> io::Result<Address> {
        Ok(self.clone())
    }
}

impl IntoAddress for &str {
    fn into_address(self) -> io::Result<Address> {
        self.parse()
    }
}

impl IntoAddress for &String {
    fn into_address(self) -> io::Result<Address> {
        self.parse()
    }
}

impl IntoAddress for SocketAddr {
    fn into_address(self) -> io::Result<Address> {
        Ok(self.into())
    }
}

impl IntoAddress for SocketAddrV4 {
    fn into_address(self) -> io::Result<Address> {
        Ok(Address::Inet(self.into()))
    }
}

impl IntoAddress for SocketAddrV6 {
    fn into_address(self) -> io::Result<Address> {
        Ok(Address::Inet(self.into()))
    }
}

impl<I: Into<IpAddr>> IntoAddress for (I, u16) {
    fn into_address(self) -> io::Result<Address> {
        Ok(Address::Inet(self.into()))
    }
}

impl IntoAddress for UnixAddress {
    fn into_address(self) -> io::Result<Address> {
        Ok(self.into())
    }
}

impl IntoAddress for &Path {
    fn into_address(self) -> io::Result<Address> {
        Ok(UnixAddress::from_pathname(self)?.into())
    }
}

/// # Errors
///
/// `InvalidInput` for a Unix address.
pub(super) fn inet(address: &Address) -> io::Result<SocketAddr> {
    address.as_inet().ok_or_else(|| unfit(address, "no internet address"))
}

/// # Errors
///
/// `InvalidInput` for an internet address.
pub(super) fn unix(address: &Address) -> io::Result<UnixAddress> {
    address.as_unix().cloned().ok_or_else(|| unfit(address, "no address of a Unix socket"))
}

fn unfit(address: &Address, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is {what}"))
}
