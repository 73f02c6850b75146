//! The stream below a transport: its descriptor, its addresses, and the ways to take it back or to
//! reset it.

use std::any::type_name;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use mainspring_sys::socket::{self, Address};

use super::Transport;
use super::flags::Flags;
use crate::net::stream::TransportStream;

impl Transport {
    /// Lends the descriptor that is read to `call`, for options of sockets and other calls that
    /// neither read, write nor close.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut el = EventLoop::new()?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// let conn = el.attach(stream, |_, _, _, _| Ok(()))?;
    /// conn.with_fd(|fd| mainspring_sys::socket::set_nodelay(fd, true))??;
    /// conn.abort();
    /// el.run()?;
    /// assert!(conn.with_fd(|_| ()).is_err());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` when the stream is closed or taken, and inside a call of the stream itself.
    pub fn with_fd<R>(&self, call: impl FnOnce(BorrowedFd<'_>) -> R) -> io::Result<R> {
        let (mut call, mut result) = (Some(call), None);
        self.inner.stream.with(&mut |stream| {
            result = call.take().map(|call| call(stream.reader()));
        });
        result.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Lends the stream itself to `call`: a socket of std, or a TLS stream to be asked for the
    /// peer's certificate. A server's connections have streams of the type
    /// [`Socket`](super::super::Socket).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the stream is of another type, which the message names the wanted type of;
    /// otherwise like [`with_fd`](Transport::with_fd).
    pub fn with_stream<T: TransportStream + 'static, R>(
        &self,
        call: impl FnOnce(&mut T) -> R,
    ) -> io::Result<R> {
        let (mut call, mut result) = (Some(call), Err(io::Error::from(ErrorKind::NotConnected)));
        self.inner.stream.with_any(&mut |stream| {
            result = match (stream.downcast_mut::<T>(), call.take()) {
                (Some(stream), Some(call)) => Ok(call(stream)),
                _ => Err(other_type::<T>()),
            };
        });
        result
    }

    /// Takes the stream back from the loop, open and non-blocking, with the bytes that were queued
    /// but not sent. This is how a connection is upgraded to TLS after a `STARTTLS`, or handed to
    /// another thread: wrap the stream and [`attach`](crate::LoopHandle::attach) it again.
    ///
    /// The connection is over for its protocol, and `connection_lost` comes without an error. Input
    /// that was not delivered yet is still in the stream.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::Transport};
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// el.attach(ours, |el, _, conn: &Transport, data| {
    ///     assert_eq!(data, b"upgrade");
    ///     let (stream, unsent) = conn.take_stream::<UnixStream>()?;
    ///     assert!(unsent.is_empty());
    ///     el.attach(stream, |_, seen: &mut Vec<u8>, _, data| Ok(seen.extend(data)))?;
    ///     Ok(())
    /// })?;
    /// theirs.write_all(b"upgrade")?;
    /// el.tick(None)?;
    /// theirs.write_all(b"new protocol")?;
    /// drop(theirs);
    /// el.run()?;
    /// assert_eq!(el.state(), b"new protocol");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is over or its stream is in use; `InvalidInput` if the
    /// stream is of another type. The connection goes on then.
    pub fn take_stream<T: TransportStream + 'static>(&self) -> io::Result<(T, Vec<u8>)> {
        let inner = &*self.inner;
        if inner.has(Flags::DONE | Flags::LINGERING) {
            return Err(ErrorKind::NotConnected.into());
        }
        let mut is_of_type = None;
        inner.stream.with_any(&mut |stream| is_of_type = Some(stream.is::<T>()));
        match is_of_type {
            None => return Err(ErrorKind::NotConnected.into()),
            Some(false) => return Err(other_type::<T>()),
            Some(true) => {}
        }
        let unsent = inner.rest.get().map(|rest| rest.queue.take()).unwrap_or_default();
        inner.done(); // The kernel forgets the descriptor before others have it.
        let stream = inner.stream.take().and_then(|stream| stream.downcast().ok());
        stream.map(|stream| (*stream, unsent.into())).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Resets the connection: what is queued and what the kernel has not sent yet is dropped, and
    /// the peer reads the error `ECONNRESET`. For peers that break the protocol, or hold up a
    /// shutdown; the kernel keeps no state of such a connection (`TIME_WAIT`).
    ///
    /// Only TCP has resets. Other streams are [aborted](Transport::abort).
    pub fn reset(&self) {
        // Where the option does not exist there is nothing to reset.
        let _ = self.with_fd(|fd| socket::set_linger_zero(fd, true));
        self.abort();
    }

    /// Returns the address of the other end.
    ///
    /// A connection that a server accepted always has the address that accept(2) returned, even
    /// after a reset and after its end. Other streams are asked by getpeername(2).
    ///
    /// # Errors
    ///
    /// Like getpeername(2): `NotConnected` after a reset; and when the stream is closed, which is
    /// after `connection_lost`.
    pub fn peer_addr(&self) -> io::Result<Address> {
        match self.inner.stream.peer() {
            Some(address) => Ok(address),
            None => self.with_fd(|fd| socket::peer_addr(fd))?,
        }
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// Like getsockname(2); `NotConnected` when the stream is closed, which is after
    /// `connection_lost`.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.with_fd(|fd| socket::local_addr(fd))?
    }
}

fn other_type<T>() -> io::Error {
    let message = format!("the stream is not a {}", type_name::<T>());
    io::Error::new(ErrorKind::InvalidInput, message)
}
