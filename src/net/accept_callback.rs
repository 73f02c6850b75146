//! Accepting for servers: the callback of a listener, which follows the [accept
//! policy](super::accept_policy).
//!
//! A backoff ends when its timer runs out, or when a connection of this server ends. A connection
//! that [lingers](super::Transport::close) keeps its descriptor until then, for two seconds at
//! most.

use std::io;
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Readiness;
use mainspring_sys::socket::{self, AcceptError, Address};

use super::accept_policy::{AcceptPolicy, Failure, Next};
use super::connection::Announce;
use super::members::{Membership, ServerState};
use super::protocol::Protocol;
use super::socket::Socket;
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Flow, KEEP, REMOVE, Repeat, failed};
use crate::handle::TimerHandle;
use crate::snapshot::{EntryKind, Facts};

/// The callback of a listener.
pub(super) struct AcceptCallback<F> {
    server: Rc<ServerState>,
    factory: F,
    announce: Announce,
    location: &'static Location<'static>,
    policy: AcceptPolicy,
    /// Timer at the end of the latest backoff; `None` before the first.
    backoff_timer: Option<TimerHandle>,
}

impl<F> AcceptCallback<F> {
    pub(super) fn new(
        server: Rc<ServerState>,
        factory: F,
        announce: Announce,
        location: &'static Location<'static>,
    ) -> AcceptCallback<F> {
        let policy = AcceptPolicy::new(server.core.tick());
        AcceptCallback { server, factory, announce, location, policy, backoff_timer: None }
    }

    fn run<S: 'static, P>(&mut self, el: &LoopHandle<S>, state: &mut S) -> Result<()>
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        let core = &self.server.core;
        let mut next = self.policy.begin(core.tick(), core.settings.accept_batch);
        let mut is_first = true;
        while let Next::Accept(1..) = next {
            if self.server.is_full() {
                self.server.pause(); // Until a connection ends.
                return Ok(());
            }
            next = self.accept_one(el, state, mem::replace(&mut is_first, false))?;
        }
        if let Next::BackOff(time) = next {
            self.back_off(el, time);
        }
        Ok(())
    }

    /// Accepts a connection. `is_first` is true after an event, which may be for a connection that
    /// another process has accepted.
    fn accept_one<S: 'static, P>(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        is_first: bool,
    ) -> Result<Next>
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        let accepted = self.server.with_listener(|listener| socket::accept(&*listener));
        let fd = self.server.fd;
        let (failure, error) = match accepted {
            // An exception handler or a protocol has closed the server.
            None => return Ok(Next::Accept(0)),
            Some(Err(AcceptError::WouldBlock)) => {
                self.server.core.page.spurious_events.add(u64::from(is_first));
                return Ok(Next::Accept(0));
            }
            Some(Ok((socket, peer))) => match self.register(el, Socket::new(socket), &peer) {
                Ok(()) => return Ok(self.policy.accepted()),
                Err(error) => (Failure::Registration, error),
            },
            Some(Err(AcceptError::Connection(source))) => {
                (Failure::Connection, Error::Accept { fd, source })
            }
            Some(Err(AcceptError::Capacity(source))) => {
                (Failure::Capacity, Error::Accept { fd, source })
            }
            Some(Err(AcceptError::Listener(source))) => return Err(Error::Accept { fd, source }),
        };
        let reaction = self.policy.failed(failure, self.server.core.timeline.now_nanos());
        self.server.turn_away(reaction.turn_away);
        if reaction.report {
            self.report(el, state, error);
        }
        Ok(reaction.next)
    }

    /// Makes a connection of an accepted socket, if the server admits its peer.
    fn register<S: 'static, P>(
        &mut self,
        el: &LoopHandle<S>,
        socket: Socket,
        peer: &Address,
    ) -> Result<()>
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        self.server.accepted.set(self.server.accepted.get() + 1); // Even if it is not admitted.
        self.server.core.page.accepted.add(1);
        if !self.server.admits(peer) {
            return Ok(());
        }
        let protocol = (self.factory)();
        let server = &self.server;
        let transport = |core, key| Transport::accepted(core, socket, peer, key);
        let registered =
            el.register_connection(transport, protocol, self.announce, self.location, |conn| {
                // Not for Unix sockets: their reads also stop short at passed descriptors.
                if matches!(peer, Address::Inet(_)) {
                    conn.prefer_edges();
                }
                Ok(Some(Membership::enter(server, conn)))
            });
        let conn = registered?;
        if let Some(limit) = self.server.idle_limit.get() {
            conn.set_idle_limit(Some(limit));
        }
        Ok(())
    }

    fn back_off<S: 'static>(&mut self, el: &LoopHandle<S>, time: Duration) {
        if self.server.watch.get().is_none() {
            return; // The exception handler has closed the server.
        }
        self.server.pause();
        // A timer that has run cannot be reset.
        if !self.backoff_timer.is_some_and(|timer| el.reset_after(timer, time)) {
            self.backoff_timer = Some(resume_after(el, self.server.clone(), time));
        }
    }

    fn report<S>(&self, el: &LoopHandle<S>, state: &mut S, error: Error) {
        if let Some(report) = el.report_of(self.server.key, error) {
            el.report(state, report);
        }
    }
}

/// Arms the timer at the end of a backoff. If the kernel refuses to watch the listener then,
/// another backoff follows.
fn resume_after<S: 'static>(
    el: &LoopHandle<S>,
    server: Rc<ServerState>,
    time: Duration,
) -> TimerHandle {
    el.call_later(time, move |el, _| {
        server.resume();
        if server.paused.get() && !server.is_full() {
            resume_after(el, server, time);
        }
    })
}

impl<S: 'static, F, P> Repeat<S> for AcceptCallback<F>
where
    F: FnMut() -> P,
    P: Protocol<S> + 'static,
{
    /// A panic of the factory costs only the connection for which it was called.
    const SURVIVES_PANICS: bool = true;
    const KIND: Option<EntryKind> = Some(EntryKind::Server);

    fn facts(&self) -> Facts {
        Facts { connections: Some(self.server.open()), ..Facts::default() }
    }

    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        if self.server.watch.get().is_none() {
            return REMOVE;
        }
        if readiness.contains(Readiness::INVALID) {
            let source = io::Error::other("the listener was closed while the loop watched it");
            return failed(Error::Accept { fd: self.server.fd, source });
        }
        match self.run(el, state) {
            Ok(()) => KEEP,
            Err(error) => failed(error),
        }
    }
}

impl<F> Drop for AcceptCallback<F> {
    fn drop(&mut self) {
        // The port is closed, even if the callback was cancelled and the `Server` lives on.
        self.server.watch.set(None);
        drop(self.server.listener.take());
    }
}
