//! TCP for tasks.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mainspring_sys::Interest;
use mainspring_sys::socket::{Address, ListenOptions};

use super::connections::Connections;
use super::dial;
use super::halves::{OwnedReadHalf, OwnedWriteHalf};
use super::host::Host;
use super::into_address::{IntoAddress, inet};
use super::listening::Listening;
use super::lookup::lookup_host;
use super::socket::Socket;
use super::stream_socket::ConnectedSocket;
use crate::error::{Error, Result};
use crate::task::{Io, budget};

/// A TCP socket that listens, for tasks.
///
/// It accepts as many clients as there are descriptors, so one client can take all of them. A daemon
/// sets [`max_connections`](TcpListener::set_max_connections), below the process's limit of
/// descriptors by what it needs itself, and an [idle limit](TcpListener#idle-limit).
///
/// ```
/// use mainspring::{EventLoop, net::{TcpListener, TcpStream}};
///
/// async fn serve(conn: TcpStream) -> mainspring::Result<()> {
///     let mut buffer = [0; 1024];
///     loop {
///         match conn.read(&mut buffer).await? {
///             0 => return Ok(()),
///             count => conn.write_all(&buffer[..count]).await?,
///         }
///     }
/// }
///
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     mainspring::spawn(async move {
///         loop {
///             let (conn, _from) = listener.accept().await?;
///             mainspring::spawn(serve(conn)).detach();
///         }
///         # #[allow(unreachable_code)]
///         Ok::<(), mainspring::Error>(())
///     })
///     .detach();
///     let conn = TcpStream::connect(address).await?;
///     conn.write_all(b"hello").await?;
///     let mut answer = [0; 5];
///     conn.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"hello");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// # Idle limit
///
/// A [`timeout`](crate::timeout) around each read ends a connection whose client sends nothing. A
/// read that is dropped has lost no byte. A second one around each write ends a connection whose
/// client reads nothing. Dropping the stream then makes room for the next client.
///
/// ```
/// use mainspring::net::{TcpListener, TcpStream};
/// use mainspring::{Error, EventLoop, testing::SimClock, timeout};
/// use std::time::Duration;
///
/// const IDLE: Duration = Duration::from_secs(30);
///
/// async fn serve(conn: TcpStream) -> mainspring::Result<()> {
///     loop {
///         let chunk = timeout(IDLE, conn.read_chunk()).await??;
///         if chunk.is_empty() {
///             return Ok(());
///         }
///         timeout(IDLE, conn.write_all(&chunk)).await??;
///     }
/// }
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// el.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     listener.set_max_connections(100);
///     let silent = TcpStream::connect(listener.local_addr()?).await?;
///     let (conn, _) = listener.accept().await?;
///     assert!(matches!(serve(conn).await, Err(Error::TimedOut(IDLE))));
///     assert_eq!(silent.read(&mut [0]).await?, 0); // It was closed.
///     assert_eq!(listener.connections(), 0);
///     Ok::<(), Error>(())
/// })??;
/// assert_eq!(clock.elapsed(), IDLE);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    listening: Listening,
}

impl TcpListener {
    /// Opens a socket that listens at `address`, as [`ListenOptions::default`] says. What it
    /// accepts has `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] with the address; [`Error::Create`] without a descriptor to keep in
    /// reserve; `InvalidInput` for what is no internet address.
    pub fn bind(address: impl IntoAddress) -> Result<TcpListener> {
        TcpListener::bind_with(address, &ListenOptions::default())
    }

    /// As [`bind`](TcpListener::bind), with other options.
    ///
    /// # Errors
    ///
    /// As [`bind`](TcpListener::bind).
    pub fn bind_with(address: impl IntoAddress, options: &ListenOptions) -> Result<TcpListener> {
        let address = Address::Inet(inet(&address.into_address()?)?);
        let listening = Listening::bind(&address, options)?;
        listening.prepare()?;
        Ok(TcpListener { listening })
    }

    /// Takes over a listener of std, or one that was inherited. Like with
    /// [`bind`](TcpListener::bind), accepted connections have `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking, or is no socket; [`Error::Create`];
    /// `InvalidInput` for a socket of another family.
    pub fn from_std(listener: std::net::TcpListener) -> Result<TcpListener> {
        let listening = Listening::new(listener.into())?;
        inet(&listening.prepare()?)?;
        Ok(TcpListener { listening })
    }

    /// Accepts a connection, and says who it is from.
    ///
    /// At the [limit of connections](TcpListener::set_max_connections) it waits for the end of one.
    ///
    /// The loop watches the connection at once. If the future is dropped none is lost. At the limit
    /// of descriptors it waits: those who can not be let in for long are turned away, and the first
    /// time is reported to the [exception handler](crate::LoopHandle::set_exception_handler). An
    /// error of one connection is skipped.
    ///
    /// # Errors
    ///
    /// [`Error::Accept`] if the listener is of no more use; those of [`Io::readable`].
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let (fd, from, place) = self.listening.accept().await?;
        let from = inet(&from)?;
        Ok((TcpStream { socket: ConnectedSocket::tcp(Socket::new(fd)).accepted(place) }, from))
    }

    /// The address at which it listens.
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(inet(&self.listening.local_addr()?)?)
    }

    pub(super) fn counted(&self) -> &Connections {
        self.listening.connections()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listening.as_fd()
    }
}

