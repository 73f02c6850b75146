//! The event loop: feeds everything that is due into the ready deque, and runs it.
//!
//! ```text
//!   kernel ── select ──► watchers ─── feed ──┐
//!   signals, children ─────────────── feed ──┤
//!   other threads ──► inbox ───────── feed ──┼──► ready ── run_batch ──► callbacks, tasks
//!   clock ──► timers ──────────────── feed ──┘
//! ```
//!
//! | file | |
//! |---|---|
//! | `run`, `tick`, `dispatch` | from a run to a tick, and from a ready key to user code |
//! | `agenda`, `messages` | what is queued, and "is there anything to do?" |
//! | `loop_core`, `loop_handle` | the data of a loop, without and with the type of the state |
//! | `registry`, `callback`, `source` | registrations: their slots, their closures, their sources |
//! | `schedule`, `due_timers` | timers |
//! | `wall`, `boot_time`, `clock_timers`, `timebases` | timers of other clocks |
//! | `watch`, `signals`, `children`, `hooks`, `remote` | the other calls that register |
//! | `report`, `exception_handler`, `contain` | errors and panics of user code |
//! | `metrics`, `snapshot`, `dump`, `diagnose` | numbers, lists and red flags |
//! | `stalled` | loops that nothing can wake |
//! | `recording`, `heartbeat` | what runs, for the tape and for other threads |
//!
//! # Invariants
//!
//! * `select` is the only place that sleeps.
//! * Callbacks run in `dispatch` only: one at a time, from the batch or as a hook of a tick.
//! * The exception handler runs in `LoopHandle::report`: after the callback that failed, or after
//!   the batch. The main future of `run_until_complete` is polled between two ticks. Both are as
//!   safe as a callback, because no callback is running and nothing is borrowed.
//! * While user code runs or is dropped, nothing of the loop is borrowed. A custom selector or
//!   clock is the exception: it is called by the loop, and must not call it.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use mainspring_sys::Events;

use self::loop_core::LoopCore;
use self::loop_handle::Shared;
use self::report::{Origin, internal};
use self::source::Source;
use crate::handle::Key;
use crate::ready::ReadyDeque;

mod agenda;
mod boot_time;
pub(crate) mod callback;
pub(crate) mod callback_result;
pub(crate) mod children;
mod clock_timers;
mod contain;
pub(crate) mod datagrams;
mod diagnose;
mod dispatch;
mod due_timers;
mod dump;
mod exception_handler;
mod failure;
mod fork;
mod heartbeat;
mod hooks;
mod interval;
pub(crate) mod loop_core;
mod loop_handle;
mod messages;
mod metrics;
mod name_map;
mod names;
mod poll_fd;
pub(crate) mod read_buffer;
mod rebuild;
mod recording;
mod registry;
mod remote;
mod remote_sites;
pub(crate) mod report;
mod report_log;
mod run;
mod schedule;
mod signals;
mod snapshot;
pub(crate) mod source;
mod stalled;
pub(crate) mod task_port;
mod tick;
pub(crate) mod timebases;
mod timer_queries;
mod wall;
mod watch;
mod watched;
mod watching;

pub use self::callback_result::CallbackResult;
pub use self::loop_handle::LoopHandle;
pub use self::poll_fd::PollFd;
pub use self::remote::Remote;
pub use self::report::{PanicPolicy, Report, ReportKind};
pub(crate) use self::report_log::print_outside;
pub(crate) use self::tick::Sleep;
pub use self::watched::Watched;

