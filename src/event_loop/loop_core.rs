//! What the loop consists of besides closures and state: the sources, the ready deque, the clock.
//!
//! None of it knows the state type, so whatever works on it (watched sources, transports) need not
//! know it either.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainspring_sys::process::Process;
use mainspring_sys::selector::poll::Poll;
use mainspring_sys::{AnySelector, Interest, Readiness, Signal, Token};

use super::contain::Failure;
use super::report::PanicPolicy;
use super::report_log::ReportLog;
use super::source::Source;
use super::task_port::TaskLayer;
use crate::blocking::BlockingPool;
use crate::clock::Timeline;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::{Ready, ReadyDeque};
use crate::signals::Signals;
use crate::timers::{TimerSlot, Timers};
use crate::watchers::{Registration, WatcherId, Watchers, internal_token, is_solicited};

/// The token of the doorbell of other threads.
pub(crate) const INBOX: Token = internal_token(0);
/// The token of the doorbell of signal handlers.
pub(crate) const SIGNALS: Token = internal_token(1);

/// Settings of a loop that are read while it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections that a listener accepts in a tick.
    pub(crate) accept_batch: usize,
    /// Closures of other threads that are run in a tick.
    pub(crate) inbox_batch: usize,
    /// Bytes that a transport reads at once.
    pub(crate) read_buffer: usize,
    /// True if reports include the disconnects of peers.
    pub(crate) report_disconnects: bool,
    /// True in the debug mode.
    pub(crate) debug: bool,
}

pub(crate) struct LoopCore {
    /// The number of the loop in this process, carried by its handles.
    pub(crate) loop_id: u32,
    pub(crate) limits: Limits,
    pub(crate) timeline: Timeline,
    pub(crate) ready: RefCell<ReadyDeque>,
    pub(crate) watchers: RefCell<Watchers>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) signals: RefCell<Signals>,
    executor: BlockingPool,
    pub(crate) stopping: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    /// The process whose loop this is. The copy in a forked child is unusable until it is the
    /// child's own.
    process: Cell<Process>,
    /// How many handles of the batch under way are still to run; what is left of one that a panic
    /// has ended runs in the next tick.
    pub(crate) batch_left: Cell<usize>,
    /// How many hooks there are.
    pub(crate) hooks: Cell<usize>,
    /// Whether the next tick has to look for work of other threads without a ring: because a tick
    /// takes a bounded bite of it, or because they know that the loop is awake.
    pub(crate) check_inbox: Cell<bool>,
    /// The doorbells that rang and were not answered yet, a bit for each. By edges they ring once: a
    /// tick that a panic or an error ends leaves them to the next one.
    pub(crate) pending_wakeups: Cell<u16>,
    /// Whether an event found nobody: then the next ones are looked at closely.
    pub(crate) saw_unknown_key: Cell<bool>,
    /// The callback that runs.
    pub(crate) current: Cell<Key>,
    /// The number of the tick.
    pub(crate) tick: Cell<u64>,
    /// Whether an interest changed since the last batch ended: then what is queued is looked at
    /// again.
    pub(crate) interest_changed: Cell<bool>,
    /// The replacement of the callback that runs, if it has one: the key of the running callback,
    /// and the key of the callback that gets its source.
    pub(crate) heir: Cell<Option<(Key, Key)>>,
    /// Ticks that the interval now running has missed.
    pub(crate) skipped_ticks: Cell<u64>,
    /// Failures that wait for the end of the batch, oldest first.
    pub(crate) failures: RefCell<VecDeque<Failure>>,
    pub(crate) panic_policy: Cell<PanicPolicy>,
    /// True while the loop is being closed: a panic then waits until everything is dropped.
    pub(crate) closing: Cell<bool>,
    /// Counts of reports that go to standard error.
    pub(super) log: RefCell<ReportLog>,
    /// The read buffer of all transports; it is out while one of them uses it.
    pub(crate) read_buffer: Cell<Vec<u8>>,
}

impl fmt::Debug for LoopCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopCore(loop {})", self.loop_id)
    }
}

