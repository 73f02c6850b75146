//! The accept policy.
//!
//! A tick accepts at most a batch of connections; and only one, unless the listener was ready in
//! the tick before as well, so a single connection costs a single accept(2). An error of one
//! connection skips that one.
//!
//! # At the limit of descriptors
//!
//! The listener rests until a timer, one for each incident, or until one of its own connections
//! ends. If nobody could be let in after a rest, a few of those who wait are turned away by means
//! of a reserve descriptor, so that they learn it: the backlog moves on and the loop does not spin.
//! A connection that [lingers](crate::net::Transport::close) holds its descriptor, two seconds at
//! most.
//!
//! # Failures in a row
//!
//! Accept may fail every time and leave the connection in the backlog, so that the listener stays
//! ready: EPERM of a seccomp or BPF filter. Or no accepted connection can be registered: select(2)
//! beyond its greatest descriptor, epoll at its limit of watches. After [`FAILURES`] in a row without
//! a connection between them, the listener rests as well.
//!
//! # Incidents
//!
//! An incident is reported once. Under load each client that goes makes room for one who waits, and
//! the next one meets the limit again: that is still the same incident. As long as somebody waits,
//! the limit is met after each rest; so an incident is over when it was not met for a while.

use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Readiness;
use mainspring_sys::socket::{self, AcceptError, Address};

use super::members::{Membership, Shared};
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Flow, KEEP, REMOVE, Repeat, failed};
use crate::handle::TimerHandle;
use crate::net::connection::Made;
use crate::net::protocol::Protocol;
use crate::net::socket::Socket;
use crate::net::transport::Transport;

/// How long a listener rests when there is no room for another connection.
const REST: Duration = Duration::from_millis(100);
/// How many of those who wait are turned away after a rest that did not help.
const TURNED_AWAY: usize = 8;
/// How long the limit was not met when an incident is over.
const CALM: Duration = Duration::from_secs(1);
/// Number of failures in a row after which the listener rests.
pub(in crate::net) const FAILURES: u32 = 64;

/// The callback of a listener.
pub(super) struct Accepting<F> {
    shared: Rc<Shared>,
    factory: F,
    made: Made,
    location: &'static Location<'static>,
    /// The last tick in which somebody waited.
    busy: u64,
    /// When the limit was met last.
    met: Option<u64>,
    /// Whether nobody was let in since the last rest began.
    in_vain: bool,
    /// Connections in a row that failed while they were accepted or registered.
    failures: u32,
    /// The end of the rest.
    timer: Option<TimerHandle>,
}

impl<F> Accepting<F> {
    pub(super) fn new(
        shared: Rc<Shared>,
        factory: F,
        made: Made,
        location: &'static Location<'static>,
    ) -> Accepting<F> {
        let busy = shared.core.tick.get();
        let (met, in_vain, failures, timer) = (None, false, 0, None);
        Accepting { shared, factory, made, location, busy, met, in_vain, failures, timer }
    }

    fn batch(&mut self) -> usize {
        let tick = self.shared.core.tick.get();
        let in_a_row = tick == self.busy.wrapping_add(1);
        self.busy = tick;
        if in_a_row { self.shared.core.limits.accept_batch } else { 1 }
    }

