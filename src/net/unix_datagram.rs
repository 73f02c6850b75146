//! Unix datagram sockets of tasks.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdSocket;
use std::panic::Location;

use mainspring_sys::socket::{self, Address, BindOptions, UnixAddress};
use mainspring_sys::{Interest, Readiness};

use super::datagram::{self, Batching};
use super::into_address::{IntoAddress, unix};
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::Io;

/// A Unix datagram socket of a task.
///
/// Unlike UDP it loses no datagrams. A datagram longer than the buffer is truncated. A datagram may
/// be empty: 0 does not mean end of file.
#[derive(Debug)]
pub struct UnixDatagram {
    io: Io<StdSocket>,
    batching: Batching,
}

impl UnixDatagram {
    /// Opens a socket that receives datagrams for `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] with the address; `InvalidInput` if the value is not the address of a Unix
    /// socket.
    #[track_caller]
    pub fn bind(address: impl IntoAddress) -> Result<UnixDatagram> {
        UnixDatagram::bind_with(address, &BindOptions::default())
    }

    /// Opens a socket like [`bind`](UnixDatagram::bind), with other options.
    ///
    /// # Errors
    ///
    /// Same as [`bind`](UnixDatagram::bind).
    #[track_caller]
    pub fn bind_with(address: impl IntoAddress, options: &BindOptions) -> Result<UnixDatagram> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        let fd = datagram::bind(&address, options)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        Ok(UnixDatagram {
            io: Io::nonblocking(StdSocket::from(fd), both, Location::caller()),
            batching: Batching::default(),
        })
    }

    /// Opens a socket without an address, which can only send.
    ///
    /// # Errors
    ///
    /// The errors of socket(2).
    #[track_caller]
    pub fn unbound() -> Result<UnixDatagram> {
        UnixDatagram::from_new(StdSocket::unbound()?)
    }

    /// Returns two connected sockets.
    ///
    /// # Errors
    ///
    /// The errors of socketpair(2).
    #[track_caller]
    pub fn pair() -> Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = StdSocket::pair()?;
        Ok((UnixDatagram::from_new(one)?, UnixDatagram::from_new(other)?))
    }

    /// Takes over a socket that no other process shares.
    #[track_caller]
    fn from_new(socket: StdSocket) -> Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let io = Io::nonblocking(socket, both, Location::caller());
        Ok(UnixDatagram { io, batching: Batching::default() })
    }

    /// Takes over a std socket, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking.
    #[track_caller]
    pub fn from_std(socket: StdSocket) -> Result<UnixDatagram> {
        Ok(UnixDatagram { io: Io::new(socket)?, batching: Batching::default() })
    }

    /// Returns the socket as a std socket, still non-blocking.
    pub fn into_std(self) -> StdSocket {
        self.io.into_inner()
    }

    /// Sends to `address` from now on, and receives only from there. Does not wait.
    ///
    /// # Errors
    ///
    /// The errors of connect(2); `InvalidInput` if the value is not the address of a Unix socket.
    pub fn connect(&self, address: impl IntoAddress) -> io::Result<()> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        socket::set_peer(self, &address)
    }

    /// Sends a datagram to the socket at `address`.
    ///
    /// While the receiver's queue is full, this retries after pauses of 1 to 64 ms: no kernel
    /// reports room in the receiver's queue to an unconnected sender.
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
    /// The errors of sendto(2); `InvalidInput` if the value is not the address of a Unix socket.
    pub fn send_to(
        &self,
        bytes: &[u8],
        address: impl IntoAddress,
    ) -> impl Future<Output = io::Result<usize>> {
        located(|| "send_to", async move {
            let address = Address::Unix(unix(&address.into_address()?)?);
            datagram::send_with_pauses(|| socket::send_to(self, bytes, &address)).await
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
    ) -> impl Future<Output = io::Result<(usize, UnixAddress)>> {
        located(|| "recv_from", async move {
            let receive = |socket: &StdSocket| socket::recv_from(socket, buffer);
            let length = |(length, _): &(usize, Address)| *length;
            let received =
                self.io.transfer_datagrams(|| "recv_from", Interest::READABLE, receive, length);
            let (count, from) = received.await?;
            Ok((count, unix(&from)?))
        })
    }

    /// Receives a datagram like [`recv_from`](UnixDatagram::recv_from), and leaves it in the
    /// socket.
    ///
    /// # Errors
    ///
    /// Same as [`recv_from`](UnixDatagram::recv_from).
    pub fn peek_from(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, UnixAddress)>> {
        located(|| "peek_from", async move {
            let received = self.io.read_with(|socket| socket::peek_from(socket, buffer));
            let (count, from) = received.await?;
            Ok((count, unix(&from)?))
        })
    }

    /// Sends a datagram with `fds` to the connected peer. The caller may then close its copies: the
    /// kernel holds references.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::UnixDatagram};
    /// use std::os::fd::AsFd;
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// EventLoop::new()?.run_until_complete(async {
    ///     ours.send_fds(b"standard input", &[std::io::stdin().as_fd()]).await?;
    ///     let (count, fds) = theirs.recv_fds(&mut [0; 64]).await?;
    ///     assert_eq!((count, fds.len()), (14, 1));
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`UnixStream::send_fds`](super::UnixStream::send_fds); `NotConnected`.
    pub fn send_fds(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        located(|| "send_fds", async move {
            datagram::send(&self.io, |socket| socket::send_fds(socket, bytes, fds)).await
        })
    }

    /// Receives a datagram, and returns its length and the descriptors that came with it. Other
    /// receiving methods close them.
    ///
    /// # Errors
    ///
    /// Same as [`UnixStream::recv_fds`](super::UnixStream::recv_fds).
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

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        unix(&socket::local_addr(self)?)
    }

    /// Returns the address to which the socket is connected.
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<UnixAddress> {
        unix(&socket::peer_addr(self)?)
    }
}

datagram::methods!(UnixDatagram, StdSocket);
