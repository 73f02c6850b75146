//! Unix streams of tasks.

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::panic::Location;
use std::time::Duration;

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, UnixAddress};

use super::connect_task::{connect, within};
use super::connected::ConnectedSocket;
use super::halves::{OwnedReadHalf, OwnedWriteHalf};
use super::into_address::{IntoAddress, unix};
use super::socket::Socket;
use super::std_conversions::std_conversions;
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::task::budget;

/// A connected Unix socket of a task. It derefs to [`ConnectedSocket`], which has the methods for
/// reading, writing and options.
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
    pub(super) fn new(socket: ConnectedSocket) -> UnixStream {
        UnixStream { socket }
    }

    /// Connects to `address`. Dropping the future closes the socket.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: refused, no such file, and `ResourceBusy` if the listener's backlog is
    /// full. `InvalidInput` if the value is not the address of a Unix socket.
    #[track_caller]
    pub fn connect(address: impl IntoAddress) -> impl Future<Output = Result<UnixStream>> {
        let location = Location::caller();
        located(|| "connect", async move {
            budget::step().await;
            let address = unix(&address.into_address()?)?;
            Ok(UnixStream { socket: connect(None, &address.into(), location).await? })
        })
    }

    /// Connects to `remote` from the address `local`, which the peer then sees.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the error of bind(2) if `local` cannot be bound; the errors of
    /// [`connect`](UnixStream::connect).
    #[track_caller]
    pub fn connect_from(
        local: impl IntoAddress,
        remote: impl IntoAddress,
    ) -> impl Future<Output = Result<UnixStream>> {
        let location = Location::caller();
        located(|| "connect_from", async move {
            budget::step().await;
            let local = unix(&local.into_address()?)?.into();
            let remote = unix(&remote.into_address()?)?.into();
            Ok(UnixStream { socket: connect(Some(&local), &remote, location).await? })
        })
    }

    /// Connects to `address` within the time `limit`. On most systems a Unix socket connects or
    /// fails at once, so the limit is for code that serves both families.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::{UnixListener, UnixStream}};
    /// use std::time::Duration;
    ///
    /// let path = std::env::temp_dir().join(format!("example-{}.timeout", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let connecting = UnixStream::connect_timeout(&path, Duration::from_secs(5));
    /// let stream = EventLoop::new()?.run_until_complete(connecting)??;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with `TimedOut`; the errors of [`connect`](UnixStream::connect).
    #[track_caller]
    pub fn connect_timeout(
        address: impl IntoAddress,
        limit: Duration,
    ) -> impl Future<Output = Result<UnixStream>> {
        let location = Location::caller();
        located(|| "connect_timeout", async move {
            budget::step().await;
            let address = unix(&address.into_address()?)?;
            let to = address.clone().into();
            let socket = within(limit, address, connect(None, &to, location)).await?;
            Ok(UnixStream { socket })
        })
    }

    /// Returns two connected sockets.
    ///
    /// # Errors
    ///
    /// The errors of socketpair(2): the process or the system is out of descriptors.
    #[track_caller]
    pub fn pair() -> Result<(UnixStream, UnixStream)> {
        let (one, other) = StdStream::pair()?;
        // Not `from_std`, which would look for other owners of the non-blocking flag.
        Ok((UnixStream::from_new(one)?, UnixStream::from_new(other)?))
    }

    /// Takes over a socket that no other process shares.
    #[track_caller]
    fn from_new(stream: StdStream) -> Result<UnixStream> {
        stream.set_nonblocking(true)?;
        let socket = Socket::new(OwnedFd::from(stream));
        Ok(UnixStream { socket: ConnectedSocket::unix(socket, Location::caller()) })
    }

    /// Takes over a std stream, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    #[track_caller]
    pub fn from_std(stream: StdStream) -> Result<UnixStream> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let io = Io::with_interest(Socket::new(OwnedFd::from(stream)), interest)?;
        Ok(UnixStream { socket: ConnectedSocket::new(io) })
    }

    /// Returns the stream as a std stream, still non-blocking.
    pub fn into_std(self) -> StdStream {
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

    /// Writes all of `bytes`, with `fds` attached to the first one. The caller may then close its
    /// copies: the kernel holds references.
    ///
    /// If the future is dropped, a part may have been written, with the descriptors on its first
    /// byte.
    ///
    /// ```
    /// use mainspring::{EventLoop, Io, net::UnixStream};
    /// use std::io::{PipeReader, Write};
    /// use std::os::fd::AsFd;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let (reader, mut writer) = std::io::pipe()?;
    /// EventLoop::new()?.run_until_complete(async {
    ///     ours.send_fds(b"a pipe", &[reader.as_fd()]).await?;
    ///     let (count, mut fds) = theirs.recv_fds(&mut [0; 16]).await?;
    ///     assert_eq!((count, fds.len()), (6, 1));
    ///     writer.write_all(b"hello")?;
    ///     let reader = Io::new(PipeReader::from(fds.remove(0)))?;
    ///     assert_eq!(&reader.read_chunk().await?[..], b"hello");
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of sendmsg(2): `BrokenPipe` if the peer has disconnected, `ETOOMANYREFS` if too
    /// many descriptors are in flight. `InvalidInput` for more than [`MAX_FDS`](super::MAX_FDS)
    /// descriptors, and for descriptors without a byte.
    pub fn send_fds(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> impl Future<Output = io::Result<()>> {
        located(|| "send_fds", async move {
            let send = |socket: &Socket| socket::send_fds(socket, bytes, fds);
            let count =
                self.socket.io().transfer_part(|| "send_fds", Interest::WRITABLE, send).await?;
            self.socket.write_all(&bytes[count..]).await
        })
    }

    /// Reads once, as soon as there is input. Returns the number of bytes, 0 at end of file, and
    /// the descriptors that came with them.
    ///
    /// A call returns the descriptors of at most one [`send_fds`](UnixStream::send_fds), together
    /// with its first byte. Bytes sent before that may precede it. All other reading methods close
    /// the descriptors that come with their bytes.
    ///
    /// Cancel safe: if the future is dropped, nothing was read.
    ///
    /// # Errors
    ///
    /// [`LostFds`](super::LostFds), in an error of the kind `Other`, if not all descriptors have
    /// arrived: the descriptor limit is reached. Otherwise the errors of
    /// [`read`](ConnectedSocket::read).
    pub fn recv_fds(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, Vec<OwnedFd>)>> {
        self.socket.recv_fds(buffer)
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        unix(&self.socket.socket().local_addr()?)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected` if the connection is over.
    pub fn peer_addr(&self) -> io::Result<UnixAddress> {
        unix(&self.socket.socket().peer_addr()?)
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

std_conversions!(UnixStream, StdStream);
