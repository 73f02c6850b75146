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
//! * `select` is the only place that sleeps, `call` the only one that calls user code.
//! * While user code runs or is dropped, nothing of the loop is borrowed.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use mainspring_sys::Events;

use self::callback::Message;
use self::loop_core::LoopCore;
use self::loop_handle::Shared;
use self::report::{Origin, internal};
use self::source::Source;
use self::task_port::RunGuard;
use self::tick::Sleep;
use crate::error::Result;
use crate::handle::Key;
use crate::ready::ReadyDeque;

pub(crate) mod callback;
mod contain;
mod dispatch;
mod hooks;
pub(crate) mod loop_core;
mod loop_handle;
mod poll_fd;
mod queries;
pub(crate) mod read_buffer;
mod registry;
mod remote;
pub(crate) mod report;
mod report_log;
mod schedule;
pub(crate) mod source;
pub(crate) mod task_port;
mod tick;
mod watch;
mod watched;

pub use self::callback::CallbackResult;
pub use self::loop_handle::LoopHandle;
pub use self::poll_fd::PollFd;
pub use self::remote::Remote;
pub use self::report::{PanicPolicy, Report, ReportKind};
pub(crate) use self::report_log::print_outside;
pub use self::watched::Watched;

/// An event loop with the state `S` of its user.
///
/// Everything that can be registered is a method of [`LoopHandle`], to which a loop derefs. What
/// only the owner can do is here: running it, and reaching the state between runs. Arena get
/// `&LoopHandle<S>` and `&mut S`.
///
/// A loop stays on the thread that has made it, and so does its handle; other threads, other loops
/// among them, have a [`Remote`].
///
/// Dropping the loop drops every closure and every source exactly once, on this thread.
///
/// # Memory
///
/// A loop gives the memory of a peak back to the allocator, at a cost of O(1) amortized for each
/// registration that ends. After it the tables of callbacks, timers, tasks and watched fds have room
/// for about four times what they hold, or for about a thousand entries each if that is more. Queues
/// of callbacks that are due give back what they took for more than 16,384 callbacks once they are
/// empty.
///
/// A registration cannot move, because its handle names its place. So one that was made at the
/// peak, and lives on, keeps the places of those before it: 48 bytes for a callback, 24 for a
/// timer, 32 for a task, and about 130 for a watched fd. New registrations take these places first.
/// Each number up to the highest fd that is watched takes 4 bytes.
pub struct EventLoop<S = ()> {
    handle: LoopHandle<S>,
    /// The handle's, nearer at hand.
    core: Rc<LoopCore>,
    state: S,
    events: Events,
    /// What is out of the inbox and has not had its turn, in order.
    bite: VecDeque<Message<S>>,
    /// How much of it is in the ready deque, because a tick takes a bounded bite.
    bite_fed: usize,
    /// The batch under way.
    batch: ReadyDeque,
    /// The hooks that are run now: a list that is kept for its memory.
    due_hooks: Vec<Key>,
    /// From what duration on a callback is reported, in the debug mode.
    slow: Option<Duration>,
    poll_fd: Option<PollFd>,
    /// The callback that kept the loop alive when it was last asked.
    last_alive: Cell<u32>,
}

impl<S> EventLoop<S> {
    pub(crate) fn assemble(
        handle: LoopHandle<S>,
        state: S,
        event_capacity: usize,
        slow: Option<Duration>,
    ) -> EventLoop<S> {
        let events = Events::with_capacity(event_capacity);
        let core = handle.core().clone();
        let poll_fd = core.watchers.borrow_mut().selector().poll_fd().map(PollFd);
        let (bite, batch, due_hooks) = (VecDeque::new(), ReadyDeque::default(), Vec::new());
        let (bite_fed, last_alive) = (0, Cell::new(0));
        EventLoop {
            handle,
            core,
            state,
            events,
            bite,
            bite_fed,
            batch,
            due_hooks,
            slow,
            poll_fd,
            last_alive,
        }
    }

