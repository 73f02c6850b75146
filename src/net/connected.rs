//! Connected sockets for tasks: the reading and writing that TCP and Unix streams have in common.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::task::{Context, Poll};

use mainspring_sys::socket;
use mainspring_sys::{Interest, Readiness};

use super::connection_limit::Permit;
use super::socket::Socket;
use crate::awaits::located;
use crate::io::{Io, ReadChunk};
use crate::task::budget;

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// A connected socket of a task. [`TcpStream`](crate::net::TcpStream),
/// [`UnixStream`](crate::net::UnixStream) and their halves deref to it.
///
/// All methods take `&self`: one task may read while another one writes. If several tasks read, or
/// several write, each call transfers its bytes contiguously, but the order of the calls is
/// unspecified.
///
/// A future that is dropped before it completes has read or written nothing, unless its method
/// is documented otherwise.
///
/// Dropping the socket closes it at once. If its peer is still sending, the kernel resets the
/// connection, and the peer loses the bytes that it has not received yet. To end a conversation
/// first, call [`shutdown_write`](ConnectedSocket::shutdown_write), and read until end of file or a
/// [`timeout`](crate::timeout). A [`Transport`](super::Transport) does this automatically.
pub struct ConnectedSocket {
    /// Fields are dropped in this order: the socket leaves the loop before the permit is given
    /// back.
    io: Io<Socket>,
    /// The permit of the listener; `None` unless a listener has accepted the socket.
    permit: Option<Permit>,
}

impl ConnectedSocket {
    /// Creates a TCP socket of `socket`, which is non-blocking already.
    ///
    /// It is also watched for urgent data. A read stops short there, which would otherwise mean
    /// that nothing more can be read. A read of a Unix socket stops short at passed descriptors,
    /// which no readiness reports, so there a short read is always followed by another one.
    pub(super) fn tcp(socket: Socket, location: &'static Location<'static>) -> ConnectedSocket {
        let interest = READ | WRITE | Interest::PRIORITY;
        ConnectedSocket::new(Io::nonblocking(socket, interest, location))
    }

    /// Creates a Unix socket of `socket`, which is non-blocking already.
    pub(super) fn unix(socket: Socket, location: &'static Location<'static>) -> ConnectedSocket {
        ConnectedSocket::new(Io::nonblocking(socket, READ | WRITE, location))
    }

    /// Adds the permit of the listener that has accepted the socket, and watches the socket at
    /// once: most clients have sent nothing yet, so a read before that would fail.
    pub(super) fn accepted(self, permit: Permit) -> ConnectedSocket {
        ConnectedSocket { io: self.io.watched(), permit: Some(permit) }
    }

    pub(super) fn new(io: Io<Socket>) -> ConnectedSocket {
        ConnectedSocket { io, permit: None }
    }

