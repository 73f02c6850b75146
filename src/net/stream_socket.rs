//! Connected sockets of tasks, and their halves.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use mainspring_sys::socket::{self, Address};
use mainspring_sys::{Interest, Readiness};

use super::connections::Place;
use super::socket::Socket;
use crate::error::Result;
#[cfg(feature = "hyper")]
use crate::event_loop::read_buffer::ReadBuffer;
use crate::task::{Io, ReadChunk, budget};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// A connected socket of a task: what a [`TcpStream`](crate::net::TcpStream) and a
/// [`UnixStream`](crate::net::UnixStream) have in common, and both deref to.
///
/// All methods take `&self`: one task may read while another one writes. What several tasks read or
/// write at the same time is each piece whole, and the pieces in no order.
///
/// A future that is dropped has read or written nothing, unless it says otherwise.
///
/// To drop the socket is to close it, at once. If its peer still sends, the kernel resets the
/// connection, and what the peer has not received by then is lost. So who ends a conversation first
/// says so by [`shutdown_write`](ConnectedSocket::shutdown_write), and reads until the peer's end, or
/// until a [`timeout`](crate::timeout). A [`Transport`](super::Transport) does that by itself.
pub struct ConnectedSocket {
    /// Ends before the place does: fields are dropped in this order.
    io: Io<Socket>,
    /// None unless a listener has accepted it.
    place: Option<Place>,
}

impl ConnectedSocket {
    /// Urgent data is watched for because a read stops short at it, which would otherwise mean that
    /// there is nothing more. Reads of Unix sockets stop short at descriptors that are passed,
    /// which no readiness tells, so there it always takes another read to know.
    pub(super) fn tcp(socket: Socket) -> ConnectedSocket {
        ConnectedSocket::new(Io::nonblocking(socket, READ | WRITE | Interest::PRIORITY))
    }

    pub(super) fn unix(socket: Socket) -> ConnectedSocket {
        ConnectedSocket::new(Io::nonblocking(socket, READ | WRITE))
    }

    /// It was accepted: a server waits for what its client says, and most have not said it yet.
    pub(super) fn accepted(self, place: Place) -> ConnectedSocket {
        ConnectedSocket { io: self.io.watched(), place: Some(place) }
    }

    pub(super) fn new(io: Io<Socket>) -> ConnectedSocket {
        ConnectedSocket { io, place: None }
    }