/// An event loop with user-defined state of type `S`.
///
/// Registration is done by the methods of [`LoopHandle`], to which a loop derefs. This type adds
/// what only the owner can do: run the loop, and access the state between runs. Callbacks get
/// `&LoopHandle<S>` and `&mut S`.
///
/// A loop stays on the thread that created it, and so does its handle. Other threads, and loops on
/// them, use a [`Remote`].
///
/// Dropping the loop drops every closure and every source exactly once, on this thread.
///
/// # Memory
///
/// After a peak a loop returns memory to the allocator, at an amortized cost of O(1) per ended
/// registration. The tables of callbacks, timers, tasks and watched fds then have room for about
/// four times their entries. A smaller table keeps room for about a thousand. A queue of due
/// callbacks that has grown beyond 16,384 entries gives its memory back when it is empty.
///
/// A registration cannot move, because its handle contains its position. So a registration that was
/// made at the peak, and lives on, keeps all positions before it: 48 bytes for a callback, 24 for a
/// timer, 32 for a task, and about 130 for a watched fd. New registrations use these positions
/// first. Each fd number up to the highest watched one takes 4 bytes.
pub struct EventLoop<S = ()> {
    handle: LoopHandle<S>,
    /// Same as `handle.core()`, without the indirection.
    core: Rc<LoopCore>,
    state: S,
    events: Events,
    /// The batch that runs. Empty between ticks.
    batch: ReadyDeque,
    /// Keys of the hooks that run. Empty otherwise, and kept for its memory.
    due_hooks: Vec<Key>,
    /// Time at which the last call has ended, until it is used. `None` if calls are not measured.
    lap: Cell<Option<u64>>,
    poll_fd: Option<PollFd>,
    /// Slot of the callback that kept the loop alive at the last check.
    last_alive: Cell<u32>,
    /// Slot of the callback that could wake the loop at the last check.
    last_source: Cell<u32>,
}

impl<S> EventLoop<S> {
    pub(crate) fn assemble(handle: LoopHandle<S>, state: S, event_capacity: usize) -> EventLoop<S> {
        let core = handle.core().clone();
        let poll_fd = core.watchers.borrow_mut().selector().poll_fd().map(PollFd);
        EventLoop {
            handle,
            core,
            state,
            events: Events::with_capacity(event_capacity),
            batch: ReadyDeque::default(),
            due_hooks: Vec::new(),
            lap: Cell::new(None),
            poll_fd,
            last_alive: Cell::new(0),
            last_source: Cell::new(0),
        }
    }

    /// Returns the handle that callbacks get, which can be cloned and kept.
    pub fn handle(&self) -> &LoopHandle<S> {
        &self.handle
    }

    /// Returns the state.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Returns the state, mutably.
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// Returns the descriptor that is readable when [`tick`](EventLoop::tick) has an event to
    /// serve: from an fd, a signal or another thread. It does not reflect deadlines, see
    /// [`next_deadline`](LoopHandle::next_deadline). `None` on poll and select, which have no
    /// kernel object, and for a closed loop.
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

    /// Closes the loop: drops every closure and source, restores signal dispositions, and makes
    /// calls from other threads return [`Error::Closed`](crate::Error::Closed). Jobs of the
    /// blocking pool that have not begun are dropped; running jobs are not awaited. Closing twice
    /// does nothing. Dropping the loop closes it.
    ///
    /// The loop's own descriptors are closed too, even if handles, transports or tasks outlive it.
    /// The exception is the wakeup, which stays open while a [`Remote`], a [`LoopHandle`] or a
    /// waker of a task could still use it.
    ///
    /// # Panics
    ///
    /// If a `Drop` panics under [`PanicPolicy::Propagate`]: after everything is dropped and
    /// restored, the first such panic unwinds.
    pub fn close(&mut self) {
        if self.core.closed.replace(true) {
            return;
        }
        let _running = self.enter();
        self.core.closing.set(true);
        self.close_inbox();
        let Shared { core, tasks, .. } = &*self.handle.shared;
        core.contain(|error| internal(ReportKind::Task, error), || tasks.close());
        // Ignored: the error names the jobs that still run.
        let _ = core.blocking_pool().close(Duration::ZERO);
        self.handle.remove_callbacks();
        // Before the exception handler is dropped, and again after it.
        let first = self.report_failures(None);
        self.handle.close_sources();
        let first = self.report_failures(first);
        self.core.flush_reports();
        if let Some(heartbeat) = self.core.heartbeat.take() {
            heartbeat.close();
        }
        self.poll_fd = None;
        self.core.closing.set(false);
        if let Some(payload) = first.filter(|_| !thread::panicking()) {
            resume_unwind(payload);
        }
    }

    /// Closes the inbox and drops all messages.
    fn close_inbox(&mut self) {
        let Shared { messages, inbox, .. } = &*self.handle.shared;
        let taken = messages.borrow_mut().take_all();
        for (call, location) in taken.into_iter().chain(inbox.close()) {
            self.handle.discard(Origin { source: Source::Soon, location }, None, call);
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