impl LoopCore {
    pub(crate) fn new(
        watchers: Watchers,
        timeline: Timeline,
        executor: BlockingPool,
        limits: Limits,
    ) -> Rc<LoopCore> {
        static LOOPS: AtomicU32 = AtomicU32::new(0);
        Rc::new(LoopCore {
            loop_id: LOOPS.fetch_add(1, Ordering::Relaxed),
            limits,
            timeline,
            ready: RefCell::default(),
            watchers: RefCell::new(watchers),
            timers: RefCell::default(),
            signals: RefCell::default(),
            executor,
            stopping: Cell::new(false),
            closed: Cell::new(false),
            process: Cell::new(Process::current()),
            batch_left: Cell::new(0),
            hooks: Cell::new(0),
            check_inbox: Cell::new(false),
            pending_wakeups: Cell::new(0),
            saw_unknown_key: Cell::new(false),
            current: Cell::new(Key::NONE),
            tick: Cell::new(0),
            interest_changed: Cell::new(false),
            heir: Cell::new(None),
            skipped_ticks: Cell::new(0),
            failures: RefCell::default(),
            panic_policy: Cell::default(),
            closing: Cell::new(false),
            log: RefCell::default(),
            read_buffer: Cell::default(),
        })
    }

    /// Returns true for an error that no report is wanted of.
    pub(crate) fn is_everyday(&self, error: &Error) -> bool {
        error.is_disconnect() && !self.limits.report_disconnects
    }

