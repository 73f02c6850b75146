//! Unix sockets for tasks.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram as StdDatagram, UnixStream as StdStream};

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, Address, BindOptions, ListenOptions, UnixAddress};

use super::connections::Connections;
use super::datagram;
use super::dial;
use super::halves::{OwnedReadHalf, OwnedWriteHalf};
use super::into_address::{IntoAddress, unix};
use super::listening::Listening;
use super::socket::Socket;
use super::stream_socket::ConnectedSocket;
use crate::error::{Error, Result};
use crate::task::{Io, budget};

const BOTH: Interest = Interest::READABLE.union(Interest::WRITABLE);

/// A Unix socket that listens, for tasks. Its file stays when it is dropped.
#[derive(Debug)]
pub struct UnixListener {
    listening: Listening,
}

impl UnixListener {
    /// Opens a socket that listens at `address`: a path, or a name outside the file system.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] with the address, also if the file exists, which is never removed here;
    /// [`Error::Create`] without a descriptor to keep in reserve; `InvalidInput` for what is no
    /// address of a Unix socket.
    pub fn bind(address: impl IntoAddress) -> Result<UnixListener> {
        UnixListener::bind_with(address, &ListenOptions::default())
    }

    /// As [`bind`](UnixListener::bind), with other options.
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixListener::bind).
    pub fn bind_with(address: impl IntoAddress, options: &ListenOptions) -> Result<UnixListener> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        Ok(UnixListener { listening: Listening::bind(&address, options)? })
    }

    /// Takes over a listener of std, or one that was inherited.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking, or is no socket; [`Error::Create`];
    /// `InvalidInput` for a socket of another family.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> Result<UnixListener> {
        let listening = Listening::new(listener.into())?;
        unix(&listening.prepare()?)?;
        Ok(UnixListener { listening })
    }

    /// Accepts a connection, and says who it is from: mostly nobody with a name. Otherwise as
    /// [`TcpListener::accept`](crate::net::TcpListener::accept).
    ///
    /// # Errors
    ///
    /// [`Error::Accept`] if the listener is of no more use; those of [`Io::readable`].
    pub async fn accept(&self) -> Result<(UnixStream, UnixAddress)> {
        let (fd, from, place) = self.listening.accept().await?;
        let from = unix(&from)?;
        Ok((UnixStream { socket: ConnectedSocket::unix(Socket::new(fd)).accepted(place) }, from))
    }

    /// The address at which it listens.
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    pub fn local_addr(&self) -> Result<UnixAddress> {
        Ok(unix(&self.listening.local_addr()?)?)
    }

    pub(super) fn counted(&self) -> &Connections {
        self.listening.connections()
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listening.as_fd()
    }
}

/// A connected Unix socket, for tasks. Reading and writing are methods of [`ConnectedSocket`], to
/// which it derefs.
///
/// ```
/// use mainspring::{EventLoop, net::UnixStream};
///
/// let (one, other) = UnixStream::pair()?;
/// EventLoop::new()?.run_until_complete(async {
///     one.write_all(b"hello").await?;
///     drop(one);
///     let mut all = Vec::new();
///     other.read_to_end(&mut all).await?;
///     assert_eq!(all, b"hello");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixStream {
    socket: ConnectedSocket,
}

impl UnixStream {
    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: refused, no such file, and `ResourceBusy` if the listener's backlog is
    /// full; `InvalidInput` for what is no address of a Unix socket.
    pub async fn connect(address: impl IntoAddress) -> Result<UnixStream> {
        budget::step().await;
        let address = unix(&address.into_address()?)?;
        let socket = dial::dial(&address.into()).await?;
        Ok(UnixStream { socket })
    }

    /// Connects to `remote` from the address `local`, which is then what the peer is told.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], also if `local` cannot be bound; otherwise those of
    /// [`connect`](UnixStream::connect).
    pub async fn connect_from(
        local: impl IntoAddress,
        remote: impl IntoAddress,
    ) -> Result<UnixStream> {
        budget::step().await;
        let local = unix(&local.into_address()?)?;
        let remote = unix(&remote.into_address()?)?;
        let socket = dial::dial_from(&local.into(), &remote.into()).await?;
        Ok(UnixStream { socket })
    }

    /// Two connected sockets.
    ///
    /// # Errors
    ///
    /// As socketpair(2): the process or the system is out of descriptors.
    pub fn pair() -> Result<(UnixStream, UnixStream)> {
        let (one, other) = StdStream::pair()?;
        Ok((UnixStream::take_over(one)?, UnixStream::take_over(other)?))
    }

