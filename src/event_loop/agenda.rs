//! The agenda: the work of a loop, and every answer to "is there anything to do?".
//!
//! | question | answer |
//! |---|---|
//! | Does the next tick have work without an event or a deadline? | `LoopCore::has_work` |
//! | When is something due, regardless of descriptors? | [`LoopHandle::next_deadline`] |
//! | Can anything still call back? | [`EventLoop::is_alive`] |
//! | Can this registration still be called? | `LoopHandle::can_be_called` |
//! | Does this registration keep `run` going? | [`LoopHandle::keeps_running`] |
//!
//! # Invariants
//!
//! * Every queued callback, message and task has its key in the ready deque, or in the current
//!   batch. The rest of a batch that a panic or a fork interrupts goes back into the deque.
//! * While messages have no key yet, [`check_inbox`](Agenda::check_inbox) is set.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::time::Instant;

use mainspring_sys::Readiness;

use super::failure::Failure;
use super::source::{Hook, Source};
use super::{EventLoop, LoopHandle};
use crate::handle::{Handle, Key};
use crate::ready::ReadyDeque;

/// Queued work of a loop, and requests to its next tick.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Keys that are due, for the next batch.
    pub(crate) ready: RefCell<ReadyDeque>,
    /// True if the next tick must check the inboxes although no wakeup is pending: messages were
    /// left over, or senders saw the loop awake and did not wake it.
    pub(crate) check_inbox: Cell<bool>,
    /// Wakeups that were reported and are not drained, one bit each. A tick that a panic or an
    /// error ends leaves them to the next one, because an edge is not reported again.
    pending_wakeups: Cell<u16>,
    /// True if a stop was requested and no run has acted on it yet.
    stopping: Cell<bool>,
    /// Failures that wait for the end of the batch, oldest first.
    failures: RefCell<VecDeque<Failure>>,
    /// True if there are failures: checked in each tick, so it is one load.
    has_failures: Cell<bool>,
}

impl Agenda {
    /// Queues `key` for the next batch.
    #[inline]
    pub(crate) fn feed(&self, key: Key, readiness: Readiness) {
        self.ready.borrow_mut().feed(key, readiness);
    }

    /// Returns true if the next tick has something to run or to report.
    #[inline]
    fn is_queued(&self) -> bool {
        !self.ready.borrow().is_empty() || self.check_inbox.get() || self.has_failures()
    }

    /// Returns true if the next tick must not sleep.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.is_queued() || self.pending_wakeups.get() != 0 || self.stopping.get()
    }

    /// Requests the end of this run, or of the next one.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Returns true if a stop was requested, and forgets the request.
    #[inline]
    pub(crate) fn take_stop(&self) -> bool {
        self.stopping.take()
    }

    #[inline]
    pub(crate) fn add_wakeups(&self, wakeups: u16) {
        self.pending_wakeups.set(self.pending_wakeups.get() | wakeups);
    }

    #[inline]
    pub(crate) fn is_wakeup_pending(&self, wakeup: u16) -> bool {
        self.pending_wakeups.get() & wakeup != 0
    }

    #[inline]
    pub(crate) fn remove_wakeup(&self, wakeup: u16) {
        self.pending_wakeups.set(self.pending_wakeups.get() & !wakeup);
    }

    /// Forgets the wakeups of the parent process, and has the inboxes checked instead.
    pub(crate) fn after_fork(&self) {
        self.pending_wakeups.set(0);
        self.check_inbox.set(true);
    }

    pub(crate) fn push_failure(&self, failure: Failure) {
        self.failures.borrow_mut().push_back(failure);
        self.has_failures.set(true);
    }

    pub(crate) fn pop_failure(&self) -> Option<Failure> {
        let mut failures = self.failures.borrow_mut();
        let failure = failures.pop_front();
        self.has_failures.set(!failures.is_empty());
        failure
    }

    #[inline]
    pub(crate) fn has_failures(&self) -> bool {
        self.has_failures.get()
    }

    /// Passes the places of all failures to `visit`. A panic has no place.
    pub(super) fn for_each_failure(
        &self,
        mut visit: impl FnMut(Option<&'static Location<'static>>),
    ) {
        for failure in &*self.failures.borrow() {
            visit(match failure {
                Failure::Report(report) => Some(report.location),
                Failure::Panic(_) => None,
            });
        }
    }

    pub(crate) fn count_failures(&self) -> usize {
        self.failures.borrow().len()
    }

    pub(crate) fn is_panic_pending(&self) -> bool {
        self.failures.borrow().iter().any(|failure| matches!(failure, Failure::Panic(_)))
    }

    /// Forgets everything except the failures, for a loop that is being closed.
    pub(crate) fn clear(&self) {
        self.ready.borrow_mut().clear();
        self.check_inbox.set(false);
        self.pending_wakeups.set(0);
        self.stopping.set(false);
    }
}

