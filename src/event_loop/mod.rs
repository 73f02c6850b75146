//! The loop: feeds what is due into the ready deque and runs it.
//!
//! ```text
//!   kernel ── select ──► watchers ── feed ──┐
//!   signals ────────────────────── feed ──┤
//!   other threads ──► inbox ────────── feed ──┼──► ready ── run_batch ──► callbacks
//!   clock ──► timers ──────────────── feed ──┘
//! ```
//!
//! # Invariants
//!
//! * [`EventLoop::select`] is the only place that sleeps, [`EventLoop::call`] the only one that calls user code.
//! * While user code runs or is dropped, nothing of the loop is borrowed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use mainspring_sys::{Events, Readiness};

use self::callback::{Callback, Flow, Once, Repeat, Sent};
use self::core::{INBOX, SIGNALS};
use self::dispatch::Due;
use self::report::Origin;
use crate::callbacks::Hook;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::Ready;
use crate::watchers::{Fed, bit};

mod builder;
pub(crate) mod callback;
pub(crate) mod core;
mod dispatch;
mod hooks;
mod loop_handle;
mod remote;
mod report;
mod schedule;
mod watch;
mod watched;

pub use self::builder::{Builder, SelectorChoice};
pub use self::callback::Outcome;
pub use self::loop_handle::LoopHandle;
pub use self::remote::Remote;
pub use self::report::{Kind, PanicPolicy, Report};
pub use self::watched::Watched;

/// An event loop with the state `S` of its user.
///
/// Everything that can be registered is a method of [`LoopHandle`], to which a loop derefs. What only the owner can do is here:
/// running it, and reaching the state between runs. Callbacks get `&LoopHandle<S>` and `&mut S`.
///
/// Dropping the loop drops every closure and every source exactly once, on this thread.
pub struct EventLoop<S = ()> {
    handle: LoopHandle<S>,
    state: S,
    events: Events,
    /// What is out of the inbox and not yet fed, because a tick takes a bounded bite.
    bite: VecDeque<(Sent<S>, &'static Location<'static>)>,
    /// Whether the doorbell has rung since the inbox was last taken.
    rang: bool,
    /// From what duration on a callback is reported, in the debug mode.
    slow: Option<Duration>,
    poll_fd: Option<Arc<OwnedFd>>,
    /// The callback that kept the loop alive when it was last asked.
    witness: u32,
}