/// A TCP connection, for tasks. Reading and writing are methods of [`ConnectedSocket`], to which it
/// derefs. So are the options.
///
/// See [`TcpListener`] for an example.
#[derive(Debug)]
pub struct TcpStream {
    socket: ConnectedSocket,
}

impl TcpStream {
    /// Connects to `address`. If the future is dropped the socket is closed.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: refused, reset, unreachable, no descriptors; `InvalidInput` for what is
    /// no internet address.
    pub async fn connect(address: impl IntoAddress) -> Result<TcpStream> {
        budget::step().await;
        let address = inet(&address.into_address()?)?;
        let socket = dial::dial(&address.into()).await?;
        Ok(TcpStream { socket })
    }

    /// Connects to `remote` from the address `local`: with port 0 from any port of that address.
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
    /// [`Error::Connect`], also if `local` cannot be bound; otherwise those of
    /// [`connect`](TcpStream::connect).
    pub async fn connect_from(
        local: impl IntoAddress,
        remote: impl IntoAddress,
    ) -> Result<TcpStream> {
        budget::step().await;
        let local = inet(&local.into_address()?)?;
        let remote = inet(&remote.into_address()?)?;
        let socket = dial::dial_from(&local.into(), &remote.into()).await?;
        Ok(TcpStream { socket })
    }

    /// Connects to `address` within `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with `TimedOut`; those of [`connect`](TcpStream::connect).
    pub async fn connect_timeout(address: impl IntoAddress, limit: Duration) -> Result<TcpStream> {
        budget::step().await;
        let address = inet(&address.into_address()?)?;
        dial::within(limit, address, TcpStream::connect(address)).await
    }

    /// Connects to the first of `addresses` that answers within `limit`, which is for all together.
    ///
    /// The families take turns, beginning with that of the first address. The next attempt begins
    /// when one has failed, or after 250 ms; those under way go on (RFC 8305, "happy eyeballs").
    /// The first success wins, and the others are closed.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], with a list of all failures if none answers.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::TcpStream};
    /// use std::{net::TcpListener, time::Duration};
    ///
    /// let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addresses = [nobody, listener.local_addr()?];
    /// let connecting = TcpStream::connect_any(&addresses, Duration::from_secs(5));
    /// let stream = EventLoop::new()?.run_until_complete(connecting)??;
    /// assert_eq!(stream.peer_addr()?, addresses[1]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub async fn connect_any(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream> {
        budget::step().await;
        let race = dial::race(addresses);
        let socket = dial::within(limit, dial::listed(addresses), race).await?;
        Ok(TcpStream { socket })
    }

    /// Looks `host` up by the threads of the executor, and connects to [the first address that
    /// answers](TcpStream::connect_any). The limit is for all of it.
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
        // Here, so that it knows the caller.
        let lookup = match host.try_into() {
            Ok(host) => Ok((host.to_string(), lookup_host::<Host>(host))),
            Err(error) => Err(Error::from(error)),
        };
        async move {
            budget::step().await;
            let (host, lookup) = lookup?;
            let connecting = async { dial::race(&lookup.await?).await };
            let socket = dial::within(limit, host, connecting).await?;
            Ok(TcpStream { socket })
        }
    }

    /// Of a stream of std.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    pub fn from_std(stream: std::net::TcpStream) -> Result<TcpStream> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        let io = Io::with_interest(Socket::new(OwnedFd::from(stream)), interest)?;
        Ok(TcpStream { socket: ConnectedSocket::new(io) })
    }

    /// Ends watching, and gives the socket back: to be [attached](crate::LoopHandle::attach) to a
    /// protocol, for example.
    pub fn into_socket(self) -> Socket {
        self.socket.into_socket()
    }

    /// The two directions, for two tasks. The socket is closed when both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.socket.into_split()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(inet(&self.socket.local()?)?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// As getpeername(2): the connection is over.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(inet(&self.socket.peer()?)?)
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

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = Error;

    fn try_from(stream: std::net::TcpStream) -> Result<TcpStream> {
        TcpStream::from_std(stream)
    }
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = Error;

    fn try_from(listener: std::net::TcpListener) -> Result<TcpListener> {
        TcpListener::from_std(listener)
    }
}