    pub(crate) fn blocking_pool(&self) -> &BlockingPool {
        &self.executor
    }

    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.get() || self.is_forked() { Err(self.unusable()) } else { Ok(()) }
    }

    #[cold]
    fn unusable(&self) -> Error {
        if self.closed.get() { Error::Closed } else { Error::Forked }
    }

    /// True in a forked child until the loop is its own.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.get().is_current()
    }

    /// Has the copy of a forked child ask the kernel by objects of its own, for what was registered.
    pub(crate) fn after_fork(&self) -> Result<()> {
        let refused = |source| Error::Create { part: "copy after a fork", source };
        self.signals.borrow_mut().after_fork().map_err(refused)?;
        let ready = &mut self.ready.borrow_mut();
        self.watchers.borrow_mut().rebuild(ready).map_err(refused)?;
        self.pending_wakeups.set(0); // The bells that rang were the parent's.
        self.saw_unknown_key.set(false);
        self.check_inbox.set(true);
        self.process.set(Process::current());
        Ok(())
    }

    #[inline]
    pub(crate) fn feed(&self, key: Key) {
        self.feed_as(key, Readiness::empty());
    }

    #[inline]
    pub(crate) fn feed_as(&self, key: Key, readiness: Readiness) {
        self.ready.borrow_mut().feed(key, readiness);
    }

    /// Registers a callback for `fd`.
    pub(crate) fn register(&self, fd: RawFd, registration: Registration) -> Result<WatcherId> {
        self.check_open()?;
        let ready = &mut self.ready.borrow_mut();
        self.watchers.borrow_mut().register(fd, registration, ready)
    }

    pub(crate) fn set_interest(
        &self,
        watch: WatcherId,
        key: Key,
        interest: Interest,
    ) -> Result<()> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        self.interest_changed.set(true);
        let ready = &mut self.ready.borrow_mut();
        self.watchers.borrow_mut().set_interest(watch, key, interest, ready)
    }

    pub(crate) fn replace_key(&self, watch: WatcherId, old: Key, new: Key) {
        let ready = &mut self.ready.borrow_mut();
        self.watchers.borrow_mut().replace_key(watch, old, new, ready);
    }

    /// Notes that the source of `old` goes to `new`. A replacement that still waits for its source
    /// gives way to its own replacement, so there is one at most.
    pub(crate) fn set_replacement(&self, old: Key, new: Key) {
        let running = self.heir.get().filter(|(_, heir)| *heir == old);
        self.heir.set(Some((running.map_or(old, |(running, _)| running), new)));
    }

    /// Takes the replacement of a callback that has returned, if it has one.
    pub(crate) fn take_replacement(&self, key: Key) -> Option<Key> {
        let (_, heir) = self.heir.get().filter(|(running, _)| *running == key)?;
        self.heir.set(None);
        Some(heir)
    }

    /// Returns the key of the callback that owns the source of the running callback `key` by now.
    pub(crate) fn current_owner(&self, key: Key) -> Key {
        self.heir.get().filter(|(running, _)| *running == key).map_or(key, |(_, heir)| heir)
    }

    /// Adds a handler of a signal, behind a doorbell that is watched like any other fd.
    pub(crate) fn add_signal(&self, signal: Signal, key: Key) -> Result<()> {
        let mut signals = self.signals.borrow_mut();
        let mut watchers = self.watchers.borrow_mut();
        if let Some((doorbell, mode)) = signals.open(&mut **watchers.selector(), SIGNALS)? {
            watchers.add_internal(doorbell, SIGNALS, mode);
        }
        signals.add(signal, key)
    }

    /// Forgets the doorbell of signals, which the next call closes.
    pub(crate) fn unwatch_signals(&self) {
        if let Some((doorbell, _)) = self.signals.borrow().wakeup() {
            self.watchers.borrow_mut().remove_internal(doorbell);
        }
    }

    pub(crate) fn close_signals(&self) {
        self.signals.borrow_mut().close();
    }

    /// Closes the kernel objects of the selector, for a loop without registrations.
    pub(crate) fn close_selector(&self) {
        *self.watchers.borrow_mut().selector() = AnySelector::Other(Box::new(Poll::new()));
    }

    /// Has the kernel forget registrations that nobody knows.
    pub(crate) fn rebuild(&self) -> Result<()> {
        let ready = &mut self.ready.borrow_mut();
        self.watchers.borrow_mut().rebuild(ready).map_err(Error::Select)
    }

    /// With what a queued handle is still to run: not if its watcher was paused or its timer moved
    /// since it was fed.
    #[inline]
    pub(crate) fn readiness_if_due(&self, source: Source, ready: Ready) -> Option<Readiness> {
        let due = match source {
            Source::Watch(watch)
                if self.interest_changed.get() || !is_solicited(ready.readiness) =>
            {
                return self.still_wanted(watch, ready);
            }
            Source::Watch(_) => !ready.readiness.is_empty(),
            Source::Timer(timer) | Source::Interval(timer) => {
                self.timers.borrow_mut().take_fed(timer)
            }
            Source::Stream(_) | Source::Soon | Source::Signal(_) | Source::Hook(_) => true,
        };
        due.then_some(ready.readiness)
    }

    #[cold]
    fn still_wanted(&self, watch: WatcherId, ready: Ready) -> Option<Readiness> {
        let wanted = self.watchers.borrow().still_wanted(watch, ready);
        (!wanted.is_empty()).then_some(wanted)
    }

    /// A handle is gone: false. If an event was for it, either its callback was removed since, or
    /// nobody has known it.
    #[cold]
    pub(crate) fn note_unknown_key(&self, ready: Ready) -> bool {
        if !ready.readiness.is_empty() {
            self.saw_unknown_key.set(true);
        }
        false
    }

    pub(crate) fn unwatch(&self, watch: WatcherId, key: Key) {
        self.watchers.borrow_mut().remove(watch, key, &mut self.ready.borrow_mut());
    }

    /// Whether the next tick has something to do without any event or deadline.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty()
            || self.batch_left.get() > 0
            || self.check_inbox.get()
            || self.pending_wakeups.get() != 0
            || self.stopping.get()
            || self.has_failures()
    }

    /// How long nothing is due; `None` is "until an event".
    #[inline]
    pub(crate) fn time_to_deadline(&self) -> Option<Duration> {
        let deadline = self.timers.borrow_mut().next_deadline()?;
        Some(Duration::from_nanos(deadline.saturating_sub(self.timeline.now_nanos())))
    }

    /// A tick without timers reads no clock.
    #[inline]
    pub(crate) fn feed_timers(&self, tasks: &dyn TaskLayer) {
        if self.timers.borrow().is_any_armed() {
            self.feed_due(tasks);
        }
    }

    #[inline(never)]
    fn feed_due(&self, tasks: &dyn TaskLayer) {
        let mut ready = self.ready.borrow_mut();
        let now = self.timeline.now_nanos();
        let mut reports_due = false;
        self.timers.borrow_mut().feed(now, |key| match key.is_task_layer() {
            true if key == Key::REPORTS => reports_due = true,
            true => tasks.feed_timer(key, &mut ready),
            false => ready.feed(key, Readiness::empty()),
        });
        if reports_due {
            self.flush_reports();
        }
    }

    /// True if a timer has a deadline, however far away.
    pub(crate) fn is_armed(&self, timer: TimerSlot) -> bool {
        self.timers.borrow().deadline(timer).is_some()
    }
}