impl EventLoop {
    /// A loop without state, with the best selector that the system has.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// A loop with other settings.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<S> EventLoop<S> {
    /// A loop that hands `&mut state` to every callback.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn with_state(state: S) -> Result<EventLoop<S>> {
        Builder::new().build_with(state)
    }

    pub(crate) fn assemble(
        handle: LoopHandle<S>,
        state: S,
        event_capacity: usize,
        slow: Option<Duration>,
    ) -> EventLoop<S> {
        let events = Events::with_capacity(event_capacity);
        let poll_fd = handle.core().watchers.borrow_mut().selector().shared_fd();
        let (bite, rang, witness) = (VecDeque::new(), false, 0);
        EventLoop { handle, state, events, bite, rang, slow, poll_fd, witness }
    }

    /// The handle that callbacks get, to be cloned and kept.
    pub fn handle(&self) -> &LoopHandle<S> {
        &self.handle
    }

    /// The state.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The state, to be changed.
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// Runs until [`stop`](LoopHandle::stop).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]; [`Error::Select`] if the selector has become unusable.
    pub fn run_forever(&mut self) -> Result<()> {
        loop {
            self.run_once(None)?;
            if self.handle.core().stopping.take() {
                return Ok(());
            }
        }
    }

    /// Runs until nothing is left that could ever call back, or [`stop`](LoopHandle::stop).
    ///
    /// What counts is what is queued, armed timers, watchers that are not paused, signal handlers, idle hooks and
    /// [`Remote`]s, except for those that were [`unref`](LoopHandle::unref)ed.
    ///
    /// # Errors
    ///
    /// As [`run_forever`](EventLoop::run_forever).
    pub fn run(&mut self) -> Result<()> {
        self.handle.core().check_open()?;
        while self.is_alive() || self.handle.is_stopping() {
            self.run_once(None)?;
            if self.handle.core().stopping.take() {
                break;
            }
        }
        Ok(())
    }

    /// Runs one tick, which sleeps for at most `timeout` (`None`: until something happens), and says how many
    /// handles it ran. For a loop that is driven by another one; see [`poll_fd`](EventLoop::poll_fd).
    ///
    /// # Errors
    ///
    /// As [`run_forever`](EventLoop::run_forever).
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<usize> {
        self.run_once(timeout)
    }

    /// The descriptor that is readable when [`turn`](EventLoop::turn) has an event to serve: an fd's, a signal's or another
    /// thread's. Deadlines are not in it, see [`next_deadline`](LoopHandle::next_deadline). None on poll and select, which
    /// have no kernel object.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.poll_fd.as_ref().map(|fd| fd.as_fd())
    }

    /// Whether anything is left that could call back; what [`run`](EventLoop::run) asks before each tick.
    pub fn is_alive(&mut self) -> bool {
        let core = self.handle.core();
        let inbox = &self.handle.shared.inbox;
        if !core.ready.borrow().is_empty() || !self.bite.is_empty() || self.rang {
            return true;
        }
        // In this order: a sender first leaves its item and then goes.
        if inbox.has_senders() || inbox.is_notified() {
            return true;
        }
        let callbacks = self.handle.shared.callbacks.borrow();
        let witness = callbacks.find(self.witness, |key, tenant| {
            !tenant.background && self.handle.can_be_called(key, tenant.source)
        });
        self.witness = witness.unwrap_or(0);
        witness.is_some()
    }

    /// Closes the loop: drops every closure and source, gives signals back, answers `Closed` to other threads from now on. Closing twice
    /// does nothing. Dropping the loop closes it.
    pub fn close(&mut self) {
        if self.handle.core().closed.replace(true) {
            return;
        }
        drop(self.handle.shared.inbox.close());
        self.bite = VecDeque::new();
        self.handle.forget_all();
    }

    fn run_once(&mut self, limit: Option<Duration>) -> Result<usize> {
        self.begin_tick()?;
        self.run_hooks(Hook::Prepare);
        let timeout = self.time_to_sleep(limit);
        self.select(timeout)?;
        self.run_hooks(Hook::Check);
        self.feed_watchers()?;
        self.feed_inbox();
        self.handle.core().feed_timers();
        self.feed_idle();
        Ok(self.run_batch())
    }

    fn begin_tick(&self) -> Result<()> {
        let core = self.handle.core();
        core.tick.set(core.tick.get().wrapping_add(1));
        core.check_open()
    }

    /// Zero if anything is ready, else the time to the first deadline; `None` is "until an event".
    fn time_to_sleep(&self, limit: Option<Duration>) -> Option<Duration> {
        let core = self.handle.core();
        let has_work = !core.ready.borrow().is_empty()
            || !self.bite.is_empty()
            || self.rang
            || core.stopping.get()
            || self.handle.has_hook(Hook::Idle);
        if has_work {
            return Some(Duration::ZERO);
        }
        match (core.time_to_deadline(), limit) {
            (Some(deadline), Some(limit)) => Some(deadline.min(limit)),
            (deadline, limit) => deadline.or(limit),
        }
    }

    /// The only place that sleeps.
    fn select(&mut self, timeout: Option<Duration>) -> Result<()> {
        let core = self.handle.core();
        let clock = core.timeline.clock();
        let mut watchers = core.watchers.borrow_mut();
        let allowed = clock.allow(timeout);
        watchers.selector().select(&mut self.events, allowed).map_err(Error::Select)?;
        if self.events.is_empty() && timeout != Some(Duration::ZERO) {
            clock.idle(timeout);
        }
        Ok(())
    }

    fn feed_watchers(&mut self) -> Result<()> {
        let core = self.handle.core();
        let Fed { doorbells, strangers } =
            core.watchers.borrow().feed(&self.events, &mut core.ready.borrow_mut());
        if doorbells != 0 {
            self.feed_doorbells(doorbells)?;
        }
        if strangers {
            self.handle.core().rebuild()?;
        }
        Ok(())
    }

    fn feed_doorbells(&mut self, doorbells: u16) -> Result<()> {
        let core = self.handle.core();
        if doorbells & bit(INBOX) != 0 {
            self.handle.shared.inbox.answer().map_err(Error::Select)?;
            self.rang = true;
        }
        if doorbells & bit(SIGNALS) != 0 {
            let mut signals = core.signals.borrow_mut();
            signals.feed(&mut core.ready.borrow_mut()).map_err(Error::Select)?;
        }
        Ok(())
    }

    /// Takes a bite of what other threads have sent.
    fn feed_inbox(&mut self) {
        if self.bite.is_empty() && (self.rang || self.handle.shared.inbox.was_not_rung_for()) {
            self.rang = false;
            self.handle.shared.inbox.take(&mut self.bite);
        }
        let bite = self.bite.len().min(self.handle.core().limits.inbox_batch);
        for (sent, location) in self.bite.drain(..bite) {
            self.handle.insert_soon(sent, location);
        }
    }

    fn feed_idle(&self) {
        if self.handle.core().ready.borrow().is_empty() {
            self.handle.hooks(Hook::Idle).into_iter().for_each(|key| self.handle.core().feed(key));
        }
    }

    /// Runs what is ready now; what is added meanwhile waits for the next tick.
    fn run_batch(&mut self) -> usize {
        let batch = self.handle.core().ready.borrow().batch();
        let mut ran = 0;
        for _ in 0..batch {
            let Some(ready) = self.handle.core().pop() else { break };
            ran += usize::from(self.call(ready));
        }
        let core = self.handle.core();
        core.ready.borrow_mut().end_batch(batch);
        core.interest_changed.set(false);
        ran
    }

    fn run_hooks(&mut self, hook: Hook) {
        for key in self.handle.hooks(hook) {
            self.call(Ready { key, readiness: Readiness::empty() });
        }
    }

    /// The only place that calls user code. False if there was nothing to call any more.
    fn call(&mut self, ready: Ready) -> bool {
        match self.slow {
            None => self.dispatch(ready),
            Some(limit) => self.dispatch_timed(ready, limit),
        }
    }

    fn dispatch(&mut self, ready: Ready) -> bool {
        match self.handle.begin(ready) {
            None => return false,
            Some(Due::Repeat(callback, readiness, origin)) => {
                self.repeat(ready.key, callback, readiness, origin);
            }
            Some(Due::Once(once, origin)) => self.once(once, origin),
            Some(Due::Invalid(fd, origin)) => self.end(ready.key, origin, invalid(fd)),
        }
        true
    }

    /// In the debug mode: reports a callback that keeps the loop from everything else.
    fn dispatch_timed(&mut self, ready: Ready, limit: Duration) -> bool {
        let origin = self.handle.origin_of(ready.key);
        let began = self.handle.now();
        let ran = self.dispatch(ready);
        let took = self.handle.now().saturating_duration_since(began);
        if let (true, Some(origin)) = (took >= limit, origin) {
            self.report(origin.report(Error::Slow(took)));
        }
        ran
    }

    fn once(&mut self, once: Once<S>, origin: Origin) {
        let policy = self.handle.shared.panic_policy.get();
        if let Err(error) = guard(policy, || once(&self.handle, &mut self.state)) {
            self.report(origin.report(error));
        }
    }

    fn repeat(
        &mut self,
        key: Key,
        mut callback: Box<dyn Repeat<S>>,
        readiness: Readiness,
        origin: Origin,
    ) {
        let policy = self.handle.shared.panic_policy.get();
        let unwinding = Unwinding { handle: &self.handle, key };
        let run = || callback.call(&self.handle, &mut self.state, readiness);
        let flow = guard(policy, run);
        mem::forget(unwinding);
        match flow {
            Ok(Flow::Stay) => {}
            Ok(Flow::Leave) => drop(self.handle.forget(key)),
            Err(error) => self.end(key, origin, error),
        }
        self.handle.put_back(key, Callback::Repeat(callback));
    }

    /// Ends a registration because of `error`. A callback may have ended it itself before it failed; its error counts all the same.
    fn end(&mut self, key: Key, unnamed: Origin, error: Error) {
        let origin = self.handle.origin_of(key).unwrap_or(unnamed);
        self.handle.forget(key);
        self.report(origin.report(error));
    }

    fn report(&mut self, report: Report) {
        self.handle.report(&mut self.state, report);
    }
}

