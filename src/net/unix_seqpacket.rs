//! Unix seqpacket sockets, for tasks.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, ListenOptions, PeerCredentials, UnixAddress};

use super::accept_task::TaskListener;
use super::connect;
use super::into_address::{IntoAddress, unix};
use super::socket::Socket;
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::task::budget;

/// A connected Unix seqpacket socket (`SOCK_SEQPACKET`): reliable and ordered like a stream, with
/// message boundaries like datagrams.
///
/// Each [`send`](UnixSeqpacket::send) is one message, and each [`recv`](UnixSeqpacket::recv) gets
/// one. A message longer than the buffer is truncated. An empty message looks like the end of the
/// connection, so do not send one.
///
/// Apple systems and Solaris have no such sockets: opening one returns `Unsupported`.
///
/// ```
/// use mainspring::{EventLoop, net::UnixSeqpacket};
/// use std::os::fd::AsFd;
///
/// # if !mainspring_sys::socket::has_seqpacket() { return Ok(()); }
/// let (ours, theirs) = UnixSeqpacket::pair()?;
/// EventLoop::new()?.run_until_complete(async {
///     ours.send(b"one").await?;
///     ours.send_fds(b"two", &[ours.as_fd()]).await?;
///     let mut buffer = [0; 16];
///     assert_eq!(theirs.recv(&mut buffer).await?, 3);
///     let (count, fds) = theirs.recv_fds(&mut buffer).await?;
///     assert_eq!((count, fds.len()), (3, 1));
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixSeqpacket {
    io: Io<Socket>,
}

impl UnixSeqpacket {
    fn from_nonblocking(fd: OwnedFd, location: &'static Location<'static>) -> UnixSeqpacket {
        let both = Interest::READABLE | Interest::WRITABLE;
        UnixSeqpacket { io: Io::nonblocking(Socket::new(fd), both, location) }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: refused, no such file, `ResourceBusy` if the listener's backlog is full,
    /// and `Unsupported`. `InvalidInput` if the value is not the address of a Unix socket.
    #[track_caller]
    pub fn connect(address: impl IntoAddress) -> impl Future<Output = Result<UnixSeqpacket>> {
        let location = Location::caller();
        located(|| "connect", async move {
            budget::step().await;
            let address = unix(&address.into_address()?)?;
            let connected = socket::connect_seqpacket(&address);
            let fd = connected.map_err(|source| connect::failed(address, source))?;
            Ok(UnixSeqpacket::from_nonblocking(fd, location))
        })
    }

    /// Returns two connected sockets.
    ///
    /// # Errors
    ///
    /// The errors of socketpair(2): the process or the system is out of descriptors. `Unsupported`.
    #[track_caller]
    pub fn pair() -> Result<(UnixSeqpacket, UnixSeqpacket)> {
        let (one, other) = socket::seqpacket_pair()?;
        let location = Location::caller();
        Ok((
            UnixSeqpacket::from_nonblocking(one, location),
            UnixSeqpacket::from_nonblocking(other, location),
        ))
    }

    /// Takes over a connected seqpacket socket, for example an inherited one. It becomes
    /// non-blocking.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    #[track_caller]
    pub fn from_fd(fd: OwnedFd) -> Result<UnixSeqpacket> {
        Ok(UnixSeqpacket { io: Io::new(Socket::new(fd))? })
    }

    /// Sends a message, and returns its length.
    ///
    /// Cancel safe: if the future is dropped, nothing was sent.
    ///
    /// # Errors
    ///
    /// The errors of send(2) and [`Io::writable`]: `BrokenPipe` if the peer has disconnected,
    /// `EMSGSIZE` for a message that is longer than the send buffer.
    pub fn send(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.transfer_datagrams(
            || "send",
            Interest::WRITABLE,
            move |socket| socket::send(socket, bytes),
            |length| *length,
        )
    }

    /// Receives a message, and returns its length; 0 is the end of the connection. Descriptors that
    /// come with it are closed.
    ///
    /// Cancel safe: if the future is dropped, nothing was received.
    ///
    /// # Errors
    ///
    /// The errors of recv(2) and [`Io::readable`].
    pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.transfer_datagrams(
            || "recv",
            Interest::READABLE,
            move |socket| socket::recv(socket, buffer),
            |length| *length,
        )
    }

