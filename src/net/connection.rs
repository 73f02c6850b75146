//! A connection: a transport and its protocol, as a callback of the loop.

use std::any::Any;
use std::panic::Location;
use std::rc::Rc;

use mainspring_sys::Readiness;

use super::members::Membership;
use super::protocol::{Closure, Protocol};
use super::transport::{SharedFile, Transport, WaterMark};
use super::transport_stream::TransportStream;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Callback, Flow, KEEP, REMOVE, Repeat};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::source::Source;
use crate::handle::Key;
use crate::snapshot::{EntryKind, Facts};

/// The callback of a connection.
pub(crate) struct Connection<P> {
    transport: Transport,
    protocol: P,
    /// The membership in a server; `None` if no server has accepted the connection.
    membership: Option<Membership>,
}

/// The result of a call of the protocol, in a form that fits into a register.
type CallResult = Result<(), Box<Error>>;

/// Turns `WouldBlock` and `Interrupted` into success: the protocol may have passed them on with
/// `?`.
#[inline]
fn retry_is_ok(result: Result<()>) -> CallResult {
    result.or_else(unless_retry)
}

#[cold]
fn unless_retry(error: Error) -> CallResult {
    if error.is_retry() { Ok(()) } else { Err(Box::new(error)) }
}

impl<P> Connection<P> {
    /// Begins a run with more to do than reading. Returns true if there is input to read.
    #[inline(never)]
    fn begin_other_run<S>(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        readiness: Readiness,
    ) -> Result<bool, Box<Error>>
    where
        P: Protocol<S>,
    {
        let conn = &self.transport;
        if conn.begin_other_run(readiness) {
            retry_is_ok(self.protocol.connection_made(el, state, conn))?;
        }
        conn.clear_buffer_for_custom(el.core());
        if readiness.contains(Readiness::INVALID) {
            conn.fail_closed_fd();
        }
        Ok(conn.has_input(readiness))
    }

    /// Ends a run with more to do than reading: the output, a replacement, or the last run.
    #[cold]
    fn end_other_run<S>(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        readiness: Readiness,
        result: CallResult,
    ) -> Flow
    where
        P: Protocol<S>,
    {
        let result = result.and_then(|()| self.continue_output(el, state, readiness));
        match result {
            Ok(()) if !self.transport.is_done() => {
                self.transport.end_run();
                KEEP
            }
            result if self.transport.is_replaced() => {
                self.transport.end_replaced_run(result.err());
                KEEP
            }
            result => self.lost(el, state, result.err()),
        }
    }

    fn continue_output<S>(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        readiness: Readiness,
    ) -> CallResult
    where
        P: Protocol<S>,
    {
        let Connection { transport: conn, protocol, .. } = self;
        conn.continue_output(readiness);
        if conn.is_replaced() {
            return Ok(()); // The new protocol gets the callbacks of the queue.
        }
        match conn.check_water_marks() {
            Some(WaterMark::High) => retry_is_ok(protocol.pause_writing(el, state, conn)),
            Some(WaterMark::Low) => retry_is_ok(protocol.resume_writing(el, state, conn)),
            None => Ok(()),
        }
    }

    /// Calls `connection_lost`. `failure` is an error that the protocol has returned.
    #[cold]
    fn lost<S>(&mut self, el: &LoopHandle<S>, state: &mut S, failure: Option<Box<Error>>) -> Flow
    where
        P: Protocol<S>,
    {
        self.transport.end_last_run();
        let (failure, reason) = match (failure, self.transport.take_error()) {
            (Some(error), _) if el.core().is_unreported(&error) => (None, Some(error)),
            // The user has set the limit, so exceeding it is not a failure to report.
            (None, Some(error)) if matches!(*error, Error::TimedOut(_)) => (None, Some(error)),
            (None, Some(error)) if !el.core().is_unreported(&error) => {
                (Some(Box::new(self.transport.naming_fd(*error))), None)
            }
            other => other,
        };
        let why = failure.as_deref().or(reason.as_deref());
        let lost = retry_is_ok(self.protocol.connection_lost(el, state, why));
        match (failure, lost) {
            (Some(error), Ok(())) | (None, Err(error)) => Flow::Break(Some(error)),
            (Some(error), Err(another)) => {
                // A callback returns one error, so the first one is reported here.
                if let Some(report) = el.report_of(self.transport.key(), *error) {
                    el.report(state, report);
                }
                Flow::Break(Some(another))
            }
            (None, Ok(())) => REMOVE,
        }
    }
}

impl<S, P: Protocol<S>> Repeat<S> for Connection<P> {
    const KIND: Option<EntryKind> = Some(EntryKind::Connection);

