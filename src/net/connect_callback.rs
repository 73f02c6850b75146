//! Connecting for callbacks: one attempt, which calls its callback once.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::socket::{Address, Connecting};
use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::connect;
use super::into_address::IntoAddress;
use super::socket::Socket;
use crate::error::Result;
use crate::event_loop::callback::{Callback, Flow, KEEP, REMOVE, Repeat, failed};
use crate::event_loop::source::Source;
use crate::event_loop::{CallbackResult, LoopHandle};
use crate::handle::{Handle, Key, TimerHandle};
use crate::snapshot::EntryKind;
use crate::watchers::{Registration, Role, WatcherId};

/// The callback of an attempt to connect. Its drop cancels the timer, even if the attempt was
/// cancelled.
struct Attempt<S, F> {
    el: LoopHandle<S>,
    /// The remote address; `None` if the caller's value is not an address, which is the error then.
    address: Option<Address>,
    /// The socket, or the error of the first call; `None` when the outcome was taken.
    socket: Option<io::Result<Connecting>>,
    /// The user's callback; `None` when it was called.
    callback: Option<F>,
    timer: TimerHandle,
    timed_out: Rc<Cell<bool>>,
    key: Key,
    /// The registration of a socket in progress.
    watch: Option<WatcherId>,
}

impl<S, F> Drop for Attempt<S, F> {
    fn drop(&mut self) {
        self.el.cancel(self.timer);
    }
}

