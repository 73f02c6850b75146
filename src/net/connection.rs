//! A connection: a transport and its protocol, as a callback of the loop.

use std::any::Any;
use std::panic::Location;
use std::rc::Rc;

use mainspring_sys::Readiness;

use super::protocol::{Closure, Protocol};
use super::server::Membership;
use super::stream::TransportStream;
use super::transport::{SharedFile, Tide, Transport};
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Callback, Flow, KEEP, REMOVE, Repeat};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::source::Source;
use crate::handle::Key;

/// The callback of a connection.
pub(crate) struct Connection<P> {
    transport: Transport,
    protocol: P,
    /// The place among the connections of a server; leaves it when dropped.
    membership: Option<Membership>,
}

impl<P> Connection<P> {
    #[inline]
    fn moments<S>(&mut self, el: &LoopHandle<S>, state: &mut S, mut readiness: Readiness) -> Moment
    where
        P: Protocol<S>,
    {
        if self.transport.begin(readiness) {
            self.prepare(el, state)?;
        }
        let Connection { transport: conn, protocol, .. } = self;
        if readiness.contains(Readiness::INVALID) {
            conn.fail_of_closed();
        }
        if conn.has_input(readiness) {
            conn.receive(el.core(), readiness, |data| match data {
                [] => told(protocol.eof_received(el, state, conn)),
                data => told(protocol.data_received(el, state, conn, data)),
            })?;
            readiness -= Readiness::READABLE; // Once an event, also if it lingers from now on.
        }
        if conn.is_busy() { self.tides(el, state, readiness) } else { Ok(()) }
    }

    /// Does what a turn of few connections begins with.
    #[cold]
    fn prepare<S>(&mut self, el: &LoopHandle<S>, state: &mut S) -> Moment
    where
        P: Protocol<S>,
    {
        let conn = &self.transport;
        if conn.take_new() {
            told(self.protocol.connection_made(el, state, conn))?;
        }
        conn.clear_for_own(el.core());
        Ok(())
    }

    #[cold]
    fn tides<S>(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Moment
    where
        P: Protocol<S>,
    {
        let Connection { transport: conn, protocol, .. } = self;
        conn.go_on(readiness);
        if conn.is_replaced() {
            return Ok(()); // The rest is for the new protocol.
        }
        match conn.turn_of_tide() {
            Some(Tide::High) => told(protocol.pause_writing(el, state, conn)),
            Some(Tide::Low) => told(protocol.resume_writing(el, state, conn)),
            None => Ok(()),
        }
    }

    /// The last moment, because of an error that the protocol has returned or for other reasons.
    #[cold]
    fn lost<S>(&mut self, el: &LoopHandle<S>, state: &mut S, failure: Option<Box<Error>>) -> Flow
    where
        P: Protocol<S>,
    {
        self.transport.abort();
        let (failure, reason) = match (failure, self.transport.take_error()) {
            (Some(error), _) if el.core().is_everyday(&error) => (None, Some(error)),
            // A limit that was set is no fault.
            (None, Some(error)) if matches!(*error, Error::TimedOut(_)) => (None, Some(error)),
            (None, Some(error)) if !el.core().is_everyday(&error) => {
                (Some(Box::new(self.transport.naming_fd(*error))), None)
            }
            reasons => reasons,
        };
        let why = failure.as_deref().or(reason.as_deref());
        let lost = told(self.protocol.connection_lost(el, state, why));
        match (failure, lost) {
            (Some(error), Ok(())) | (None, Err(error)) => Flow::Break(Some(error)),
            (Some(error), Err(another)) => {
                if let Some(report) = el.report_of(self.transport.key(), *error) {
                    el.report(state, report);
                }
                Flow::Break(Some(another))
            }
            (None, Ok(())) => REMOVE,
        }
    }
}

/// What came of telling the protocol something, in a form that fits into a register.
type Moment = Result<(), Box<Error>>;

/// `WouldBlock` and `Interrupted` from a call that the protocol made by `?` are no errors.
#[inline]
fn told(moment: Result<()>) -> Moment {
    moment.or_else(unless_retry)
}

#[cold]
fn unless_retry(error: Error) -> Moment {
    if error.is_retry() { Ok(()) } else { Err(Box::new(error)) }
}

impl<S, P: Protocol<S>> Repeat<S> for Connection<P> {
    #[inline]
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        match self.moments(el, state, readiness) {
            Ok(()) if !self.transport.is_done() => {
                self.transport.end();
                KEEP
            }
            moments if self.transport.is_replaced() => {
                self.transport.hand_over(moments.err());
                KEEP
            }
            moments => self.lost(el, state, moments.err()),
        }
    }
}

impl<P> Drop for Connection<P> {
    fn drop(&mut self) {
        let kept = self.membership.take();
        self.transport.detach(kept.map(|membership| Box::new(membership) as Box<dyn Any>));
    }
}

/// When a new connection's protocol learns of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// In the next tick.
    Announce,
    /// Never: a closure has no such moment.
    Silent,
}

