//! Options of the sockets of tasks, which both halves of a split socket have too.

use std::io;
use std::time::Duration;

use mainspring_sys::socket::{self, KeepaliveTimes, PeerCredentials};

use super::stream_socket::ConnectedSocket;

impl ConnectedSocket {
    /// Sends small pieces at once (`TCP_NODELAY`), or waits for more or for the peer's
    /// acknowledgement. On for what a [`TcpListener`](crate::net::TcpListener) has accepted.
    ///
    /// ```
    /// use mainspring::net::TcpStream;
    /// use std::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let stream = TcpStream::from_std(stream)?;
    /// assert!(!stream.nodelay()?);
    /// stream.set_nodelay(true)?;
    /// let (reader, _writer) = stream.into_split();
    /// assert!(reader.nodelay()?);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): not a TCP socket.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        socket::set_nodelay(self, on)
    }

    /// Returns true if small pieces are sent at once.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2): not a TCP socket.
    pub fn nodelay(&self) -> io::Result<bool> {
        socket::nodelay(self)
    }

    /// Probes a silent peer from time to time (`SO_KEEPALIVE`). Without
    /// [times](ConnectedSocket::set_keepalive_times) the first probe comes after two hours on most
    /// systems.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        socket::set_keepalive(self, on)
    }

    /// Returns true if a silent peer is probed.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn keepalive(&self) -> io::Result<bool> {
        socket::keepalive(self)
    }

    /// Probes a silent peer at these times (tcp(7)), which turns keepalive on. Times are rounded up
    /// to seconds.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time or a count that is zero or too large; `Unsupported` where the
    /// system has no such options (OpenBSD); those of setsockopt(2).
    pub fn set_keepalive_times(&self, times: &KeepaliveTimes) -> io::Result<()> {
        socket::set_keepalive_times(self, times)
    }

    /// Returns the times at which a silent peer is probed, if keepalive is on.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the system has no such options; those of getsockopt(2).
    pub fn keepalive_times(&self) -> io::Result<KeepaliveTimes> {
        socket::keepalive_times(self)
    }

    /// Limits how long sent data may stay unacknowledged before the connection ends with `TimedOut`
    /// (`TCP_USER_TIMEOUT`, tcp(7)). None is the system's default, which retries for many minutes.
    /// The time is rounded up to milliseconds.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero and for more than 24 days; `Unsupported` where the system has no such
    /// option (all but Linux); those of setsockopt(2).
    pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        socket::set_user_timeout(self, limit)
    }

    /// Returns the limit of unacknowledged data, or None for the system's default.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the system has no such option; those of getsockopt(2).
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        socket::user_timeout(self)
    }

    /// Makes the drop of the socket discard unsent data and reset the connection (`SO_LINGER` with
    /// zero). With false, the default, the data is sent in the background.
    ///
    /// ```
    /// use mainspring::net::TcpStream;
    /// use std::io::{ErrorKind, Read};
    /// use std::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::from_std(std::net::TcpStream::connect(listener.local_addr()?)?)?;
    /// let (mut peer, _) = listener.accept()?;
    /// stream.set_linger_zero(true)?;
    /// drop(stream);
    /// assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_linger_zero(&self, on: bool) -> io::Result<()> {
        socket::set_linger_zero(self, on)
    }

    /// Resets the connection when the socket is dropped, for zero. Otherwise unsent data is sent in
    /// the background, and the time is not kept, because close(2) would block the loop for as long.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    #[deprecated = "a linger time would block the loop; use `set_linger_zero`"]
    #[allow(deprecated)]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(self, linger)
    }

    /// Returns how long close(2) waits for unsent data (`SO_LINGER`): zero resets the connection,
    /// None sends in the background.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        socket::linger(self)
    }

    /// Asks for room for this many unsent bytes (`SO_SNDBUF`); the kernel rounds, and Linux doubles.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        socket::set_send_buffer(self, bytes)
    }

    /// Returns the room for unsent bytes, as the kernel counts it.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn send_buffer(&self) -> io::Result<usize> {
        socket::send_buffer(self)
    }

    /// Asks for room for this many unread bytes (`SO_RCVBUF`); the kernel rounds, and Linux doubles.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_recv_buffer(&self, bytes: usize) -> io::Result<()> {
        socket::set_recv_buffer(self, bytes)
    }

    /// Returns the room for unread bytes, as the kernel counts it.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn recv_buffer(&self) -> io::Result<usize> {
        socket::recv_buffer(self)
    }

    /// Takes the error that waits at the socket (`SO_ERROR`); the next call finds none.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        socket::take_error(self)
    }

    /// Returns the user and the process of the peer of a Unix socket, as the kernel wrote them down
    /// when it connected or listened.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a TCP socket, and where the system has no such call; `NotConnected`.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        socket::peer_credentials(self)
    }
}