    /// Reads once, as soon as there is something; 0 is end of file.
    ///
    /// # Errors
    ///
    /// As recv(2), and of [`Io::readable`].
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let wanted = buffer.len();
        self.io.transfer(READ, wanted, |socket| socket::recv(socket, buffer))
    }

    /// Reads once, as soon as there is something, into a buffer that the loop lends for that; what
    /// is empty is end of file.
    ///
    /// A connection that waits has no buffer. With many of them this takes less memory than a buffer
    /// each, and less time, since the loop's one stays in the cache.
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
    /// As [`read`](ConnectedSocket::read).
    #[inline]
    pub fn read_chunk(&self) -> impl Future<Output = io::Result<ReadChunk>> {
        self.io.transfer_chunk(|socket, buffer| socket::recv(socket, buffer))
    }

    /// Reads once into several buffers. Otherwise as [`read`](ConnectedSocket::read).
    ///
    /// # Errors
    ///
    /// As [`read`](ConnectedSocket::read).
    pub async fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.io.read_with(|socket| socket::recv_vectored(socket, buffers)).await
    }

    /// Reads once, as soon as there is something, and leaves it to be read again.
    ///
    /// # Errors
    ///
    /// As [`read`](ConnectedSocket::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.read_with(|socket| socket::peek(socket, buffer)).await
    }

    /// Fills the buffer. If the future is dropped, what was read by then is lost.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the peer sends no more before that; those of
    /// [`read`](ConnectedSocket::read).
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        budget::step().await;
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Reads until the end of file, appends that to `buffer`, and says how much it was. If the
    /// future is dropped, what was read by then is in the buffer.
    ///
    /// The peer decides how much memory this takes.
    ///
    /// # Errors
    ///
    /// Those of [`read`](ConnectedSocket::read).
    pub async fn read_to_end(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        const PIECE: usize = 16 * 1024;
        let before = buffer.len();
        let mut piece = vec![0; PIECE];
        loop {
            match self.read(&mut piece).await? {
                0 => return Ok(buffer.len() - before),
                count => buffer.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Writes once, as soon as there is room; the answer may be less than `bytes.len()`.
    ///
    /// # Errors
    ///
    /// As send(2), `BrokenPipe` and `ConnectionReset` if the peer has gone, and of
    /// [`Io::writable`]. There is never a SIGPIPE.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.transfer(WRITE, bytes.len(), |socket| socket::send(socket, bytes))
    }

    /// Writes once what is in several slices. Otherwise as [`write`](ConnectedSocket::write).
    ///
    /// # Errors
    ///
    /// As [`write`](ConnectedSocket::write).
    pub async fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.io.write_with(|socket| socket::send_vectored(socket, slices)).await
    }

    /// Writes all of `bytes`. If the future is dropped, a part of them may have been written.
    ///
    /// # Errors
    ///
    /// Those of [`write`](ConnectedSocket::write).
    #[inline]
    pub fn write_all(&self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.io.transfer_all(bytes, |socket, bytes| socket::send(socket, bytes))
    }

    /// Tells the peer that nothing more comes: it reads end of file after the last byte. Reading
    /// goes on.
    ///
    /// # Errors
    ///
    /// As shutdown(2): `NotConnected`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self)
    }

    /// Completes when a read would not block. See [`Io::readable`].
    ///
    /// # Errors
    ///
    /// Those of [`Io::readable`].
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Completes when a write would not block. See [`Io::writable`].
    ///
    /// # Errors
    ///
    /// Those of [`Io::writable`].
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Completes when the socket is ready for something in `interest`. See [`Io::ready`].
    ///
    /// # Errors
    ///
    /// Those of [`Io::ready`].
    pub async fn ready(&self, interest: Interest) -> io::Result<Readiness> {
        self.io.ready(interest).await
    }

    /// Makes a call on the socket without waiting. See [`Io::try_io`].
    ///
    /// # Errors
    ///
    /// Those of [`Io::try_io`].
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(interest, call)
    }

    /// [`read`](ConnectedSocket::read) for those who write futures by hand. Only the latest caller is
    /// woken.
    ///
    /// # Errors
    ///
    /// Those of [`read`](ConnectedSocket::read).
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let wanted = buffer.len();
        self.io.poll_transfer(cx, READ, wanted, |socket| socket::recv(socket, buffer))
    }

    /// [`write`](ConnectedSocket::write) for those who write futures by hand. Only the latest caller
    /// is woken.
    ///
    /// # Errors
    ///
    /// Those of [`write`](ConnectedSocket::write).
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_transfer(cx, WRITE, bytes.len(), |socket| socket::send(socket, bytes))
    }

    /// Reads at most `most` bytes, and shows them to `take`, out of the buffer that all of the loop
    /// shares.
    #[cfg(feature = "hyper")]
    pub(crate) fn poll_show(
        &self,
        cx: &mut Context<'_>,
        most: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        let tasks = crate::task::running("ConnectedSocket::poll_read")?;
        let mut buffer = ReadBuffer::of(&tasks.core);
        let wanted = most.min(buffer.len());
        let read = self.poll_read(cx, &mut buffer[..wanted]);
        read.map_ok(|count| take(&buffer[..count]))
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn poll_write_slices(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let send = |socket: &Socket| socket::send_vectored(socket, slices);
        self.io.poll_transfer(cx, WRITE, wanted, send)
    }

    /// [`read_vectored`](ConnectedSocket::read_vectored) for those who write futures by hand. Only the
    /// latest caller is woken.
    ///
    /// # Errors
    ///
    /// Those of [`read`](ConnectedSocket::read).
    pub fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_read_with(cx, |socket| socket::recv_vectored(socket, buffers))
    }

    /// [`write_vectored`](ConnectedSocket::write_vectored) for those who write futures by hand. Only
    /// the latest caller is woken.
    ///
    /// # Errors
    ///
    /// Those of [`write`](ConnectedSocket::write).
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write_with(cx, |socket| socket::send_vectored(socket, slices))
    }

    /// Ends watching, and gives the socket back.
    pub(super) fn into_socket(self) -> Socket {
        let ConnectedSocket { io, place } = self;
        let socket = io.into_inner();
        drop(place);
        socket
    }

    pub(super) async fn write_with<R>(
        &self,
        call: impl FnMut(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.write_with(call).await
    }

    pub(super) fn socket(&self) -> &Socket {
        self.io.get_ref()
    }

    pub(super) fn local(&self) -> Result<Address> {
        Ok(self.socket().local_addr()?)
    }

    pub(super) fn peer(&self) -> Result<Address> {
        Ok(self.socket().peer_addr()?)
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