impl<S: 'static> LoopHandle<S> {
    /// Has the loop read and write `stream`, and calls `closure` with what comes in.
    ///
    /// The loop owns the stream from now on and makes it non-blocking, by the rule of
    /// [`add_reader`](LoopHandle::add_reader). The transport that is
    /// returned, and lent to the closure, can be cloned and kept, to write from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`], [`Error::Watch`] with the fd that the kernel refuses,
    /// [`Error::Closed`]. The stream is dropped then.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let mut el = EventLoop::new()?;
    /// el.attach(ours, |_el, _state, conn, data| {
    ///     conn.write(&data.to_ascii_uppercase());
    ///     conn.close();
    ///     Ok(())
    /// })?;
    /// theirs.write_all(b"hello")?;
    /// theirs.shutdown(std::net::Shutdown::Write)?;
    /// el.run()?; // until the connection is over
    /// let mut answer = String::new();
    /// theirs.read_to_string(&mut answer)?;
    /// assert_eq!(answer, "HELLO");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn attach<T, F>(&self, stream: T, closure: F) -> Result<Transport>
    where
        T: TransportStream + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &Transport, &[u8]) -> Result<()> + 'static,
    {
        self.attach_as(stream, Closure(closure), Made::Silent, Location::caller())
    }

    /// Has the loop read and write `stream` for `protocol`, whose `connection_made` comes in the
    /// next tick. Otherwise as [`attach`](LoopHandle::attach).
    ///
    /// # Errors
    ///
    /// As [`attach`](LoopHandle::attach).
    #[track_caller]
    pub fn attach_with<T, P>(&self, stream: T, protocol: P) -> Result<Transport>
    where
        T: TransportStream + 'static,
        P: Protocol<S> + 'static,
    {
        self.attach_as(stream, protocol, Made::Announce, Location::caller())
    }

    /// Gives the connection of `conn` to another protocol, for example after an upgrade that both
    /// ends have agreed on. The old protocol is dropped, when its callback returns if it runs; its
    /// `connection_lost` is not called.
    ///
    /// The new one's `connection_made` comes in the next tick, before anything else. It gets the
    /// input that the old one has not been called with, its share of the queue's callbacks, and the
    /// end. An error that the old one returns from the callback under way ends the connection.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use mainspring::net::{Protocol, Transport};
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    ///
    /// struct Upgraded;
    ///
    /// impl Protocol<Vec<u8>> for Upgraded {
    ///     fn data_received(
    ///         &mut self,
    ///         _: &mainspring::LoopHandle<Vec<u8>>,
    ///         seen: &mut Vec<u8>,
    ///         _: &Transport,
    ///         data: &[u8],
    ///     ) -> mainspring::Result<()> {
    ///         seen.extend(data);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// el.attach(ours, |el, _, conn, data| {
    ///     assert_eq!(data, b"upgrade");
    ///     el.set_protocol(conn, Upgraded)
    /// })?;
    /// theirs.write_all(b"upgrade")?;
    /// el.tick(None)?;
    /// theirs.write_all(b"new words")?;
    /// drop(theirs);
    /// el.run()?;
    /// assert_eq!(el.state(), b"new words");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the connection is over or is one of another loop; [`Error::Closed`].
    pub fn set_protocol<P>(&self, conn: &Transport, protocol: P) -> Result<()>
    where
        P: Protocol<S> + 'static,
    {
        self.core().check_open()?;
        let gone = Error::Gone { operation: "set the protocol" };
        if conn.is_done() || !conn.is_of(self.core()) {
            return Err(gone);
        }
        let connection = Connection { transport: conn.clone(), protocol, membership: None };
        let new = Callback::repeat(connection);
        let mut callbacks = self.shared.callbacks.borrow_mut();
        let Some(entry) = callbacks.get(conn.key()) else { return Err(gone) };
        let old = entry.callback.replace(new);
        drop(callbacks);
        let is_running = old.as_ref().is_none_or(Callback::is_running);
        let before = conn.set_replaced(true);
        drop(old); // If it does not run it leaves the connection now, else when it has returned.
        conn.set_replaced(before || is_running);
        conn.announce();
        Ok(())
    }

    fn attach_as<T, P>(
        &self,
        stream: T,
        protocol: P,
        made: Made,
        location: &'static Location<'static>,
    ) -> Result<Transport>
    where
        T: TransportStream + 'static,
        P: Protocol<S> + 'static,
    {
        self.core().check_open()?;
        let file = SharedFile::new(stream)?;
        let prepare = |transport: &Transport| {
            if transport.is_tcp() {
                transport.prefer_edges();
            }
            Ok(None)
        };
        match file.into_own() {
            Ok(stream) => {
                let transport = |core, key| Transport::new(core, stream, key);
                self.adopt(transport, protocol, made, location, prepare)
            }
            Err(file) => {
                let transport = |core, key| Transport::shared(core, file, key);
                self.adopt(transport, protocol, made, location, prepare)
            }
        }
    }

    /// Registers a connection. `prepare` may still refuse it.
    pub(crate) fn adopt<P>(
        &self,
        transport: impl FnOnce(Rc<LoopCore>, Key) -> Transport,
        protocol: P,
        made: Made,
        location: &'static Location<'static>,
        prepare: impl FnOnce(&Transport) -> Result<Option<Membership>>,
    ) -> Result<Transport>
    where
        P: Protocol<S> + 'static,
    {
        let key = self.reserve_slot(location);
        let transport = transport(self.core().clone(), key);
        let watched = prepare(&transport).and_then(|it| Ok((it, transport.watch()?)));
        let (membership, watch) = watched.inspect_err(|_| {
            self.remove(key);
        })?;
        let connection = Connection { transport: transport.clone(), protocol, membership };
        self.fill_slot(key, Source::Stream(watch), Callback::repeat(connection));
        if made == Made::Announce {
            transport.announce();
        }
        Ok(transport)
    }
}