impl<S, F> Attempt<S, F> {
    /// Returns the outcome, or `None` while the attempt is in progress.
    fn outcome(&mut self) -> Option<io::Result<Socket>> {
        let finished = match self.socket.as_ref()? {
            Ok(Connecting::Done(_)) | Err(_) => Ok(()),
            Ok(Connecting::InProgress(_)) if self.timed_out.get() => {
                Err(io::ErrorKind::TimedOut.into())
            }
            Ok(Connecting::InProgress(fd)) => connect::finish(fd),
        };
        match finished {
            Ok(()) => Some(self.socket.take()?.map(|socket| Socket::new(socket.into_fd()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl<S: 'static, F, R> Repeat<S> for Attempt<S, F>
where
    F: FnOnce(&LoopHandle<S>, &mut S, Result<Socket>) -> R,
    R: CallbackResult,
{
    const KIND: Option<EntryKind> = Some(EntryKind::Connecting);

    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, _: Readiness) -> Flow {
        let Some(outcome) = self.outcome() else { return KEEP };
        el.cancel(self.timer); // Now: the callback may run for long.
        if let Some(watch) = self.watch.take() {
            // Before the callback gets the socket, because it may register the socket again.
            el.core().unwatch(watch, self.key);
        }
        let Some(callback) = self.callback.take() else { return REMOVE };
        let result = outcome.map_err(|source| match &self.address {
            Some(address) => connect::failed(address, source),
            None => source.into(),
        });
        match callback(el, state, result).into_result() {
            Ok(()) => REMOVE,
            Err(error) => failed(error),
        }
    }
}

/// # Clients
impl<S: 'static> LoopHandle<S> {
    /// Connects a stream socket to `address` and calls `callback` once, with the socket or the
    /// error: refused, reset, unreachable, `TimedOut` after `timeout`, no descriptors. Cancelling
    /// the handle ends the attempt and closes the socket.
    ///
    /// On a closed loop the callback is dropped at once.
    ///
    /// The callback may use the socket directly, convert it to a std stream, or
    /// [attach](LoopHandle::attach) it to a protocol. This function takes no host names, because a
    /// lookup takes time. To connect to a host by name, use a task with
    /// [`TcpStream::connect_host`](super::TcpStream::connect_host). The result of
    /// [`into_socket`](super::TcpStream::into_socket) can be attached as well.
    ///
    /// If the backlog of a Unix socket is full, the error is `ResourceBusy`. If the value is not an
    /// address, the error is [`Error::Io`](crate::Error::Io) with `InvalidInput`.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::Duration;
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?; // or text, a path, ..: see `IntoAddress`
    /// let mut el = EventLoop::with_state(false)?;
    /// el.connect(address, Duration::from_secs(5), |el, connected, socket| {
    ///     *connected = true;
    ///     el.attach(socket?, |_el, _state, _conn, data| Ok(assert_eq!(data, b"hi")))?.abort();
    ///     Ok(())
    /// });
    /// el.run()?;
    /// assert!(*el.state());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn connect<F, R>(&self, address: impl IntoAddress, timeout: Duration, callback: F) -> Handle
    where
        F: FnOnce(&LoopHandle<S>, &mut S, Result<Socket>) -> R + 'static,
        R: CallbackResult + 'static,
    {
        self.connect_as(None, address.into_address(), timeout, callback, Location::caller())
    }

    /// Connects like [`connect`](LoopHandle::connect), but from the address `local`, to choose the
    /// source address or port. With port 0 the kernel chooses the port.
    ///
    /// If `local` cannot be used, the callback gets [`Error::Connect`](crate::Error::Connect) with
    /// the error of bind(2), for example `EADDRINUSE` or `EADDRNOTAVAIL`.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::Duration;
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let mut el = EventLoop::with_state(None)?;
    /// el.connect_from("127.0.0.1:0", address, Duration::from_secs(5), |_, local, socket| {
    ///     *local = socket?.local_addr()?.as_inet();
    ///     Ok(())
    /// });
    /// el.run()?;
    /// let (_, client) = listener.accept()?;
    /// assert_eq!(*el.state(), Some(client));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn connect_from<F, R>(
        &self,
        local: impl IntoAddress,
        address: impl IntoAddress,
        timeout: Duration,
        callback: F,
    ) -> Handle
    where
        F: FnOnce(&LoopHandle<S>, &mut S, Result<Socket>) -> R + 'static,
        R: CallbackResult + 'static,
    {
        let location = Location::caller();
        match local.into_address() {
            Ok(local) => {
                let address = address.into_address();
                self.connect_as(Some(local), address, timeout, callback, location)
            }
            Err(error) => self.connect_as(None, Err(error), timeout, callback, location),
        }
    }

    fn connect_as<F, R>(
        &self,
        local: Option<Address>,
        address: io::Result<Address>,
        timeout: Duration,
        callback: F,
        location: &'static Location<'static>,
    ) -> Handle
    where
        F: FnOnce(&LoopHandle<S>, &mut S, Result<Socket>) -> R + 'static,
        R: CallbackResult + 'static,
    {
        let key = self.reserve_slot(location);
        // An invalid handle and a dropped callback: this function returns no `Result`.
        if self.core().closed.get() {
            self.remove(key);
            return self.handle(key);
        }
        let (address, begun) = match address {
            Ok(address) => {
                let begun = connect::begin(local.as_ref(), &address);
                (Some(address), begun)
            }
            Err(error) => (None, Err(error)),
        };
        let (socket, watch) = self.watch_attempt(begun, key);
        let timed_out = Rc::new(Cell::new(false));
        let expired = timed_out.clone();
        let timer = self.call_later(timeout, move |el, _| {
            expired.set(true);
            // Readiness makes the callback check the outcome.
            el.core().feed_as(key, Readiness::WRITABLE);
        });
        let (socket, callback) = (Some(socket), Some(callback));
        // An attempt that is over already waits only for its turn, like `call_soon`.
        let source = watch.map_or(Source::Soon, Source::Stream);
        let el = self.clone();
        let attempt = Attempt { el, address, socket, callback, timer, timed_out, key, watch };
        self.fill_slot(key, source, Callback::repeat(attempt));
        self.handle(key)
    }

    /// Watches a socket in progress. An attempt that is over already is queued for the next tick.
    fn watch_attempt(
        &self,
        socket: io::Result<Connecting>,
        key: Key,
    ) -> (io::Result<Connecting>, Option<WatcherId>) {
        let Ok(Connecting::InProgress(fd)) = &socket else {
            self.core().feed(key);
            return (socket, None);
        };
        let fd = fd.as_fd().as_raw_fd();
        let registration =
            Registration::owned(key, Role::Both, Interest::WRITABLE, TriggerMode::Level);
        match self.core().register(fd, registration) {
            Ok(watch) => (socket, Some(watch)),
            Err(error) => {
                self.core().feed(key);
                (Err(io::Error::other(error)), None)
            }
        }
    }
}
