//! The number of streams that a listener of tasks has open, and the limit on it.
//!
//! # Invariants
//!
//! * A place is taken in the poll that accepts, so tasks that accept together never exceed the limit.
//! * A place is given back after the stream's socket has left the loop.
//! * Every waiting task is woken when there is a place. A task that was cancelled takes none along.

use std::cell::Cell;
use std::rc::Rc;

use super::tcp::TcpListener;
use super::unix::UnixListener;
use crate::task::{Promise, promise};

/// Counter of a listener's open streams.
pub(super) struct Connections {
    open: Cell<usize>,
    /// Limit on `open`; `usize::MAX` is none.
    most: Cell<usize>,
    /// Tasks that wait until `open` is below the limit.
    waiting: Cell<Vec<Promise<()>>>,
}

/// An accepted stream's place among those of its listener.
pub(super) struct Place(Rc<Connections>);

impl Connections {
    /// Without a limit, a listener costs this one allocation, and a stream a pointer.
    pub(super) fn new() -> Rc<Connections> {
        let (open, most, waiting) = (Cell::new(0), Cell::new(usize::MAX), Cell::default());
        Rc::new(Connections { open, most, waiting })
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.get() >= self.most.get()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Place {
        self.open.set(self.open.get() + 1);
        Place(self.clone())
    }

    /// Waits until a place is vacant. Another task may take the place before the caller does.
    pub(super) async fn vacancy(&self) {
        while self.is_full() {
            let (promise, promised) = promise();
            let mut waiting = self.waiting.take();
            waiting.retain(|other: &Promise<()>| !other.is_closed()); // Left by cancelled tasks.
            waiting.push(promise);
            self.waiting.set(waiting);
            let _ = promised.await;
        }
    }

    fn set_most(&self, most: usize) {
        self.most.set(most);
        self.wake_up();
    }

    /// Wakes all, because the first task in the line may be cancelled before it accepts.
    fn wake_up(&self) {
        if !self.is_full() {
            self.waiting.take().into_iter().for_each(|waiter| waiter.set_result(()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.wake_up();
    }
}

impl TcpListener {
    /// Returns the number of streams from this listener that are open: see
    /// [`set_max_connections`](TcpListener::set_max_connections).
    pub fn connections(&self) -> usize {
        self.counted().open.get()
    }

    /// Sets how many accepted streams are open at most; clients beyond that wait in the backlog of
    /// the kernel until one of them ends. Until then [`accept`](TcpListener::accept) is pending.
    /// Zero accepts none. Default, and `usize::MAX`: as many as there are descriptors.
    ///
    /// A stream counts from `accept` until it is dropped, or taken out of the loop by
    /// [`into_socket`](crate::net::TcpStream::into_socket). Halves count as one stream until both
    /// are dropped. A limit below the number that is open closes none of them.
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
        self.counted().set_most(connections);
    }
}

impl UnixListener {
    /// Returns the number of streams from this listener that are open: see
    /// [`TcpListener::set_max_connections`](crate::net::TcpListener::set_max_connections).
    pub fn connections(&self) -> usize {
        self.counted().open.get()
    }

    /// Sets how many accepted streams are open at most, like
    /// [`TcpListener::set_max_connections`](crate::net::TcpListener::set_max_connections).
    ///
    /// When the backlog is full as well, connect(2) fails with ECONNREFUSED on the BSDs. On Linux it
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
        self.counted().set_most(connections);
    }
}