/// Ends the registration of a callback that unwinds, before the callback and its source are dropped.
struct Unwinding<'a, S> {
    handle: &'a LoopHandle<S>,
    key: Key,
}

impl<S> Drop for Unwinding<'_, S> {
    fn drop(&mut self) {
        self.handle.forget(self.key);
    }
}

/// Runs user code as the policy says.
fn guard<T>(policy: PanicPolicy, run: impl FnOnce() -> Result<T>) -> Result<T> {
    if policy == PanicPolicy::Propagate {
        return run();
    }
    // What the closure leaves half-changed is the user's own; the loop's tables are not in its reach.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        if policy == PanicPolicy::Abort {
            process::abort(); // The panic hook has printed the message.
        }
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Err(Error::Panicked(text.unwrap_or("with a value that is no text").to_owned()))
    })
}

fn invalid(fd: RawFd) -> Error {
    let source = io::Error::other("it was closed while it was watched");
    Error::Watch { operation: "watch", fd, source }
}

impl<S> Deref for EventLoop<S> {
    type Target = LoopHandle<S>;

    fn deref(&self) -> &LoopHandle<S> {
        &self.handle
    }
}

impl<S> Drop for EventLoop<S> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<S> fmt::Debug for EventLoop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("handle", &self.handle)
            .field("closed", &self.handle.is_closed())
            .finish_non_exhaustive()
    }
}
