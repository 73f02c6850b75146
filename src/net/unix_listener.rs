//! Unix listeners of tasks.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mainspring_sys::socket::{Address, ListenOptions, UnixAddress};

use super::accept_task::TaskListener;
use super::connected::ConnectedSocket;
use super::into_address::{IntoAddress, unix};
use super::socket::Socket;
use super::std_conversions::std_conversions;
use super::unix_stream::UnixStream;
use crate::awaits::located;
use crate::error::{Error, Result};

type StdListener = std::os::unix::net::UnixListener;

/// A Unix listener of a task. Dropping it does not remove its file.
#[derive(Debug)]
pub struct UnixListener {
    listener: TaskListener,
}

impl UnixListener {
    /// Opens a socket that listens at `address`: a path, or a name outside the file system.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] with the address. An existing file is an error; it is never removed.
    /// [`Error::Create`] if no descriptor is left for the reserve; `InvalidInput` if the value is
    /// not the address of a Unix socket.
    #[track_caller]
    pub fn bind(address: impl IntoAddress) -> Result<UnixListener> {
        UnixListener::bind_with(address, &ListenOptions::default())
    }

    /// Opens a socket like [`bind`](UnixListener::bind), with other options.
    ///
    /// # Errors
    ///
    /// Same as [`bind`](UnixListener::bind).
    #[track_caller]
    pub fn bind_with(address: impl IntoAddress, options: &ListenOptions) -> Result<UnixListener> {
        let address = Address::Unix(unix(&address.into_address()?)?);
        Ok(UnixListener { listener: TaskListener::bind(&address, options)? })
    }

    /// Takes over a std listener, or an inherited one. It becomes non-blocking.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it cannot be made non-blocking, or is not a socket; [`Error::Create`];
    /// `InvalidInput` for a socket of another family.
    #[track_caller]
    pub fn from_std(listener: StdListener) -> Result<UnixListener> {
        let listener = TaskListener::new(listener.into())?;
        unix(&listener.prepare()?)?;
        Ok(UnixListener { listener })
    }

    /// Returns the listener as a std listener, still non-blocking.
    pub fn into_std(self) -> StdListener {
        self.listener.into_fd().into()
    }

    /// Accepts a connection, and returns it with the address of its peer, which is usually unnamed.
    /// Otherwise like [`TcpListener::accept`](crate::net::TcpListener::accept).
    ///
    /// # Errors
    ///
    /// [`Error::Accept`] if the listener can no longer accept; the errors of
    /// [`Io::readable`](crate::Io::readable).
    pub fn accept(&self) -> impl Future<Output = Result<(UnixStream, UnixAddress)>> {
        located(|| "accept", async move {
            let (fd, from, permit) = self.listener.accept().await?;
            let from = unix(&from)?;
            let socket = ConnectedSocket::unix(Socket::new(fd), self.listener.location());
            Ok((UnixStream::new(socket.accepted(permit)), from))
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

    /// Returns the number of open accepted streams, see
    /// [`TcpListener::set_max_connections`](crate::net::TcpListener::set_max_connections).
    pub fn connections(&self) -> usize {
        self.listener.limit().open()
    }

    /// Sets the limit of open accepted streams, like
    /// [`TcpListener::set_max_connections`](crate::net::TcpListener::set_max_connections).
    ///
    /// If the backlog is full too, connect(2) fails with ECONNREFUSED on the BSDs. On Linux it
    /// waits, or fails with EAGAIN if the client's socket is non-blocking.
    ///
    /// ```
    /// use mainspring::net::{UnixListener, UnixStream};
    /// use mainspring::{EventLoop, testing::SimClock, timeout};
    /// use std::time::Duration;
    ///
    /// let path = std::env::temp_dir().join(format!("example-{}.limit", std::process::id()));
    /// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
    /// el.run_until_complete(async {
    ///     let listener = UnixListener::bind(&path)?;
    ///     listener.set_max_connections(0);
    ///     let _client = UnixStream::connect(&path).await?;
    ///     assert!(timeout(Duration::from_secs(60), listener.accept()).await.is_err());
    ///     listener.set_max_connections(1);
    ///     let (_stream, _) = listener.accept().await?;
    ///     assert_eq!(listener.connections(), 1);
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # std::fs::remove_file(&path)?;
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

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

std_conversions!(UnixListener, StdListener);