    /// Makes this the loop that runs on this thread, while the answer lives.
    pub(crate) fn enter(&self) -> RunGuard {
        RunGuard::enter(&self.handle.shared.tasks)
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
    /// [`Error::Closed`](crate::Error::Closed); [`Error::Forked`](crate::Error::Forked) in a child
    /// before [`after_fork_child`](LoopHandle::after_fork_child);
    /// [`Error::Select`](crate::Error::Select) if the selector has become unusable.
    pub fn run_forever(&mut self) -> Result<()> {
        let _running = self.enter();
        self.contained(|el| {
            loop {
                el.run_once(None)?;
                if el.core.stopping.take() {
                    return Ok(());
                }
            }
        })
    }

    /// Runs until nothing is left that could ever call back, or [`stop`](LoopHandle::stop).
    ///
    /// What counts is what is queued, tasks, armed timers, watchers that are not paused, signal
    /// handlers, idle hooks and [`Remote`]s, except for those in the
    /// [background](LoopHandle::set_background).
    /// A tick asks again after its prepare hooks: if one of them has ended the last of these, the
    /// tick does not sleep.
    ///
    /// # Errors
    ///
    /// As [`run_forever`](EventLoop::run_forever).
    pub fn run(&mut self) -> Result<()> {
        self.core.check_open()?;
        let _running = self.enter();
        self.contained(|el| {
            while el.is_alive() || el.handle.is_stopping() {
                el.run_tick(None, Sleep::WhileAlive)?;
                if el.core.stopping.take() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Runs one tick, which sleeps for at most `timeout` (`None`: until something happens). Returns
    /// the number of handles that it ran; 0 if nothing was ready. For a loop inside another one: one
    /// that is told of edges only turns until this returns 0, see [`PollFd`].
    ///
    /// # Errors
    ///
    /// As [`run_forever`](EventLoop::run_forever).
    pub fn tick(&mut self, timeout: Option<Duration>) -> Result<usize> {
        let _running = self.enter();
        self.contained(|el| el.run_once(timeout))
    }

    /// Returns the descriptor that is readable when [`tick`](EventLoop::tick) has an event to serve:
    /// an fd's, a signal's or another thread's. Deadlines are not in it, see
    /// [`next_deadline`](LoopHandle::next_deadline). None on poll and select, which have no kernel
    /// object, and on a closed loop.
    ///
    /// [`PollFd`] describes how another loop drives this one.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::{Duration, Instant};
    ///
    /// let mut el = EventLoop::with_state(0)?;
    /// el.call_later(Duration::from_millis(5), |_, ran| *ran += 1);
    /// let fd = el.poll_fd(); // for the host's own selector
    /// while let Some(deadline) = el.next_deadline() {
    ///     std::thread::sleep(deadline.saturating_duration_since(Instant::now())); // the host's sleep
    ///     el.tick(Some(Duration::ZERO))?;
    /// }
    /// assert_eq!(*el.state(), 1);
    /// # drop(fd);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn poll_fd(&self) -> Option<PollFd> {
        self.poll_fd.clone()
    }

    /// Whether anything is left that could call back; what [`run`](EventLoop::run) asks before each
    /// tick.
    pub fn is_alive(&self) -> bool {
        let core = &self.core;
        if core.closed.get() {
            return false;
        }
        let inbox = &self.handle.shared.inbox;
        let queued = !core.ready.borrow().is_empty() || core.batch_left.get() > 0;
        if queued || core.check_inbox.get() || core.has_failures() {
            return true;
        }
        // In this order: a sender first leaves its item and then goes.
        if inbox.has_senders() || inbox.needs_check() || self.handle.shared.tasks.is_alive() {
            return true;
        }
        let callbacks = self.handle.shared.callbacks.borrow();
        let last_alive = callbacks.find(self.last_alive.get(), |key, entry| {
            !entry.background && self.handle.can_be_called(key, entry.source)
        });
        self.last_alive.set(last_alive.unwrap_or(0));
        last_alive.is_some()
    }

    /// Closes the loop: drops every closure and source, gives signals back, answers `Closed` to
    /// other threads from now on. Jobs of the executor that have not begun are dropped; nobody waits
    /// for those that run. Closing twice does nothing. Dropping the loop closes it.
    ///
    /// The descriptors of the loop itself are closed as well, even if handles, transports or tasks
    /// outlive it. The exception is the doorbell, which stays open while a [`Remote`], a
    /// [`LoopHandle`] or a waker of a task could still ring it.
    ///
    /// # Panics
    ///
    /// If the `Drop` of something panics, under [`PanicPolicy::Propagate`]: after everything is
    /// dropped and given back, the first such panic unwinds.
    pub fn close(&mut self) {
        if self.core.closed.replace(true) {
            return;
        }
        let _running = self.enter();
        self.core.closing.set(true);
        self.forget_sent();
        let Shared { core, tasks, .. } = &*self.handle.shared;
        core.contain(|error| internal(ReportKind::Task, error), || tasks.close());
        // The jobs that still run are not waited for, so that they are no error here.
        let _ = core.blocking_pool().close(Duration::ZERO);
        self.handle.forget_callbacks();
        let first = self.report_failures(None);
        self.handle.forget_all();
        let first = self.report_failures(first);
        self.core.flush_reports();
        self.poll_fd = None;
        self.core.closing.set(false);
        if let Some(payload) = first.filter(|_| !thread::panicking()) {
            resume_unwind(payload);
        }
    }

    /// Drops what other threads have sent.
    fn forget_sent(&mut self) {
        let sent = mem::take(&mut self.bite).into_iter().chain(self.handle.shared.inbox.close());
        for (closure, location) in sent {
            self.handle.discard(Origin { source: Source::Soon, location }, None, closure);
        }
    }
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