    fn accept<S: 'static, P>(&mut self, el: &LoopHandle<S>, state: &mut S) -> Result<()>
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        for _ in 0..self.batch() {
            if self.shared.is_full() {
                self.shared.rest(); // Until a connection ends.
                break;
            }
            let Some(accepted) = self.shared.with_listener(|listener| socket::accept(&*listener))
            else {
                break;
            };
            match accepted {
                Ok((socket, peer)) => match self.welcome(el, Socket::new(socket), &peer) {
                    Ok(()) => self.failures = 0,
                    Err(error) => {
                        if self.fail(el, state, error, true) {
                            break;
                        }
                    }
                },
                Err(AcceptError::Connection(source)) => {
                    let error = Error::Accept { fd: self.shared.fd, source };
                    if self.fail(el, state, error, false) {
                        break;
                    }
                }
                Err(AcceptError::WouldBlock) => break,
                Err(AcceptError::Capacity(error)) => {
                    self.rest(el, state, error);
                    break;
                }
                Err(AcceptError::Listener(source)) => {
                    return Err(Error::Accept { fd: self.shared.fd, source });
                }
            }
        }
        Ok(())
    }

    fn welcome<S: 'static, P>(
        &mut self,
        el: &LoopHandle<S>,
        socket: Socket,
        peer: &Address,
    ) -> Result<()>
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        self.in_vain = false;
        self.shared.accepted.set(self.shared.accepted.get() + 1);
        if !self.shared.admits(peer) {
            return Ok(());
        }
        let protocol = (self.factory)();
        let shared = &self.shared;
        let transport = |core, key| Transport::accepted(core, socket, peer, key);
        let adopted = el.adopt(transport, protocol, self.made, self.location, |transport| {
            if matches!(peer, Address::Inet(_)) {
                transport.prefer_edges();
            }
            Ok(Some(Membership::enter(shared, transport)))
        });
        let conn = adopted?;
        if let Some(limit) = self.shared.idle_limit.get() {
            conn.set_idle_limit(Some(limit));
        }
        Ok(())
    }

    /// One connection has failed. Returns true if the listener rests now. The error of a connection is
    /// everyday life until then, but that of a registration is the first of an incident.
    fn fail<S: 'static>(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        error: Error,
        is_incident: bool,
    ) -> bool {
        self.failures += 1;
        let rests = self.failures >= FAILURES;
        if (rests || is_incident) && self.is_a_new_incident() {
            self.report(el, state, error);
        }
        if rests {
            self.failures = 0;
            self.pause(el);
        }
        rests
    }

    /// There is no room: stops accepting for a while.
    fn rest<S: 'static>(&mut self, el: &LoopHandle<S>, state: &mut S, source: io::Error) {
        if std::mem::replace(&mut self.in_vain, true) {
            self.turn_away();
        }
        if self.is_a_new_incident() {
            self.report(el, state, Error::Accept { fd: self.shared.fd, source });
        }
        self.pause(el);
    }

    fn pause<S: 'static>(&mut self, el: &LoopHandle<S>) {
        if self.shared.watch.get().is_none() {
            return; // The exception handler has closed the server.
        }
        self.shared.rest();
        if !self.timer.is_some_and(|timer| el.reset_after(timer, REST)) {
            self.timer = Some(wake_up_later(el, self.shared.clone()));
        }
    }

    fn is_a_new_incident(&mut self) -> bool {
        let now = self.shared.core.timeline.now_nanos();
        let before = self.met.replace(now);
        before.is_none_or(|before| now.saturating_sub(before) >= CALM.as_nanos() as u64)
    }

    fn report<S>(&self, el: &LoopHandle<S>, state: &mut S, error: Error) {
        if let Some(report) = el.report_of(self.shared.key, error) {
            el.report(state, report);
        }
    }

    fn turn_away(&mut self) {
        self.shared.with_listener(|listener| {
            let mut turned_away = (0..TURNED_AWAY).map(|_| listener.turn_away());
            turned_away.all(|it| it.is_ok());
        });
    }
}

/// The timer at the end of a rest. If the listener cannot be woken up, another rest follows.
fn wake_up_later<S: 'static>(el: &LoopHandle<S>, shared: Rc<Shared>) -> TimerHandle {
    el.call_later(REST, move |el, _| {
        shared.wake_up();
        if shared.resting.get() && !shared.is_full() {
            wake_up_later(el, shared);
        }
    })
}

impl<S: 'static, F, P> Repeat<S> for Accepting<F>
where
    F: FnMut() -> P,
    P: Protocol<S> + 'static,
{
    /// A factory that panics has cost the connection that it was called for.
    const SURVIVES_PANICS: bool = true;

    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        if self.shared.watch.get().is_none() {
            return REMOVE;
        }
        if readiness.contains(Readiness::INVALID) {
            let source = io::Error::other("it was closed while it was watched");
            return failed(Error::Accept { fd: self.shared.fd, source });
        }
        match self.accept(el, state) {
            Ok(()) => KEEP,
            Err(error) => failed(error),
        }
    }
}

impl<F> Drop for Accepting<F> {
    fn drop(&mut self) {
        self.shared.watch.set(None);
        drop(self.shared.listener.take());
    }
}
