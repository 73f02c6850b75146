//! A datagram endpoint: a transport and its protocol, as a callback of the loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::Location;

use mainspring_sys::socket::{self, BindOptions, Datagram};
use mainspring_sys::{Readiness, fd};

use super::connection::Announce;
use super::datagram;
use super::datagram_protocol::{Closure, DatagramProtocol};
use super::datagram_transport::{DatagramTransport, EndpointState, Flags, RunUsage};
use super::into_address::IntoAddress;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Callback, Flow, KEEP, REMOVE, Repeat};
use crate::event_loop::source::Source;
use crate::snapshot::{EntryKind, Facts};

/// The callback of an endpoint.
struct Endpoint<P> {
    transport: DatagramTransport,
    protocol: P,
}

/// A run of the callback. The drop, which a panic reaches too, queues the callback again if there
/// is more to do.
struct Run<'a>(&'a EndpointState);

impl<'a> Run<'a> {
    #[inline]
    fn begin(state: &'a EndpointState, readiness: Readiness) -> Run<'a> {
        if readiness.is_empty() {
            state.unset(Flags::SELF_QUEUED);
        }
        state.set(Flags::RUNNING);
        Run(state)
    }
}

impl Drop for Run<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.unset(Flags::RUNNING);
        if self.0.has_more_to_do() {
            self.0.feed();
        }
    }
}

/// The arguments of a run.
struct Context<'a, S> {
    el: &'a LoopHandle<S>,
    state: &'a mut S,
    endpoint: &'a DatagramTransport,
}

impl<S> Context<'_, S> {
    /// Handles the result of a callback: an error is reported, and the endpoint continues. Ends the
    /// endpoint if the callback has cancelled it.
    #[inline]
    fn finish(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.report(error);
        }
        if !self.el.is_registered(self.endpoint.state().key) {
            self.endpoint.state().detach();
        }
    }

    #[cold]
    fn report(&mut self, error: Error) {
        if error.is_retry() {
            return; // A call in the callback has found nothing more.
        }
        if let Some(report) = self.el.report_of(self.endpoint.state().key, error) {
            self.el.report(self.state, report);
        }
    }
}

