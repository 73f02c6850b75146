//! Options of the sockets of tasks. The halves of a split socket have them too.

use std::io;
use std::time::Duration;

use mainspring_sys::socket::{self, KeepaliveTimes, PeerCredentials};

use super::connected::ConnectedSocket;
use super::udp_socket::UdpSocket;
use super::unix_datagram::UnixDatagram;

impl ConnectedSocket {
    /// Turns `TCP_NODELAY` on or off. If on, small segments are sent at once; if off, the kernel
    /// waits for more bytes or for the peer's acknowledgement. Default: on for streams that a
    /// [`TcpListener`](crate::net::TcpListener) has accepted, otherwise off.
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
    /// The errors of setsockopt(2), for example if this is not a TCP socket.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        socket::set_nodelay(self, on)
    }

    /// Returns true if `TCP_NODELAY` is on.
    ///
    /// # Errors
    ///
    /// The errors of getsockopt(2), for example if this is not a TCP socket.
    pub fn nodelay(&self) -> io::Result<bool> {
        socket::nodelay(self)
    }

    /// Probes a silent peer from time to time (`SO_KEEPALIVE`). Without
    /// [times](ConnectedSocket::set_keepalive_times) most systems send the first probe after two
    /// hours.
    ///
    /// # Errors
    ///
    /// The errors of setsockopt(2).
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        socket::set_keepalive(self, on)
    }

    /// Returns true if a silent peer is probed.
    ///
    /// # Errors
    ///
    /// The errors of getsockopt(2).
    pub fn keepalive(&self) -> io::Result<bool> {
        socket::keepalive(self)
    }

    /// Probes a silent peer at these times (tcp(7)), which turns keepalive on. Times are rounded up
    /// to seconds.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time or a count that is zero or too large; `Unsupported` if the system
    /// has no such options (OpenBSD); the errors of setsockopt(2).
    pub fn set_keepalive_times(&self, times: &KeepaliveTimes) -> io::Result<()> {
        socket::set_keepalive_times(self, times)
    }

    /// Returns the times at which a silent peer is probed if keepalive is on.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the system has no such options; the errors of getsockopt(2).
    pub fn keepalive_times(&self) -> io::Result<KeepaliveTimes> {
        socket::keepalive_times(self)
    }

    /// Limits how long sent data may stay unacknowledged before the connection ends with `TimedOut`
    /// (`TCP_USER_TIMEOUT`, tcp(7)). `None` is the system's default, which retries for many
    /// minutes. The time is rounded up to milliseconds.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero and for more than 24 days; `Unsupported` if the system has no such
    /// option (all except Linux); the errors of setsockopt(2).
    pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        socket::set_user_timeout(self, limit)
    }

    /// Returns the limit on unacknowledged data; `None` is the system's default.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the system has no such option; the errors of getsockopt(2).
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        socket::user_timeout(self)
    }

    /// Makes dropping the socket discard unsent data and reset the connection (`SO_LINGER` with
    /// zero). Default: off, which sends the data in the background.
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
    /// The errors of setsockopt(2).
    pub fn set_linger_zero(&self, on: bool) -> io::Result<()> {
        socket::set_linger_zero(self, on)
    }

    /// Makes dropping the socket reset the connection if the time is zero. Any other value sends
    /// unsent data in the background and ignores the time, because close(2) would block the loop
    /// for that long.
    ///
    /// # Errors
    ///
    /// The errors of setsockopt(2).
    #[deprecated = "a linger time would block the loop; use `set_linger_zero`"]
    #[allow(deprecated)]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(self, linger)
    }

    /// Returns how long close(2) waits for unsent data (`SO_LINGER`): zero resets the connection,
    /// `None` sends in the background.
    ///
    /// # Errors
    ///
    /// The errors of getsockopt(2).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        socket::linger(self)
    }

    /// Returns the user and the process of the peer of a Unix socket. The kernel has stored them
    /// when the peer connected or began to listen.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a TCP socket, and if the system has no such call; `NotConnected`.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        socket::peer_credentials(self)
    }
}

/// Adds the options that streams and datagram sockets have.
macro_rules! options {
    ($($type:ident),*) => {$(
        impl $type {
            /// Sets the size of the send buffer in bytes (`SO_SNDBUF`). The kernel rounds the size,
            /// and Linux doubles it.
            ///
            /// # Errors
            ///
            /// The errors of setsockopt(2).
            pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
                socket::set_send_buffer(self, bytes)
            }

            /// Returns the size of the send buffer, as the kernel counts it.
            ///
            /// # Errors
            ///
            /// The errors of getsockopt(2).
            pub fn send_buffer(&self) -> io::Result<usize> {
                socket::send_buffer(self)
            }

            /// Sets the size of the receive buffer in bytes (`SO_RCVBUF`). The kernel rounds the
            /// size, and Linux doubles it.
            ///
            /// # Errors
            ///
            /// The errors of setsockopt(2).
            pub fn set_recv_buffer(&self, bytes: usize) -> io::Result<()> {
                socket::set_recv_buffer(self, bytes)
            }

            /// Returns the size of the receive buffer, as the kernel counts it.
            ///
            /// # Errors
            ///
            /// The errors of getsockopt(2).
            pub fn recv_buffer(&self) -> io::Result<usize> {
                socket::recv_buffer(self)
            }

            /// Takes the pending error of the socket (`SO_ERROR`); the next call returns `None`.
            ///
            /// # Errors
            ///
            /// The errors of getsockopt(2).
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                socket::take_error(self)
            }
        }
    )*};
}

options!(ConnectedSocket, UdpSocket, UnixDatagram);
