//! UDP sockets of tasks.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;

use mainspring_sys::socket::{self, Address, BindOptions};
use mainspring_sys::{Interest, Readiness};

use super::datagram::{self, Batching};
use super::into_address::{IntoAddress, inet};
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::task::budget;

/// A UDP socket of a task.
///
/// A datagram longer than the buffer is truncated. A datagram may be empty: 0 does not mean end of
/// file.
///
/// On a [connected](UdpSocket::connect) socket the refusal of a datagram (`ConnectionRefused` or
/// `HostUnreachable`) is the error of one later call. The socket stays usable, so a receive loop
/// should skip such errors: [`Operation::classify`](crate::net::Operation::classify) returns
/// [`ErrorClass::OneOff`](crate::net::ErrorClass::OneOff) for them.
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
    batching: Batching,
}

impl UdpSocket {
    /// Opens a socket that receives datagrams for `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] with the address; `InvalidInput` if the value is not an internet address.
    #[track_caller]
    pub fn bind(address: impl IntoAddress) -> Result<UdpSocket> {
        UdpSocket::bind_with(address, &BindOptions::default())
    }

    /// Opens a socket like [`bind`](UdpSocket::bind), with other options.
    ///
    /// # Errors
    ///
    /// Same as [`bind`](UdpSocket::bind).
    #[track_caller]
    pub fn bind_with(address: impl IntoAddress, options: &BindOptions) -> Result<UdpSocket> {
        let address = Address::Inet(inet(&address.into_address()?)?);
        let fd = datagram::bind(&address, options)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        Ok(UdpSocket {
            io: Io::nonblocking(StdSocket::from(fd), both, Location::caller()),
            batching: Batching::default(),
        })
    }

    /// Takes over a std socket, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    #[track_caller]
    pub fn from_std(socket: StdSocket) -> Result<UdpSocket> {
        Ok(UdpSocket { io: Io::new(socket)?, batching: Batching::default() })
    }

    /// Returns the socket as a std socket, still non-blocking, for example for
    /// [`add_reader`](crate::LoopHandle::add_reader). Unlike std's `bind`,
    /// [`bind`](UdpSocket::bind) names the address in its error.
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
    /// el.add_reader(socket, |_el, (), socket| {
    ///     socket.recv(&mut [0; 512])?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn into_std(self) -> StdSocket {
        self.io.into_inner()
    }

    /// Sends to `address` from now on, and receives only from there. Does not wait.
    ///
    /// # Errors
    ///
    /// The errors of connect(2); `InvalidInput` if the value is not an internet address.
    pub fn connect(&self, address: impl IntoAddress) -> io::Result<()> {
        self.io.get_ref().connect(inet(&address.into_address()?)?)
    }

    /// Sends a datagram to `address`.
    ///
    /// # Errors
    ///
    /// The errors of sendto(2) and [`Io::writable`]; `InvalidInput` if the value is not an internet
    /// address.
    pub fn send_to(
        &self,
        bytes: &[u8],
        address: impl IntoAddress,
    ) -> impl Future<Output = io::Result<usize>> {
        located(|| "send_to", async move {
            budget::step().await;
            let address = inet(&address.into_address()?)?;
            datagram::send(&self.io, |socket| socket.send_to(bytes, address)).await
        })
    }

    /// Receives a datagram, and returns its length and the address of its sender.
    ///
    /// # Errors
    ///
    /// The errors of recvfrom(2) and [`Io::readable`].
    pub fn recv_from(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.io.transfer_datagrams(
            || "recv_from",
            Interest::READABLE,
            move |socket| socket.recv_from(buffer),
            |(length, _)| *length,
        )
    }

    /// Receives a datagram like [`recv_from`](UdpSocket::recv_from), and leaves it in the socket.
    ///
    /// # Errors
    ///
    /// Same as [`recv_from`](UdpSocket::recv_from).
    pub fn peek_from(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.io.call(|| "peek_from", Interest::READABLE, move |socket| socket.peek_from(buffer))
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// Returns the address to which the socket is connected.
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }
}

datagram::methods!(UdpSocket, StdSocket);