    /// Sends a message with `fds`, and returns its length. The caller may then close its copies.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](UnixSeqpacket::send) and
    /// [`UnixStream::send_fds`](super::UnixStream::send_fds).
    pub fn send_fds(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.io.transfer_datagrams(
            || "send_fds",
            Interest::WRITABLE,
            move |socket| socket::send_fds(socket, bytes, fds),
            |length| *length,
        )
    }

    /// Receives a message, and returns its length and the descriptors that came with it.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](UnixSeqpacket::recv) and
    /// [`UnixStream::recv_fds`](super::UnixStream::recv_fds).
    pub fn recv_fds(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, Vec<OwnedFd>)>> {
        self.io.transfer_datagrams(
            || "recv_fds",
            Interest::READABLE,
            move |socket| socket::recv_fds(socket, buffer),
            |(length, _)| *length,
        )
    }

    /// Shuts down sending: the peer receives the end of the connection after the last message.
    ///
    /// # Errors
    ///
    /// The errors of shutdown(2): `NotConnected`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(&self.io)
    }

    /// Returns the socket with its readiness, for everything else.
    pub fn io(&self) -> &Io<Socket> {
        &self.io
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        unix(&socket::local_addr(self)?)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected` if the connection is over.
    pub fn peer_addr(&self) -> io::Result<UnixAddress> {
        unix(&socket::peer_addr(self)?)
    }

    /// Returns the user and the process of the peer, as they were when it connected or listened.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the system has no such call; `NotConnected`.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        socket::peer_credentials(self)
    }
}

impl AsFd for UnixSeqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl From<UnixSeqpacket> for OwnedFd {
    fn from(socket: UnixSeqpacket) -> OwnedFd {
        socket.io.into_inner().into()
    }
}

/// A listener for [`UnixSeqpacket`]. Dropping it does not remove its file.
#[derive(Debug)]
pub struct UnixSeqpacketListener {
    listener: TaskListener,
}

impl UnixSeqpacketListener {
    /// Opens a socket that listens at `address`.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use mainspring::net::{UnixSeqpacket, UnixSeqpacketListener};
    ///
    /// # if !mainspring_sys::socket::has_seqpacket() { return Ok(()); }
    /// let path = std::env::temp_dir().join(format!("example-{}.seqpacket", std::process::id()));
    /// EventLoop::new()?.run_until_complete(async {
    ///     let listener = UnixSeqpacketListener::bind(&path)?;
    ///     let client = UnixSeqpacket::connect(&path).await?;
    ///     let (server, _from) = listener.accept().await?;
    ///     client.send(b"hello").await?;
    ///     assert_eq!(server.recv(&mut [0; 16]).await?, 5);
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`UnixListener::bind`](super::UnixListener::bind); `Unsupported`.
    #[track_caller]
    pub fn bind(address: impl IntoAddress) -> Result<UnixSeqpacketListener> {
        UnixSeqpacketListener::bind_with(address, &ListenOptions::default())
    }

    /// Opens a socket like [`bind`](UnixSeqpacketListener::bind), with other options.
    ///
    /// # Errors
    ///
    /// Same as [`bind`](UnixSeqpacketListener::bind).
    #[track_caller]
    pub fn bind_with(
        address: impl IntoAddress,
        options: &ListenOptions,
    ) -> Result<UnixSeqpacketListener> {
        let address = unix(&address.into_address()?)?;
        let listening = socket::listen_seqpacket(&address, options);
        let fd =
            listening.map_err(|source| Error::Listen { address: address.to_string(), source })?;
        Ok(UnixSeqpacketListener { listener: TaskListener::from_nonblocking(fd)? })
    }

    /// Accepts a connection, and returns it with the address of its peer, which is usually unnamed.
    /// Otherwise like [`TcpListener::accept`](super::TcpListener::accept).
    ///
    /// # Errors
    ///
    /// Same as [`UnixListener::accept`](super::UnixListener::accept).
    pub fn accept(&self) -> impl Future<Output = Result<(UnixSeqpacket, UnixAddress)>> {
        located(|| "accept", async move {
            let (fd, from, _no_limit) = self.listener.accept().await?;
            Ok((UnixSeqpacket::from_nonblocking(fd, self.listener.location()), unix(&from)?))
        })
    }

    /// Returns the address on which it listens.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        unix(&self.listener.local_addr()?)
    }
}

impl AsFd for UnixSeqpacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl From<UnixSeqpacketListener> for OwnedFd {
    fn from(listener: UnixSeqpacketListener) -> OwnedFd {
        listener.listener.into_fd()
    }
}
