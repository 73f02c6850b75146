//! Connecting without waiting.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::socket::{self, Address, Connecting};
use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::into_address::IntoAddress;
use super::socket::Socket;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Callback, CallbackResult, Flow, KEEP, REMOVE, Repeat, failed};
use crate::event_loop::source::Source;
use crate::handle::{Handle, Key, TimerHandle};
use crate::watchers::{Role, WatcherId};

/// The callback of a connection that is being made. Its timer goes with it, also when it is
/// cancelled.
struct Attempt<S, F> {
    el: LoopHandle<S>,
    /// None if the caller's value is no address, which is the outcome then.
    address: Option<Address>,
    socket: Option<io::Result<Connecting>>,
    callback: Option<F>,
    timer: TimerHandle,
    timed_out: Rc<Cell<bool>>,
    key: Key,
    watch: Option<WatcherId>,
}

impl<S, F> Drop for Attempt<S, F> {
    fn drop(&mut self) {
        self.el.cancel(self.timer);
    }
}

impl<S, F> Attempt<S, F> {
    /// How it has ended, if it has.
    fn outcome(&mut self) -> Option<io::Result<Socket>> {
        let finished = match self.socket.as_ref()? {
            Ok(Connecting::Done(_)) | Err(_) => Ok(true),
            Ok(Connecting::InProgress(_)) if self.timed_out.get() => {
                Err(io::ErrorKind::TimedOut.into())
            }
            Ok(Connecting::InProgress(fd)) => socket::finish_connect(fd),
        };
        match finished {
            Ok(false) => None,
            Ok(true) => Some(self.socket.take()?.map(|socket| Socket::new(socket.into_fd()))),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<S: 'static, F, R> Repeat<S> for Attempt<S, F>
where
    F: FnOnce(&LoopHandle<S>, &mut S, Result<Socket>) -> R,
    R: CallbackResult,
{
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, _: Readiness) -> Flow {
        let Some(outcome) = self.outcome() else { return KEEP };
        el.cancel(self.timer);
        if let Some(watch) = self.watch.take() {
            // The socket is the callback's from now on, which may have it watched again.
            el.core().unwatch(watch, self.key);
        }
        let Some(callback) = self.callback.take() else { return REMOVE };
        let result = outcome.map_err(|source| match &self.address {
            Some(address) => Error::Connect { address: address.to_string(), source },
            None => source.into(),
        });
        match callback(el, state, result).into_result() {
            Ok(()) => REMOVE,
            Err(error) => failed(error),
        }
    }
}

impl<S: 'static> LoopHandle<S> {
    /// Connects a stream socket to `address` and calls `callback` once, with the socket or with the
    /// reason why not: refused, reset, unreachable, `TimedOut` after `timeout`, no descriptors.
    /// Cancelling the handle gives up, and closes the socket.
    ///
    /// On a closed loop the callback is dropped at once.
    ///
    /// The socket is then used as it is, made a stream of std, or [attached](LoopHandle::attach) to
    /// a protocol. A host's name has to be looked up, which is for a task:
    /// [`TcpStream::connect_host`](super::TcpStream::connect_host), whose
    /// [`into_socket`](super::TcpStream::into_socket) can be attached as well.
    ///
    /// A Unix socket whose backlog is full is the error `ResourceBusy`, never a success. A value
    /// that is no address is [`Error::Io`] with `InvalidInput`.
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

    /// Like [`connect`](LoopHandle::connect), but from the address `local`: to leave a host by one
    /// of its addresses, or from a port that the peer expects. Port 0 leaves the port to the kernel.
    ///
    /// An address `local` that cannot be used is [`Error::Connect`] for the callback, with the
    /// kernel's reason: bind(2) has `EADDRINUSE`, `EADDRNOTAVAIL` and others.
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
        if self.core().closed.get() {
            self.remove(key);
            return self.handle(key);
        }
        let (address, begun) = match address {
            Ok(address) => {
                let begun = match &local {
                    Some(local) => socket::connect_from(&address, local),
                    None => socket::connect(&address),
                };
                (Some(address), begun)
            }
            Err(error) => (None, Err(error)),
        };
        let (socket, watch) = self.await_connection(begun, key);
        let timed_out = Rc::new(Cell::new(false));
        let expired = timed_out.clone();
        let timer = self.call_later(timeout, move |el, _| {
            expired.set(true);
            el.core().feed_as(key, Readiness::WRITABLE);
        });
        let (socket, callback) = (Some(socket), Some(callback));
        let source = watch.map_or(Source::Soon, Source::Stream);
        let el = self.clone();
        let attempt = Attempt { el, address, socket, callback, timer, timed_out, key, watch };
        self.fill_slot(key, source, Callback::repeat(attempt));
        self.handle(key)
    }

    /// Has the callback called when the connection is made or has failed.
    fn await_connection(
        &self,
        socket: io::Result<Connecting>,
        key: Key,
    ) -> (io::Result<Connecting>, Option<WatcherId>) {
        let Ok(Connecting::InProgress(fd)) = &socket else {
            self.core().feed(key);
            return (socket, None);
        };
        let fd = fd.as_fd().as_raw_fd();
        match self.core().watch(fd, Role::Both, Interest::WRITABLE, TriggerMode::Level, key) {
            Ok(watch) => (socket, Some(watch)),
            Err(error) => {
                self.core().feed(key);
                (Err(io::Error::other(error)), None)
            }
        }
    }
}