impl<P> Endpoint<P> {
    /// Runs the parts that most events do not need, before input is received.
    #[inline(never)]
    fn begin<S>(&mut self, cx: &mut Context<'_, S>, readiness: Readiness)
    where
        P: DatagramProtocol<S>,
    {
        let shared = self.transport.state();
        shared.check_backoff();
        shared.check_close_limit();
        if readiness.contains(Readiness::INVALID) {
            shared.fail(Error::closed_while_watched(shared.fd));
        }
        if shared.must_announce() {
            shared.unset(Flags::UNANNOUNCED);
            let made = self.protocol.connection_made(cx.el, cx.state, cx.endpoint);
            cx.finish(made);
        }
    }

    #[inline]
    fn receive<S>(&mut self, cx: &mut Context<'_, S>)
    where
        P: DatagramProtocol<S>,
    {
        let shared = self.transport.state();
        let mut used = RunUsage::default();
        while used.has_more() && !shared.has(Flags::NO_READ) {
            let Some(mut delivery) = shared.next_delivery(&mut used) else { continue };
            while let Some(datagram) = delivery.next() {
                let received =
                    self.protocol.datagram_received(cx.el, cx.state, cx.endpoint, &datagram);
                cx.finish(received);
            }
        }
    }

    /// Passes on errors, sends from the queue, and calls back about its length.
    fn end<S>(&mut self, cx: &mut Context<'_, S>, readiness: Readiness)
    where
        P: DatagramProtocol<S>,
    {
        let shared = self.transport.state();
        // An event without room would only repeat the refusal. The timer of a backoff has none.
        if readiness.is_empty() || readiness.contains(Readiness::WRITABLE) {
            shared.flush();
        }
        let errors = shared.errors.borrow().len();
        for _ in 0..errors {
            let error = shared.errors.borrow_mut().pop_front();
            let Some(error) = error else { break }; // The endpoint has ended.
            let received = self.protocol.error_received(cx.el, cx.state, cx.endpoint, &error);
            cx.finish(received);
        }
        let result = match shared.crossed_mark() {
            Some(true) => {
                shared.set(Flags::WRITING_PAUSED);
                self.protocol.pause_writing(cx.el, cx.state, cx.endpoint)
            }
            Some(false) => {
                shared.unset(Flags::WRITING_PAUSED);
                self.transport.release_reading();
                self.protocol.resume_writing(cx.el, cx.state, cx.endpoint)
            }
            None => return,
        };
        cx.finish(result);
    }

    /// Calls `connection_lost`.
    #[cold]
    fn lost<S>(&mut self, cx: &mut Context<'_, S>) -> Flow
    where
        P: DatagramProtocol<S>,
    {
        let shared = self.transport.state();
        if shared.has(Flags::LOST) {
            return REMOVE; // The call has panicked, or the endpoint was cancelled.
        }
        shared.set(Flags::LOST);
        let reason = shared.failure.take();
        let lost = self.protocol.connection_lost(cx.el, cx.state, reason.as_ref());
        if let Err(error) = lost {
            cx.report(error);
        }
        // A limit on closing is not a failure to report.
        let failure = reason.filter(|reason| !matches!(reason, Error::TimedOut(_)));
        Flow::Break(failure.map(Box::new))
    }
}

impl<S, P: DatagramProtocol<S>> Repeat<S> for Endpoint<P> {
    /// One peer's datagram must not end the service of all others.
    const SURVIVES_PANICS: bool = true;
    const KIND: Option<EntryKind> = Some(EntryKind::Datagrams);

    fn facts(&self) -> Facts {
        let is_backing_off = self.transport.state().has(Flags::BACKOFF);
        Facts { queued: Some(self.transport.queued()), is_backing_off, ..Facts::default() }
    }

    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        let endpoint = self.transport.clone();
        let shared = endpoint.state();
        let run = Run::begin(shared, readiness);
        let mut cx = Context { el, state, endpoint: &endpoint };
        if readiness != Readiness::READABLE || shared.has(Flags::UNANNOUNCED | Flags::DONE) {
            self.begin(&mut cx, readiness);
        }
        if readiness.contains(Readiness::READABLE) || shared.rest.borrow().is_some() {
            self.receive(&mut cx);
        }
        if !shared.is_quiet() {
            self.end(&mut cx, readiness);
        }
        if shared.has(Flags::DONE) {
            let flow = self.lost(&mut cx);
            std::mem::forget(run); // The callback is removed.
            return flow;
        }
        KEEP
    }
}

impl<P> Drop for Endpoint<P> {
    fn drop(&mut self) {
        self.transport.state().detach();
    }
}

/// # Datagrams
impl<S: 'static> LoopHandle<S> {
    /// Opens a datagram socket that is bound to `address`, UDP or Unix, and calls `closure` with
    /// each datagram.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] with the address; the errors of
    /// [`attach_datagram`](LoopHandle::attach_datagram).
    ///
    /// ```
    /// use mainspring::EventLoop;
    ///
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// let echo = el.bind_datagram("127.0.0.1:0", |_el, _seen, echo, datagram| {
    ///     echo.send_to(datagram.bytes, &datagram.from);
    ///     Ok(())
    /// })?;
    /// let client = el.bind_datagram("127.0.0.1:0", move |el, seen: &mut Vec<u8>, _, datagram| {
    ///     seen.extend(datagram.bytes);
    ///     el.stop();
    ///     Ok(())
    /// })?;
    /// client.send_to(b"hello", &echo.local_addr()?);
    /// el.run_forever()?;
    /// assert_eq!(el.state(), b"hello");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn bind_datagram<F>(
        &self,
        address: impl IntoAddress,
        closure: F,
    ) -> Result<DatagramTransport>
    where
        F: FnMut(&LoopHandle<S>, &mut S, &DatagramTransport, &Datagram<'_>) -> Result<()> + 'static,
    {
        self.attach_datagram_as(
            bound(address)?,
            Closure(closure),
            Announce::Never,
            Location::caller(),
        )
    }

    /// Opens a datagram socket like [`bind_datagram`](LoopHandle::bind_datagram), for `protocol`.
    /// Its `connection_made` is called in the next tick.
    ///
    /// # Errors
    ///
    /// Same as [`bind_datagram`](LoopHandle::bind_datagram).
    #[track_caller]
    pub fn bind_datagram_with<P>(
        &self,
        address: impl IntoAddress,
        protocol: P,
    ) -> Result<DatagramTransport>
    where
        P: DatagramProtocol<S> + 'static,
    {
        self.attach_datagram_as(bound(address)?, protocol, Announce::NextTick, Location::caller())
    }

    /// Receives datagrams from `socket`, and calls `closure` with each of them. The socket is a UDP
    /// or Unix socket of std or [`net`](crate::net). It becomes non-blocking and stays so.
    ///
    /// In one tick at most 64 datagrams are received, and no further call is made after 256 KiB. So
    /// a flooded socket does not delay others.
    ///
    /// If the closure returns an error or panics, this is reported and the endpoint continues: one
    /// peer cannot end the service for the others.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`]; [`Error::Watch`] with the fd that the kernel refuses, or that is
    /// not a datagram socket; [`Error::Closed`]. The socket is closed then.
    #[track_caller]
    pub fn attach_datagram<F>(
        &self,
        socket: impl Into<OwnedFd>,
        closure: F,
    ) -> Result<DatagramTransport>
    where
        F: FnMut(&LoopHandle<S>, &mut S, &DatagramTransport, &Datagram<'_>) -> Result<()> + 'static,
    {
        self.attach_datagram_as(
            socket.into(),
            Closure(closure),
            Announce::Never,
            Location::caller(),
        )
    }

    /// Receives datagrams from `socket` for `protocol`. Its `connection_made` is called in the next
    /// tick. Otherwise like [`attach_datagram`](LoopHandle::attach_datagram).
    ///
    /// # Errors
    ///
    /// Same as [`attach_datagram`](LoopHandle::attach_datagram).
    #[track_caller]
    pub fn attach_datagram_with<P>(
        &self,
        socket: impl Into<OwnedFd>,
        protocol: P,
    ) -> Result<DatagramTransport>
    where
        P: DatagramProtocol<S> + 'static,
    {
        self.attach_datagram_as(socket.into(), protocol, Announce::NextTick, Location::caller())
    }

    fn attach_datagram_as<P>(
        &self,
        socket: OwnedFd,
        protocol: P,
        announce: Announce,
        location: &'static Location<'static>,
    ) -> Result<DatagramTransport>
    where
        P: DatagramProtocol<S> + 'static,
    {
        self.core().check_open()?;
        let fd = socket.as_raw_fd();
        let refused = |source| Error::Watch { operation: "attach", fd, source };
        let is_unix = checked(&socket).map_err(refused)?;
        let key = self.reserve_slot(location);
        let transport = DatagramTransport::new(self.core().clone(), key, socket, is_unix);
        let watch = transport.watch().inspect_err(|_| {
            self.remove(key);
        })?;
        let endpoint = Endpoint { transport: transport.clone(), protocol };
        self.fill_slot(key, Source::Stream(watch), Callback::repeat(endpoint));
        if announce == Announce::NextTick {
            transport.announce();
        }
        Ok(transport)
    }
}

fn bound(address: impl IntoAddress) -> Result<OwnedFd> {
    datagram::bind(&address.into_address()?, &BindOptions::default())
}

/// Makes a datagram socket non-blocking. Returns true for a Unix socket.
fn checked(socket: &OwnedFd) -> io::Result<bool> {
    if !socket::is_datagram(socket)? {
        let message = "it is not a datagram socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    fd::set_nonblocking(socket.as_fd(), true)?;
    Ok(socket::local_addr(socket)?.as_unix().is_some())
}