    fn facts(&self) -> Facts {
        Facts { queued: Some(self.transport.queued()), ..Facts::default() }
    }

    #[inline]
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, mut readiness: Readiness) -> Flow {
        // Dereferenced once: each `Rc<dyn ..>` costs the computation of an offset.
        let mut shared = self.transport.state();
        if !shared.begin_run(readiness) {
            match self.begin_other_run(el, state, readiness) {
                Ok(true) => shared = self.transport.state(),
                other => return self.end_other_run(el, state, readiness, other.map(drop)),
            }
        }
        let (conn, protocol) = (&self.transport, &mut self.protocol);
        let result = shared.receive(el.core(), |data| match data {
            [] => retry_is_ok(protocol.eof_received(el, state, conn)),
            data => retry_is_ok(protocol.data_received(el, state, conn, data)),
        });
        if result.is_ok() && shared.end_plain_run() {
            return KEEP;
        }
        // An event is read once, even if the connection lingers from now on.
        readiness -= Readiness::READABLE;
        self.end_other_run(el, state, readiness, result)
    }
}

impl<P> Drop for Connection<P> {
    fn drop(&mut self) {
        let kept = self.membership.take();
        self.transport.detach(kept.map(|membership| Box::new(membership) as Box<dyn Any>));
    }
}

/// The time at which `connection_made` of a new connection is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// In the next tick.
    NextTick,
    /// Never: a closure has no `connection_made`.
    Never,
}

/// # Connections
impl<S: 'static> LoopHandle<S> {
    /// Reads and writes `stream` on the loop, and calls `closure` with the input.
    ///
    /// The loop owns the stream from now on and makes it non-blocking, by the rule of
    /// [`add_reader`](LoopHandle::add_reader). The transport is returned, and also passed to the
    /// closure. Clone and keep it to write from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`]; [`Error::Watch`] with the fd that the kernel refuses;
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
        self.attach_as(stream, Closure(closure), Announce::Never, Location::caller())
    }

    /// Reads and writes `stream` for `protocol`. Its `connection_made` is called in the next tick.
    /// Otherwise like [`attach`](LoopHandle::attach).
    ///
    /// # Errors
    ///
    /// Same as [`attach`](LoopHandle::attach).
    #[track_caller]
    pub fn attach_with<T, P>(&self, stream: T, protocol: P) -> Result<Transport>
    where
        T: TransportStream + 'static,
        P: Protocol<S> + 'static,
    {
        self.attach_as(stream, protocol, Announce::NextTick, Location::caller())
    }

    /// Replaces the protocol of the connection `conn`, for example after a negotiated upgrade. The
    /// old protocol is dropped, or if it is running, dropped when its callback returns. Its
    /// `connection_lost` is not called.
    ///
    /// The new protocol's `connection_made` is called first, in the next tick. After that it gets
    /// the input that the old one has not received, the water-mark callbacks, and
    /// `connection_lost`. An error that the old protocol returns from the running callback ends the
    /// connection.
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
    /// [`Error::Gone`] if the connection is over or belongs to another loop; [`Error::Closed`].
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
        // A callback that does not run leaves the connection now, a running one when it returns.
        drop(old);
        conn.set_replaced(before || is_running);
        conn.announce();
        Ok(())
    }

    fn attach_as<T, P>(
        &self,
        stream: T,
        protocol: P,
        announce: Announce,
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
                self.register_connection(transport, protocol, announce, location, prepare)
            }
            Err(file) => {
                let transport = |core, key| Transport::shared(core, file, key);
                self.register_connection(transport, protocol, announce, location, prepare)
            }
        }
    }

    /// Registers a connection. An error of `prepare` refuses it.
    pub(crate) fn register_connection<P>(
        &self,
        transport: impl FnOnce(Rc<LoopCore>, Key) -> Transport,
        protocol: P,
        announce: Announce,
        location: &'static Location<'static>,
        prepare: impl FnOnce(&Transport) -> Result<Option<Membership>>,
    ) -> Result<Transport>
    where
        P: Protocol<S> + 'static,
    {
        // The transport needs the key of a callback that will own the transport.
        let key = self.reserve_slot(location);
        let transport = transport(self.core().clone(), key);
        let watched = prepare(&transport).and_then(|it| Ok((it, transport.watch()?)));
        let (membership, watch) = watched.inspect_err(|_| {
            self.remove(key);
        })?;
        let connection = Connection { transport: transport.clone(), protocol, membership };
        self.fill_slot(key, Source::Stream(watch), Callback::repeat(connection));
        if announce == Announce::NextTick {
            transport.announce();
        }
        Ok(transport)
    }
}