impl<S> EventLoop<S> {
    /// Returns true if anything is left that could call back. [`run`](EventLoop::run) checks this
    /// before each tick. A queued callback counts until the next tick, even if it was cancelled.
    pub fn is_alive(&self) -> bool {
        let core = &self.core;
        if core.closed.get() {
            return false;
        }
        if core.agenda.is_queued() || core.datagrams.backoffs.get() > 0 {
            return true;
        }
        let shared = &self.handle.shared;
        // In this order: a sender sends its message first, and is dropped after that.
        if shared.inbox.has_senders() || shared.inbox.needs_check() || core.tasks_alive.get() > 0 {
            return true;
        }
        // The search begins at the callback that the last one found, and usually ends there.
        let found = shared.callbacks.borrow().find(self.last_alive.get(), |key, entry| {
            !entry.registered_at.is_background() && self.handle.can_be_called(key, entry.source)
        });
        self.last_alive.set(found.unwrap_or(0));
        found.is_some()
    }
}

/// # What keeps the loop running
impl<S> LoopHandle<S> {
    /// Returns the time at which the loop next has something to do, regardless of its descriptors.
    ///
    /// The result is the current time if anything is queued, a stop was requested, or an
    /// always-ready file is watched. Otherwise it is the deadline of the first timer, or `None`
    /// without a timer.
    ///
    /// A host that sleeps until then, or until [`poll_fd`](crate::EventLoop::poll_fd) is readable,
    /// misses nothing. An edge-triggered host follows
    /// [`PollFd`](crate::PollFd#how-a-host-drives-a-loop).
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = self.core();
        if core.has_work() || core.watchers.borrow().has_ready() {
            return Some(core.timeline.now());
        }
        let deadline = core.timers.borrow_mut().next_deadline();
        let deadline = deadline.into_iter().chain(core.hidden_deadline()).min()?;
        core.timeline.instant_of(deadline)
    }

    /// Returns true if `handle` keeps [`run`](crate::EventLoop::run) going: its registration can be
    /// called, and is [in the foreground](LoopHandle::is_foreground).
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::new()?;
    /// let timer = el.call_later(Duration::from_secs(3600), |_, _| {});
    /// assert!(el.keeps_running(timer) && el.is_alive());
    /// el.set_background(timer);
    /// assert!(!el.keeps_running(timer) && !el.is_foreground(timer) && !el.is_alive());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn keeps_running(&self, handle: impl Into<Handle>) -> bool {
        let handle = handle.into();
        let can_be_called = |source| self.can_be_called(handle.key, source);
        self.is_foreground(handle)
            && (handle.key.is_task_layer() || self.source_of(handle).is_some_and(can_be_called))
    }

    /// Returns true if the registration `key` can still be called. A timer without a deadline and a
    /// paused watcher cannot. Prepare and check hooks only accompany other work.
    pub(super) fn can_be_called(&self, key: Key, source: Source) -> bool {
        let core = self.core();
        match source {
            Source::Soon | Source::Signal(_) | Source::Child(_) | Source::Hook(Hook::Idle) => true,
            Source::Hook(Hook::Prepare | Hook::Check) => false,
            Source::Timer(timer) | Source::Interval(timer) => {
                core.is_armed(timer) || core.is_due(source)
            }
            Source::WallTimer(_) | Source::BootTimer(_) | Source::Schedule(_) => {
                let is_armed = |slot| core.timebases.deadline(slot).is_some();
                source.clock_slot().is_some_and(is_armed) || core.is_due(source)
            }
            Source::Watch(watcher) => !core.watchers.borrow().interest(watcher, key).is_empty(),
            Source::Stream(watcher) => core.watchers.borrow().is_wanted(watcher, key),
        }
    }
}
