//! UDP for tasks.

use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::os::fd::{AsFd, BorrowedFd};

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, Address, BindOptions};

use super::datagram;
use super::into_address::{IntoAddress, inet};
use crate::error::{Error, Result};
use crate::task::{Io, budget};

/// A UDP socket, for tasks.
///
/// A datagram that is longer than the buffer is cut, and the rest is lost. One without any bytes is
/// a datagram, too: 0 is no end.
///
/// A refused datagram (`ConnectionRefused`, also `HostUnreachable`) is reported, once, by a
/// later call, and only where the socket is [connected](UdpSocket::connect). The socket goes on, so
/// a loop that receives skips such errors: [`Meaning::One`](crate::net::Meaning::One) of
/// [`Operation::meaning`](crate::net::Operation::meaning).
///
/// ```
/// use mainspring::{EventLoop, net::UdpSocket};
///
/// EventLoop::new()?.run_until_complete(async {
///     let server = UdpSocket::bind("127.0.0.1:0")?;
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.send_to(b"hello", server.local_addr()?).await?;
///     let mut buffer = [0; 1024];
///     let (count, from) = server.recv_from(&mut buffer).await?;
///     assert_eq!((&buffer[..count], from), (&b"hello"[..], client.local_addr()?));
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    io: Io<StdSocket>,
}

impl UdpSocket {
    /// Opens a socket that receives what is sent to `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] with the address; `InvalidInput` for what is no internet address.
    pub fn bind(address: impl IntoAddress) -> Result<UdpSocket> {
        UdpSocket::bind_with(address, &BindOptions::default())
    }

    /// As [`bind`](UdpSocket::bind), with other options.
    ///
    /// # Errors
    ///
    /// As [`bind`](UdpSocket::bind).
    pub fn bind_with(address: impl IntoAddress, options: &BindOptions) -> Result<UdpSocket> {
        let address = Address::Inet(inet(&address.into_address()?)?);
        let fd = socket::bind_datagram(&address, options)
            .map_err(|source| Error::Bind { address: address.to_string(), source })?;
        let both = Interest::READABLE | Interest::WRITABLE;
        Ok(UdpSocket { io: Io::nonblocking(StdSocket::from(fd), both) })
    }

    /// Of a socket of std.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    pub fn from_std(socket: StdSocket) -> Result<UdpSocket> {
        Ok(UdpSocket { io: Io::new(socket)? })
    }

    /// Takes the socket of std out, for example for
    /// [`add_reader`](crate::LoopHandle::add_reader). Unlike the bind of std, [`bind`](UdpSocket::bind)
    /// names the address in its error.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::UdpSocket};
    ///
    /// let taken = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let address = taken.local_addr()?;
    /// let error = UdpSocket::bind(address).unwrap_err();
    /// assert!(error.to_string().ends_with(&address.to_string()));
    ///
    /// let el = EventLoop::new()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?.into_std();
    /// el.add_reader(socket, |_el, (), socket| socket.recv(&mut [0; 512]).map(drop).map_err(Into::into))?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn into_std(self) -> StdSocket {
        self.io.into_inner()
    }

    /// From now on sends to `address`, and receives only from there. This does not wait.
    ///
    /// # Errors
    ///
    /// As connect(2); `InvalidInput` for what is no internet address.
    pub fn connect(&self, address: impl IntoAddress) -> io::Result<()> {
        self.io.get_ref().connect(inet(&address.into_address()?)?)
    }

    /// Sends a datagram to the peer it is connected to.
    ///
    /// # Errors
    ///
    /// As send(2), and of [`Io::writable`].
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        datagram::send(&self.io, |socket| socket.send(bytes)).await
    }

    /// Sends a datagram to `address`.
    ///
    /// # Errors
    ///
    /// As sendto(2), and of [`Io::writable`]; `InvalidInput` for what is no internet address.
    pub async fn send_to(&self, bytes: &[u8], address: impl IntoAddress) -> io::Result<usize> {
        budget::step().await;
        let address = inet(&address.into_address()?)?;
        datagram::send(&self.io, |socket| socket.send_to(bytes, address)).await
    }

    /// Receives a datagram from the peer it is connected to.
    ///
    /// # Errors
    ///
    /// As recv(2), and of [`Io::readable`].
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.read_with(|socket| socket.recv(buffer)).await
    }

    /// Receives a datagram, and says who it is from.
    ///
    /// # Errors
    ///
    /// As recvfrom(2), and of [`Io::readable`].
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.read_with(|socket| socket.recv_from(buffer)).await
    }

    /// Receives a datagram, and leaves it to be received again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.read_with(|socket| socket.peek_from(buffer)).await
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The address it is connected to.
    ///
    /// # Errors
    ///
    /// As getpeername(2): `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// The socket with its readiness, for everything else: options, multicast, polling by hand.
    pub fn io(&self) -> &Io<StdSocket> {
        &self.io
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl TryFrom<StdSocket> for UdpSocket {
    type Error = Error;

    fn try_from(socket: StdSocket) -> Result<UdpSocket> {
        UdpSocket::from_std(socket)
    }
}