    /// Of a socket that nobody else has.
    fn take_over(stream: StdStream) -> Result<UnixStream> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream { socket: ConnectedSocket::unix(Socket::new(OwnedFd::from(stream))) })
    }

    /// Of a stream of std.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    pub fn from_std(stream: StdStream) -> Result<UnixStream> {
        let io = Io::with_interest(Socket::new(OwnedFd::from(stream)), BOTH)?;
        Ok(UnixStream { socket: ConnectedSocket::new(io) })
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
    pub fn local_addr(&self) -> Result<UnixAddress> {
        Ok(unix(&self.socket.local()?)?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// As getpeername(2): the connection is over.
    pub fn peer_addr(&self) -> Result<UnixAddress> {
        Ok(unix(&self.socket.peer()?)?)
    }
}

impl Deref for UnixStream {
    type Target = ConnectedSocket;

    #[inline]
    fn deref(&self) -> &ConnectedSocket {
        &self.socket
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl TryFrom<StdStream> for UnixStream {
    type Error = Error;

    fn try_from(stream: StdStream) -> Result<UnixStream> {
        UnixStream::from_std(stream)
    }
}

impl TryFrom<std::os::unix::net::UnixListener> for UnixListener {
    type Error = Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> Result<UnixListener> {
        UnixListener::from_std(listener)
    }
}

/// A Unix socket for datagrams, for tasks. They are not lost, and what is longer than the buffer
/// is cut.
#[derive(Debug)]
pub struct UnixDatagram {
    io: Io<StdDatagram>,
}

impl UnixDatagram {
    /// Opens a socket that receives what is sent to `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] with the address; `InvalidInput` for what is no address of a Unix socket.
    pub fn bind(address: impl IntoAddress) -> Result<UnixDatagram> {
        UnixDatagram::bind_with(address, &BindOptions::default())
    }

    /// Like [`bind`](UnixDatagram::bind), with other options.
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixDatagram::bind).
    pub fn bind_with(address: impl IntoAddress, options: &BindOptions) -> Result<UnixDatagram> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        let fd = socket::bind_datagram(&address, options);
        let fd = fd.map_err(|source| Error::Bind { address: address.to_string(), source })?;
        Ok(UnixDatagram { io: Io::nonblocking(StdDatagram::from(fd), BOTH) })
    }

    /// Opens a socket that only sends.
    ///
    /// # Errors
    ///
    /// As socket(2).
    pub fn unbound() -> Result<UnixDatagram> {
        UnixDatagram::take_over(StdDatagram::unbound()?)
    }

    /// Two connected sockets.
    ///
    /// # Errors
    ///
    /// As socketpair(2).
    pub fn pair() -> Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = StdDatagram::pair()?;
        Ok((UnixDatagram::take_over(one)?, UnixDatagram::take_over(other)?))
    }

    /// Of a socket that nobody else has.
    fn take_over(socket: StdDatagram) -> Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram { io: Io::nonblocking(socket, BOTH) })
    }

    /// Of a socket of std.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    pub fn from_std(socket: StdDatagram) -> Result<UnixDatagram> {
        Ok(UnixDatagram { io: Io::new(socket)? })
    }

    /// Sends to `address` from now on, and receives only from there. This does not wait.
    ///
    /// # Errors
    ///
    /// Those of connect(2); `InvalidInput` for a value that is no address of a Unix socket.
    pub fn connect(&self, address: impl IntoAddress) -> io::Result<()> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        socket::set_peer(self, &address)
    }

    /// Sends a datagram to the peer it is connected to.
    ///
    /// # Errors
    ///
    /// As send(2), and of [`Io::writable`].
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        datagram::send(&self.io, |socket| socket.send(bytes)).await
    }

    /// Sends a datagram to the socket at `address`.
    ///
    /// If that one takes no more for now, this looks again from time to time: no kernel tells when
    /// there is room with a peer that one is not connected to.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::UnixDatagram};
    ///
    /// let path = std::env::temp_dir().join(format!("example-{}.dgram", std::process::id()));
    /// EventLoop::new()?.run_until_complete(async {
    ///     let receiver = UnixDatagram::bind(&path)?;
    ///     UnixDatagram::unbound()?.send_to(b"hello", &path).await?;
    ///     let (count, from) = receiver.recv_from(&mut [0; 16]).await?;
    ///     assert!(count == 5 && from.is_unnamed());
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of sendto(2); `InvalidInput` for a value that is no address of a Unix socket.
    pub async fn send_to(&self, bytes: &[u8], address: impl IntoAddress) -> io::Result<usize> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        datagram::send_by_pauses(|| socket::send_to(self, bytes, &address)).await
    }

    /// Receives a datagram from the peer it is connected to. One without any bytes is a datagram,
    /// too: 0 is no end.
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
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, UnixAddress)> {
        let received = self.io.read_with(|socket| socket::recv_from(socket, buffer));
        let (count, from) = received.await?;
        Ok((count, unix(&from)?))
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    pub fn local_addr(&self) -> Result<UnixAddress> {
        Ok(unix(&socket::local_addr(self)?)?)
    }

    /// The address it is connected to.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2): `NotConnected`.
    pub fn peer_addr(&self) -> Result<UnixAddress> {
        Ok(unix(&socket::peer_addr(self)?)?)
    }

    /// The socket with its readiness, for everything else.
    pub fn io(&self) -> &Io<StdDatagram> {
        &self.io
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}
