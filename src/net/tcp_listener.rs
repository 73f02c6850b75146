//! TCP listeners of tasks.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mainspring_sys::socket::{Address, ListenOptions};

use super::accept_task::TaskListener;
use super::connected::ConnectedSocket;
use super::into_address::{IntoAddress, inet};
use super::socket::Socket;
use super::std_conversions::std_conversions;
use super::tcp_stream::TcpStream;
use crate::awaits::located;
use crate::error::{Error, Result};

/// A TCP listener of a task.
///
/// The number of connections is limited only by descriptors, so one client can take all of them. In
/// a daemon, set [`max_connections`](TcpListener::set_max_connections) to the descriptor limit of
/// the process minus the descriptors for other files, and set an [idle
/// limit](TcpListener#idle-limit).
///
/// ```
/// use mainspring::{EventLoop, net::{TcpListener, TcpStream}};
///
/// async fn serve(conn: TcpStream) -> mainspring::Result<()> {
///     let mut buffer = [0; 1024];
///     loop {
///         match conn.read(&mut buffer).await? {
///             0 => return Ok(()),
///             count => conn.write_all(&buffer[..count]).await?,
///         }
///     }
/// }
///
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     mainspring::spawn(async move {
///         loop {
///             let (conn, _from) = listener.accept().await?;
///             mainspring::spawn(serve(conn)).detach();
///         }
///         # #[allow(unreachable_code)]
///         Ok::<(), mainspring::Error>(())
///     })
///     .detach();
///     let conn = TcpStream::connect(address).await?;
///     conn.write_all(b"hello").await?;
///     let mut answer = [0; 5];
///     conn.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"hello");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// # Idle limit
///
/// Put a [`timeout`](crate::timeout) around each read, to end the connection of a client that sends
/// nothing. Dropping a read loses no bytes. Put one around each write, to end the connection of a
/// client that reads nothing. Dropping the stream makes room for the next client.
///
/// ```
/// use mainspring::net::{TcpListener, TcpStream};
/// use mainspring::{Error, EventLoop, testing::SimClock, timeout};
/// use std::time::Duration;
///
/// const IDLE: Duration = Duration::from_secs(30);
///
/// async fn serve(conn: TcpStream) -> mainspring::Result<()> {
///     loop {
///         let chunk = timeout(IDLE, conn.read_chunk()).await??;
///         if chunk.is_empty() {
///             return Ok(());
///         }
///         timeout(IDLE, conn.write_all(&chunk)).await??;
///     }
/// }
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// el.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     listener.set_max_connections(100);
///     let silent = TcpStream::connect(listener.local_addr()?).await?;
///     let (conn, _) = listener.accept().await?;
///     assert!(matches!(serve(conn).await, Err(Error::TimedOut(IDLE))));
///     assert_eq!(silent.read(&mut [0]).await?, 0); // It was closed.
///     assert_eq!(listener.connections(), 0);
///     Ok::<(), Error>(())
/// })??;
/// assert_eq!(clock.elapsed(), IDLE);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    listener: TaskListener,
}

impl TcpListener {
    /// Opens a socket that listens at `address`, with [`ListenOptions::default`]. Accepted
    /// connections have `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] with the address; [`Error::Create`] if no descriptor is left for the
    /// reserve; `InvalidInput` if the value is not an internet address.
    #[track_caller]
    pub fn bind(address: impl IntoAddress) -> Result<TcpListener> {
        TcpListener::bind_with(address, &ListenOptions::default())
    }

    /// Opens a socket like [`bind`](TcpListener::bind), with other options.
    ///
    /// # Errors
    ///
    /// Same as [`bind`](TcpListener::bind).
    #[track_caller]
    pub fn bind_with(address: impl IntoAddress, options: &ListenOptions) -> Result<TcpListener> {
        let address = Address::Inet(inet(&address.into_address()?)?);
        let listener = TaskListener::bind(&address, options)?;
        listener.prepare()?;
        Ok(TcpListener { listener })
    }

    /// Takes over a std listener, or an inherited one. It becomes non-blocking, and accepted
    /// connections have `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking, or is not a socket; [`Error::Create`];
    /// `InvalidInput` for a socket of another family.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> Result<TcpListener> {
        let listener = TaskListener::new(listener.into())?;
        inet(&listener.prepare()?)?;
        Ok(TcpListener { listener })
    }

    /// Returns the listener as a std listener, still non-blocking.
    ///
    /// ```
    /// use mainspring::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// assert_eq!(listener.into_std().local_addr()?, address);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn into_std(self) -> std::net::TcpListener {
        self.listener.into_fd().into()
    }

    /// Accepts a connection, and returns it with the address of its peer.
    ///
    /// At the [connection limit](TcpListener::set_max_connections) this waits until a connection
    /// ends. At the descriptor limit it waits as well. Clients that cannot be accepted for a long
    /// time are turned away, which is reported once per incident to the [exception
    /// handler](crate::LoopHandle::set_exception_handler). An error of a single connection is
    /// skipped.
    ///
    /// Dropping the future loses no connection. The loop watches an accepted connection at once.
    ///
    /// # Errors
    ///
    /// [`Error::Accept`] if the listener can no longer accept; the errors of
    /// [`Io::readable`](crate::Io::readable).
    pub fn accept(&self) -> impl Future<Output = Result<(TcpStream, SocketAddr)>> {
        located(|| "accept", async move {
            let (fd, from, permit) = self.listener.accept().await?;
            let from = inet(&from)?;
            let socket = ConnectedSocket::tcp(Socket::new(fd), self.listener.location());
            Ok((TcpStream::new(socket.accepted(permit)), from))
        })
    }

    /// Returns the address on which it listens.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.listener.local_addr()?)
    }

    /// Returns the number of open accepted streams, see
    /// [`set_max_connections`](TcpListener::set_max_connections).
    pub fn connections(&self) -> usize {
        self.listener.limit().open()
    }

    /// Sets the limit of open accepted streams. At the limit, [`accept`](TcpListener::accept) is
    /// pending, and further clients wait in the kernel's backlog until a stream ends. Zero accepts
    /// no clients. Default: `usize::MAX`, no limit.
    ///
    /// A stream counts from `accept` until it is dropped, or until
    /// [`into_socket`](crate::net::TcpStream::into_socket) takes it out of the loop. Halves count
    /// as one stream until both are dropped. A limit below the number of open streams closes none
    /// of them.
    ///
    /// ```
    /// use mainspring::net::{TcpListener, TcpStream};
    /// use mainspring::{EventLoop, testing::SimClock, timeout};
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
    /// el.run_until_complete(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     listener.set_max_connections(1);
    ///     let address = listener.local_addr()?;
    ///     let _clients = [TcpStream::connect(address).await?, TcpStream::connect(address).await?];
    ///     let (first, _) = listener.accept().await?;
    ///     let second = timeout(Duration::from_secs(60), listener.accept()).await;
    ///     assert!(second.is_err()); // It waits for the end of the first one.
    ///     drop(first);
    ///     let (_second, _) = listener.accept().await?;
    ///     assert_eq!(listener.connections(), 1);
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_max_connections(&self, connections: usize) {
        self.listener.limit().set_max(connections);
    }

    /// Returns the limit of open accepted streams; `usize::MAX` means no limit.
    pub fn max_connections(&self) -> usize {
        self.listener.limit().max()
    }

    /// Takes the pending error of the socket (`SO_ERROR`); the next call returns `None`.
    ///
    /// # Errors
    ///
    /// The errors of getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        mainspring_sys::socket::take_error(self)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

std_conversions!(TcpListener, std::net::TcpListener);
