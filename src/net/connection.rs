//! A connection: a transport and its protocol, as a callback of the loop.

use std::panic::Location;

use mainspring_sys::Readiness;

use super::protocol::{Closure, Protocol};
use super::server::Membership;
use super::stream::Stream;
use super::transport::{Tide, Transport};
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Callback, LEAVE, Repeat, STAY, Turn};
use crate::event_loop::source::Source;

/// The callback of a connection.
pub(crate) struct Connection<P> {
    transport: Transport,
    protocol: P,
    /// The place among the connections of a server; leaves it when dropped.
    _membership: Option<Membership>,
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
        match conn.turn_of_tide() {
            Some(Tide::High) => told(protocol.pause_writing(el, state, conn)),
            Some(Tide::Low) => told(protocol.resume_writing(el, state, conn)),
            None => Ok(()),
        }
    }

    /// The last moment, because of an error that the protocol has returned or for other reasons.
    #[cold]
    fn lost<S>(&mut self, el: &LoopHandle<S>, state: &mut S, failure: Option<Box<Error>>) -> Turn
    where
        P: Protocol<S>,
    {
        self.transport.abort();
        let (failure, reason) = match (failure, self.transport.take_error()) {
            (Some(error), _) if el.core().is_everyday(&error) => (None, Some(error)),
            (None, Some(error)) if !el.core().is_everyday(&error) => {
                (Some(Box::new(self.transport.naming_fd(*error))), None)
            }
            reasons => reasons,
        };
        let why = failure.as_deref().or(reason.as_deref());
        let lost = told(self.protocol.connection_lost(el, state, why));
        match (failure, lost) {
            (Some(error), Ok(())) | (None, Err(error)) => Turn::Break(Some(error)),
            (Some(error), Err(another)) => {
                if let Some(report) = el.report_of(self.transport.key(), *error) {
                    el.report(state, report);
                }
                Turn::Break(Some(another))
            }
            (None, Ok(())) => LEAVE,
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
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Turn {
        match self.moments(el, state, readiness) {
            Ok(()) if !self.transport.is_done() => {
                self.transport.end();
                STAY
            }
            moments => self.lost(el, state, moments.err()),
        }
    }
}

impl<P> Drop for Connection<P> {
    fn drop(&mut self) {
        self.transport.detach();
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
    /// The loop owns the stream from now on and makes it non-blocking. The transport that is
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
        T: Stream + 'static,
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
        T: Stream + 'static,
        P: Protocol<S> + 'static,
    {
        self.attach_as(stream, protocol, Made::Announce, Location::caller())
    }

    fn attach_as<T, P>(
        &self,
        stream: T,
        protocol: P,
        made: Made,
        location: &'static Location<'static>,
    ) -> Result<Transport>
    where
        T: Stream + 'static,
        P: Protocol<S> + 'static,
    {
        self.core().check_open()?;
        self.adopt(stream, protocol, made, location, |transport| {
            transport.make_nonblocking()?;
            if transport.is_tcp() {
                transport.prefer_edges();
            }
            Ok(None)
        })
    }

    /// Registers a connection. `prepare` may still refuse it.
    pub(crate) fn adopt<T, P>(
        &self,
        stream: T,
        protocol: P,
        made: Made,
        location: &'static Location<'static>,
        prepare: impl FnOnce(&Transport) -> Result<Option<Membership>>,
    ) -> Result<Transport>
    where
        T: Stream + 'static,
        P: Protocol<S> + 'static,
    {
        let key = self.reserve(location);
        let transport = Transport::new(self.core().clone(), stream, key);
        let watched = prepare(&transport).and_then(|it| Ok((it, transport.watch()?)));
        let (membership, watch) = watched.inspect_err(|_| {
            self.forget(key);
        })?;
        let connection =
            Connection { transport: transport.clone(), protocol, _membership: membership };
        self.settle_in(key, Source::Stream(watch), Callback::repeat(connection));
        if made == Made::Announce {
            transport.announce();
        }
        Ok(transport)
    }
}
