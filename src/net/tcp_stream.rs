//! TCP streams of tasks.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::time::Duration;

use mainspring_sys::Interest;

use super::connect_race::{listed, race};
use super::connect_task::{connect, within};
use super::connected::ConnectedSocket;
use super::halves::{OwnedReadHalf, OwnedWriteHalf};
use super::host::Host;
use super::into_address::{IntoAddress, inet};
use super::lookup::lookup_host;
use super::socket::Socket;
use super::std_conversions::std_conversions;
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::task::budget;

/// A TCP connection of a task. It derefs to [`ConnectedSocket`], which has the methods for reading,
/// writing and options.
///
/// See [`TcpListener`](crate::net::TcpListener) for an example.
#[derive(Debug)]
pub struct TcpStream {
    socket: ConnectedSocket,
}

impl TcpStream {
    pub(super) fn new(socket: ConnectedSocket) -> TcpStream {
        TcpStream { socket }
    }

    /// Connects to `address`. Dropping the future closes the socket.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: refused, reset, unreachable, no descriptors. `InvalidInput` if the value
    /// is not an internet address.
    #[track_caller]
    pub fn connect(address: impl IntoAddress) -> impl Future<Output = Result<TcpStream>> {
        let location = Location::caller();
        located(|| "connect", async move {
            budget::step().await; // An address that is refused is ready at once.
            let address = inet(&address.into_address()?)?;
            Ok(TcpStream { socket: connect(None, &address.into(), location).await? })
        })
    }

    /// Connects to `remote` from the address `local`. With port 0 the kernel chooses the port.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::TcpStream};
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let connecting = TcpStream::connect_from(("127.0.0.1", 0), listener.local_addr()?);
    /// let stream = EventLoop::new()?.run_until_complete(connecting)??;
    /// assert!(stream.local_addr()?.ip().is_loopback());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the error of bind(2) if `local` cannot be bound; the errors of
    /// [`connect`](TcpStream::connect).
    #[track_caller]
    pub fn connect_from(
        local: impl IntoAddress,
        remote: impl IntoAddress,
    ) -> impl Future<Output = Result<TcpStream>> {
        let location = Location::caller();
        located(|| "connect_from", async move {
            budget::step().await;
            let local = inet(&local.into_address()?)?.into();
            let remote = inet(&remote.into_address()?)?.into();
            Ok(TcpStream { socket: connect(Some(&local), &remote, location).await? })
        })
    }

    /// Connects to `address` within `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with `TimedOut`; the errors of [`connect`](TcpStream::connect).
    #[track_caller]
    pub fn connect_timeout(
        address: impl IntoAddress,
        limit: Duration,
    ) -> impl Future<Output = Result<TcpStream>> {
        let location = Location::caller();
        located(|| "connect_timeout", async move {
            budget::step().await;
            let address = inet(&address.into_address()?)?;
            let to = address.into();
            let socket = within(limit, address, connect(None, &to, location)).await?;
            Ok(TcpStream { socket })
        })
    }

    /// Connects to the first of `addresses` that answers. `limit` is the total time for all
    /// attempts.
    ///
    /// The attempts alternate between IPv6 and IPv4, beginning with the family of the first
    /// address. The next attempt begins when one has failed, or after 250 ms, while earlier
    /// attempts continue (RFC 8305, "happy eyeballs"). The first success wins, and the other
    /// sockets are closed.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], with a list of all failures if no address answers.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::TcpStream};
    /// use std::{net::TcpListener, time::Duration};
    ///
    /// let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addresses = [closed, listener.local_addr()?];
    /// let connecting = TcpStream::connect_any(&addresses, Duration::from_secs(5));
    /// let stream = EventLoop::new()?.run_until_complete(connecting)??;
    /// assert_eq!(stream.peer_addr()?, addresses[1]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn connect_any(
        addresses: &[SocketAddr],
        limit: Duration,
    ) -> impl Future<Output = Result<TcpStream>> {
        let location = Location::caller();
        located(|| "connect_any", async move {
            budget::step().await;
            let socket = within(limit, listed(addresses), race(addresses, location)).await?;
            Ok(TcpStream { socket })
        })
    }

    /// Looks `host` up in the loop's blocking pool, and connects to [the first address that
    /// answers](TcpStream::connect_any). `limit` includes the lookup.
    ///
    /// A host is the text `name:port`, a pair of a name and a port, a [`Host`], or an address.
    ///
    /// # Errors
    ///
    /// [`Error::Host`], [`Error::Lookup`], [`Error::Connect`].
    #[track_caller]
    pub fn connect_host<H>(
        host: H,
        limit: Duration,
    ) -> impl Future<Output = Result<TcpStream>> + use<H>
    where
        H: TryInto<Host>,
        Error: From<H::Error>,
    {
        // Outside of the future, because reports of a stuck lookup name the caller of this
        // function.
        let lookup = match host.try_into() {
            Ok(host) => Ok((host.to_string(), lookup_host::<Host>(host))),
            Err(error) => Err(Error::from(error)),
        };
        let location = Location::caller();
        located(|| "connect_host", async move {
            budget::step().await;
            let (host, lookup) = lookup?;
            let connecting = async { race(&lookup.await?, location).await };
            let socket = within(limit, host, connecting).await?;
            Ok(TcpStream { socket })
        })
    }

    /// Takes over a std stream, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> Result<TcpStream> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        let io = Io::with_interest(Socket::new(OwnedFd::from(stream)), interest)?;
        Ok(TcpStream { socket: ConnectedSocket::new(io) })
    }

    /// Returns the stream as a std stream, still non-blocking.
    ///
    /// ```
    /// use mainspring::net::TcpStream;
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let address = stream.local_addr()?;
    /// let stream = TcpStream::from_std(stream)?;
    /// assert_eq!(stream.into_std().local_addr()?, address);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn into_std(self) -> std::net::TcpStream {
        OwnedFd::from(self.into_socket()).into()
    }

    /// Returns the socket, which leaves the loop. It can be [attached](crate::LoopHandle::attach)
    /// to a protocol, for example.
    pub fn into_socket(self) -> Socket {
        self.socket.into_socket()
    }

    /// Returns the two directions, for two tasks. The socket is closed when both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.socket.into_split()
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.socket.socket().local_addr()?)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected` if the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.socket.socket().peer_addr()?)
    }
}

impl Deref for TcpStream {
    type Target = ConnectedSocket;

    #[inline]
    fn deref(&self) -> &ConnectedSocket {
        &self.socket
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

std_conversions!(TcpStream, std::net::TcpStream);
