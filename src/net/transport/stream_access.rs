//! Access to the stream of a transport: its descriptor, its addresses, taking it back, resetting
//! it.

use std::any::type_name;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use mainspring_sys::socket::{self, Address};

use super::Transport;
use super::flags::Flags;
use crate::net::transport_stream::TransportStream;

impl Transport {
    /// Calls `call` with the descriptor that is read: for socket options, and for other calls that
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
    /// `NotConnected` if the stream is closed or was taken, and inside a call of the stream itself.
    pub fn with_fd<R>(&self, call: impl FnOnce(BorrowedFd<'_>) -> R) -> io::Result<R> {
        let (mut call, mut result) = (Some(call), None);
        self.state.stream.with(&mut |stream| {
            result = call.take().map(|call| call(stream.reader()));
        });
        result.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Calls `call` with the stream itself: a std socket, or for example a TLS stream, to get the
    /// certificate of the peer. The streams of a server's connections have the type
    /// [`Socket`](super::super::Socket).
    ///
    /// # Errors
    ///
    /// `InvalidInput`, with the name of the type `T`, if the stream has another type. Otherwise
    /// like [`with_fd`](Transport::with_fd).
    pub fn with_stream<T: TransportStream + 'static, R>(
        &self,
        call: impl FnOnce(&mut T) -> R,
    ) -> io::Result<R> {
        let (mut call, mut result) = (Some(call), Err(io::Error::from(ErrorKind::NotConnected)));
        self.state.stream.with_any(&mut |stream| {
            result = match (stream.downcast_mut::<T>(), call.take()) {
                (Some(stream), Some(call)) => Ok(call(stream)),
                _ => Err(other_type::<T>()),
            };
        });
        result
    }

    /// Takes the stream back from the loop, open and non-blocking, with the bytes that were queued
    /// but not sent. Use this to upgrade a connection to TLS after a `STARTTLS`, or to pass it to
    /// another thread: wrap the stream and [`attach`](crate::LoopHandle::attach) it again.
    ///
    /// The protocol of the connection gets `connection_lost` without an error. Input that was not
    /// delivered yet is still in the stream.
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
    /// stream has another type. The connection stays open then.
    pub fn take_stream<T: TransportStream + 'static>(&self) -> io::Result<(T, Vec<u8>)> {
        let state = &*self.state;
        // A lingering stream is shut down, so the caller could not use it.
        if state.has(Flags::DONE | Flags::LINGERING) {
            return Err(ErrorKind::NotConnected.into());
        }
        let mut is_of_type = None;
        state.stream.with_any(&mut |stream| is_of_type = Some(stream.is::<T>()));
        match is_of_type {
            None => return Err(ErrorKind::NotConnected.into()),
            Some(false) => return Err(other_type::<T>()),
            Some(true) => {}
        }
        let unsent = state.extra.get().map(|extra| extra.queue.take()).unwrap_or_default();
        state.end(); // Before the caller gets the descriptor, which it may register again.
        let stream = state.stream.take().and_then(|stream| stream.downcast().ok());
        stream.map(|stream| (*stream, unsent.into())).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Resets the connection: drops the queue and the bytes that the kernel has not sent yet. The
    /// peer reads the error `ECONNRESET`. Use it for peers that violate the protocol or delay a
    /// shutdown; the kernel keeps no state of such a connection (`TIME_WAIT`).
    ///
    /// Only TCP has resets. Other streams are [aborted](Transport::abort).
    pub fn reset(&self) {
        // An error means that the socket has no such option, and so no reset.
        let _ = self.with_fd(|fd| socket::set_linger_zero(fd, true));
        self.abort();
    }

    /// Returns the address of the other end.
    ///
    /// A connection that a server accepted always has the address that accept(2) returned, even
    /// after a reset and after its end. For other streams this calls getpeername(2).
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected` after a reset. `NotConnected` also after
    /// `connection_lost`, when the stream is closed.
    pub fn peer_addr(&self) -> io::Result<Address> {
        match self.state.stream.peer() {
            Some(address) => Ok(address),
            None => self.with_fd(|fd| socket::peer_addr(fd))?,
        }
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2); `NotConnected` after `connection_lost`, when the stream is
    /// closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.with_fd(|fd| socket::local_addr(fd))?
    }
}

fn other_type<T>() -> io::Error {
    let message = format!("the stream is not a {}", type_name::<T>());
    io::Error::new(ErrorKind::InvalidInput, message)
}