    /// Reads once, as soon as there is input. Returns the number of bytes; 0 is end of file.
    ///
    /// # Errors
    ///
    /// The errors of recv(2) and [`Io::readable`].
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let wanted = buffer.len();
        self.io.transfer(|| "read", READ, wanted, |socket| socket::recv(socket, buffer))
    }

    /// Reads once, as soon as there is input, into a buffer of the loop. An empty chunk is end of
    /// file.
    ///
    /// A waiting task holds no buffer. With many connections this takes less memory than one buffer
    /// each, and less time, because the shared buffer stays in the cache.
    ///
    /// ```
    /// use mainspring::net::UnixStream;
    ///
    /// let mut el = mainspring::EventLoop::new()?;
    /// el.run_until_complete(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let echo = async move {
    ///         loop {
    ///             let chunk = theirs.read_chunk().await?;
    ///             if chunk.is_empty() {
    ///                 return Ok::<(), mainspring::Error>(());
    ///             }
    ///             theirs.write_all(&chunk).await?;
    ///         }
    ///     };
    ///     let echo = mainspring::spawn(echo);
    ///     ours.write_all(b"hello").await?;
    ///     assert_eq!(&ours.read_chunk().await?[..], b"hello");
    ///     ours.shutdown_write()?;
    ///     echo.await?
    /// })??;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`read`](ConnectedSocket::read).
    #[inline]
    pub fn read_chunk(&self) -> impl Future<Output = io::Result<ReadChunk>> {
        self.io.transfer_chunk(|socket, buffer| socket::recv(socket, buffer))
    }

    /// Reads once into several buffers. Otherwise like [`read`](ConnectedSocket::read).
    ///
    /// # Errors
    ///
    /// Same as [`read`](ConnectedSocket::read).
    pub fn read_vectored(
        &self,
        buffers: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        let read = move |socket: &Socket| socket::recv_vectored(socket, buffers);
        self.io.transfer_part(|| "read_vectored", READ, read)
    }

    /// Reads once, as soon as there is input, and leaves the bytes in the socket.
    ///
    /// # Errors
    ///
    /// Same as [`read`](ConnectedSocket::read).
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.call(|| "peek", READ, move |socket| socket::peek(socket, buffer))
    }

    /// Fills the buffer. If the future is dropped, the bytes read until then are lost.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the peer ends before that; the errors of [`read`](ConnectedSocket::read).
    pub fn read_exact(&self, mut buffer: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        located(|| "read_exact", async move {
            budget::step().await; // An empty buffer is filled at once.
            while !buffer.is_empty() {
                match self.read(buffer).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => buffer = &mut buffer[count..],
                }
            }
            Ok(())
        })
    }

    /// Reads until end of file, appends the bytes to `buffer`, and returns their number. If the
    /// future is dropped, the bytes read until then are in the buffer.
    ///
    /// The peer decides how much memory this needs.
    ///
    /// # Errors
    ///
    /// Same as [`read`](ConnectedSocket::read).
    pub fn read_to_end(&self, buffer: &mut Vec<u8>) -> impl Future<Output = io::Result<usize>> {
        located(|| "read_to_end", async move {
            const PIECE: usize = 16 * 1024;
            let before = buffer.len();
            // Not the loop's buffer: this one is held while the task waits.
            let mut piece = vec![0; PIECE];
            loop {
                match self.read(&mut piece).await? {
                    0 => return Ok(buffer.len() - before),
                    count => buffer.extend_from_slice(&piece[..count]),
                }
            }
        })
    }

    /// Writes once, as soon as there is room. Returns the number of bytes written, which may be
    /// less than `bytes.len()`.
    ///
    /// # Errors
    ///
    /// The errors of send(2) and [`Io::writable`]: `BrokenPipe` and `ConnectionReset` if the peer
    /// is gone. SIGPIPE is never raised.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.transfer(|| "write", WRITE, bytes.len(), |socket| socket::send(socket, bytes))
    }

    /// Writes several slices once. Otherwise like [`write`](ConnectedSocket::write).
    ///
    /// # Errors
    ///
    /// Same as [`write`](ConnectedSocket::write).
    pub fn write_vectored(
        &self,
        slices: &[IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        let write = move |socket: &Socket| socket::send_vectored(socket, slices);
        self.io.transfer_part(|| "write_vectored", WRITE, write)
    }

    /// Writes all of `bytes`. If the future is dropped, a part of them may have been written.
    ///
    /// # Errors
    ///
    /// Same as [`write`](ConnectedSocket::write).
    #[inline]
    pub fn write_all(&self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.io.transfer_all(bytes, |socket, bytes| socket::send(socket, bytes))
    }

    /// Shuts down writing: the peer reads end of file after the last byte. Reading continues.
    ///
    /// # Errors
    ///
    /// The errors of shutdown(2): `NotConnected`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self)
    }

    /// Completes when a read would not block. See [`Io::readable`].
    ///
    /// # Errors
    ///
    /// Same as [`Io::readable`].
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.io.readable()
    }

    /// Completes when a write would not block. See [`Io::writable`].
    ///
    /// # Errors
    ///
    /// Same as [`Io::writable`].
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.io.writable()
    }

    /// Completes when the socket is ready for a part of `interest`. See [`Io::ready`].
    ///
    /// # Errors
    ///
    /// Same as [`Io::ready`].
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Readiness>> {
        self.io.ready(interest)
    }

    /// Calls `call` with the socket, without waiting. See [`Io::try_io`].
    ///
    /// # Errors
    ///
    /// Same as [`Io::try_io`].
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(interest, call)
    }

    /// Polls a [`read`](ConnectedSocket::read), for futures written by hand. Wakes only the latest
    /// caller.
    ///
    /// # Errors
    ///
    /// Same as [`read`](ConnectedSocket::read).
    #[inline]
    #[track_caller]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let wanted = buffer.len();
        self.io.poll_transfer(
            || "poll_read",
            cx,
            READ,
            wanted,
            |socket| socket::recv(socket, buffer),
        )
    }

    /// Polls a [`write`](ConnectedSocket::write), for futures written by hand. Wakes only the
    /// latest caller.
    ///
    /// # Errors
    ///
    /// Same as [`write`](ConnectedSocket::write).
    #[inline]
    #[track_caller]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_transfer(
            || "poll_write",
            cx,
            WRITE,
            bytes.len(),
            |socket| socket::send(socket, bytes),
        )
    }

    /// Polls a [`read_vectored`](ConnectedSocket::read_vectored), for futures written by hand.
    /// Wakes only the latest caller.
    ///
    /// # Errors
    ///
    /// Same as [`read`](ConnectedSocket::read).
    #[track_caller]
    pub fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = |socket: &Socket| socket::recv_vectored(socket, buffers);
        self.io.poll_transfer_part(|| "poll_read_vectored", cx, READ, read)
    }

    /// Polls a [`write_vectored`](ConnectedSocket::write_vectored), for futures written by hand.
    /// Wakes only the latest caller.
    ///
    /// # Errors
    ///
    /// Same as [`write`](ConnectedSocket::write).
    #[track_caller]
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |socket: &Socket| socket::send_vectored(socket, slices);
        self.io.poll_transfer_part(|| "poll_write_vectored", cx, WRITE, write)
    }

    /// Returns the socket, which leaves the loop.
    pub(super) fn into_socket(self) -> Socket {
        let ConnectedSocket { io, permit } = self;
        let socket = io.into_inner();
        drop(permit); // After the socket has left the loop.
        socket
    }

    pub(super) fn recv_fds(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, Vec<OwnedFd>)>> {
        self.io.transfer_with(READ, |socket| socket::recv_fds(socket, buffer))
    }

    pub(super) fn write_with<R>(
        &self,
        call: impl FnMut(&Socket) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.io.write_with(call)
    }

    pub(super) fn io(&self) -> &Io<Socket> {
        &self.io
    }

    pub(super) fn socket(&self) -> &Socket {
        self.io.get_ref()
    }
}

impl AsFd for ConnectedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl fmt::Debug for ConnectedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
