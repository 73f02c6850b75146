//! The part of a loop that does not depend on its state type `S`: sources, agenda, clock, settings.
//!
//! Code that works on it (watched sources, transports, tasks) needs no type parameter either.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainspring_sys::child::ExitWatchKind;
use mainspring_sys::process::Process;
use mainspring_sys::selector::poll::Poll;
use mainspring_sys::{AnySelector, Interest, Readiness, Token};

use super::agenda::Agenda;
use super::datagrams::Datagrams;
use super::hooks::Hooks;
use super::report::{PanicPolicy, Report};
use super::report_log::{self, ReportLog};
use super::source::{Hook, Source};
use super::timebases::Timebases;
use crate::blocking::BlockingPool;
use crate::children::Children;
use crate::clock::{JumpNotice, Timebase, Timeline};
use crate::diagnosis::History;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::metrics::Page;
use crate::ready::Ready;
use crate::signals::Signals;
use crate::tape::Recording;
use crate::timers::{TimerSlot, Timers};
use crate::watchdog::Heartbeat;
use crate::watchers::{Registration, WatcherId, Watchers, internal_token, is_solicited};

/// The token of the wakeup of other threads.
pub(crate) const INBOX: Token = internal_token(0);
/// The token of the wakeup of signal handlers.
pub(crate) const SIGNALS: Token = internal_token(1);
/// The token of the watch of processes.
pub(crate) const CHILDREN: Token = internal_token(2);
/// The tokens of the kernel's timers of other clocks, by [`Timebase`].
pub(crate) const TIMEBASES: [Token; Timebase::ALL.len()] = [internal_token(3), internal_token(4)];

/// Settings of a loop that are read while it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Connections that a listener accepts in a tick, at most.
    pub(crate) accept_batch: usize,
    /// Messages from other threads that run in a tick, at most.
    pub(crate) inbox_batch: usize,
    /// Size of the read buffer in bytes.
    pub(crate) read_buffer: usize,
    /// True if reports include the disconnects of peers.
    pub(crate) report_disconnects: bool,
    /// True in debug mode.
    pub(crate) debug: bool,
    /// True if the selector is a custom one, which may call the loop while it waits.
    pub(crate) custom_selector: bool,
    /// True if the lines where tasks wait are kept.
    pub(crate) await_lines: bool,
    /// Duration from which a callback is reported as slow; `None` outside of debug mode.
    pub(crate) slow: Option<Duration>,
    /// Mechanism that reports the end of processes; `None` for the best one.
    pub(crate) exit_watch: Option<ExitWatchKind>,
}

/// The part of a loop that does not depend on its state type.
pub(crate) struct LoopCore {
    /// Id of the loop in this process. Handles contain it.
    pub(crate) loop_id: u32,
    pub(crate) settings: Settings,
    pub(crate) timeline: Timeline,
    pub(crate) agenda: Agenda,
    pub(crate) watchers: RefCell<Watchers>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) timebases: Timebases,
    pub(crate) signals: RefCell<Signals>,
    pub(crate) children: RefCell<Children>,
    /// Timer of the watched processes; `None` before its first use.
    pub(crate) children_timer: Cell<Option<TimerSlot>>,
    pub(crate) hooks: Hooks,
    blocking_pool: BlockingPool,
    pub(crate) closed: Cell<bool>,
    /// True while the loop is being closed: a panic then waits until everything is dropped.
    pub(crate) closing: Cell<bool>,
    /// The process that the loop belongs to. A copy in a forked child is unusable until
    /// `after_fork_child` makes it the child's.
    pub(crate) process: Cell<Process>,
    /// Key of the callback that runs; [`Key::NONE`] outside of callbacks.
    pub(crate) current: Cell<Key>,
    /// Number of tasks that keep the loop running.
    pub(crate) tasks_alive: Cell<usize>,
    /// Number of the tick. A copy of the one in `page`, which is one load further away.
    tick: Cell<u64>,
    /// The numbers that [`Metrics`](crate::Metrics) reads.
    pub(crate) page: Arc<Page>,
    /// True if the clock is read around each call: for slow calls, numbers, or the tape.
    pub(crate) is_timed: Cell<bool>,
    /// True if calls are timed, the lines where tasks wait are kept, or the tick is sampled.
    pub(crate) is_instrumented: Cell<bool>,
    /// The tape, if turns are recorded.
    pub(crate) tape: OnceCell<Recording>,
    pub(crate) heartbeat: RefCell<Option<Heartbeat>>,
    /// True in a sampled tick, which observes calls for the next diagnosis.
    pub(crate) is_sampling: Cell<bool>,
    /// Data of the last diagnosis; `None` before the first one.
    pub(crate) history: RefCell<Option<History>>,
    /// True if an event found no callback: the next events are checked for unknown keys.
    pub(super) saw_unknown_key: Cell<bool>,
    /// True if an interest changed since the last batch ended: queued events are checked again
    /// before they run.
    pub(crate) interest_changed: Cell<bool>,
    /// Replacement of the running callback: (running key, replacement key).
    replacement: Cell<Option<(Key, Key)>>,
    /// Number of ticks that the running interval has skipped; 0 in any other callback.
    pub(crate) skipped_ticks: Cell<u64>,
    pub(crate) panic_policy: Cell<PanicPolicy>,
    /// Counts of reports on standard error.
    log: RefCell<ReportLog>,
    /// The read buffer of all transports. Empty while one of them uses it.
    pub(crate) read_buffer: Cell<Box<[u8]>>,
    pub(crate) datagrams: Datagrams,
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
        blocking_pool: BlockingPool,
        settings: Settings,
    ) -> Rc<LoopCore> {
        static LOOPS: AtomicU32 = AtomicU32::new(0);
        let core = Rc::new(LoopCore {
            loop_id: LOOPS.fetch_add(1, Ordering::Relaxed),
            settings,
            timeline,
            agenda: Agenda::default(),
            watchers: RefCell::new(watchers),
            timers: RefCell::default(),
            timebases: Timebases::default(),
            signals: RefCell::default(),
            children: RefCell::default(),
            children_timer: Cell::new(None),
            hooks: Hooks::default(),
            blocking_pool,
            closed: Cell::new(false),
            closing: Cell::new(false),
            process: Cell::new(Process::current()),
            current: Cell::new(Key::NONE),
            tasks_alive: Cell::new(0),
            tick: Cell::new(0),
            page: Arc::default(),
            is_timed: Cell::new(false),
            is_instrumented: Cell::new(false),
            tape: OnceCell::new(),
            heartbeat: RefCell::default(),
            is_sampling: Cell::new(false),
            history: RefCell::default(),
            saw_unknown_key: Cell::new(false),
            interest_changed: Cell::new(false),
            replacement: Cell::new(None),
            skipped_ticks: Cell::new(0),
            panic_policy: Cell::default(),
            log: RefCell::default(),
            read_buffer: Cell::default(),
            datagrams: Datagrams::default(),
        });
        let detection = core.timeline.clock().announce_jumps(JumpNotice::to(&core));
        core.timebases.set_detection(detection);
        core
    }

    /// Returns the number of the tick.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.tick.get()
    }

    /// Starts a tick. Returns true if the gauges of the page are due.
    #[inline]
    pub(crate) fn begin_tick(&self) -> bool {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.page.begin_tick(self.tick.get())
    }

    /// Returns true for an error that is not reported: a disconnect of a peer, by default.
    pub(crate) fn is_unreported(&self, error: &Error) -> bool {
        error.is_disconnect() && !self.settings.report_disconnects
    }

    pub(crate) fn blocking_pool(&self) -> &BlockingPool {
        &self.blocking_pool
    }

    /// Returns an error if the loop is closed, or a copy in a forked child.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.get() || self.is_forked() { Err(self.unusable()) } else { Ok(()) }
    }

    #[cold]
    fn unusable(&self) -> Error {
        if self.closed.get() { Error::Closed } else { Error::Forked }
    }

    /// Returns true in a forked child until `after_fork_child`.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.get().is_current()
    }

    /// Queues `key` for the next batch.
    #[inline]
    pub(crate) fn feed(&self, key: Key) {
        self.agenda.feed(key, Readiness::empty());
    }

    /// Queues `key` for the next batch, as if its fd had this readiness.
    #[inline]
    pub(crate) fn feed_as(&self, key: Key, readiness: Readiness) {
        self.agenda.feed(key, readiness);
    }

    /// Returns true if the next tick has work without an event or a deadline. An idle hook is work
    /// for every tick.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.agenda.has_work() || self.hooks.has(Hook::Idle)
    }

    /// Registers a callback for `fd`.
    pub(crate) fn register(&self, fd: RawFd, registration: Registration) -> Result<WatcherId> {
        self.check_open()?;
        let ready = &mut self.agenda.ready.borrow_mut();
        self.watchers.borrow_mut().register(fd, registration, ready)
    }

    /// Ends watching for the callback `key`.
    pub(crate) fn unwatch(&self, watcher: WatcherId, key: Key) {
        self.watchers.borrow_mut().remove(watcher, key, &mut self.agenda.ready.borrow_mut());
    }

    pub(crate) fn set_interest(
        &self,
        watcher: WatcherId,
        key: Key,
        interest: Interest,
    ) -> Result<()> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        self.interest_changed.set(true);
        let ready = &mut self.agenda.ready.borrow_mut();
        self.watchers.borrow_mut().set_interest(watcher, key, interest, ready)
    }

    /// Gives the registration of the callback `old` to the callback `new`.
    pub(crate) fn replace_key(&self, watcher: WatcherId, old: Key, new: Key) {
        let ready = &mut self.agenda.ready.borrow_mut();
        self.watchers.borrow_mut().replace_key(watcher, old, new, ready);
    }

    /// Records that `new` replaces `old`, which is the running callback or its replacement. In the
    /// latter case `new` takes its place, so that there is one replacement at most.
    pub(crate) fn set_replacement(&self, old: Key, new: Key) {
        let replaced = self.replacement.get().filter(|(_, replacement)| *replacement == old);
        self.replacement.set(Some((replaced.map_or(old, |(running, _)| running), new)));
    }

    /// Takes the key of the replacement of `key`, if there is one.
    pub(crate) fn take_replacement(&self, key: Key) -> Option<Key> {
        let (_, replacement) = self.replacement.get().filter(|(running, _)| *running == key)?;
        self.replacement.set(None);
        Some(replacement)
    }

    /// Returns the key of the callback that owns the source of `key` now: `key`, or its
    /// replacement.
    pub(crate) fn current_owner(&self, key: Key) -> Key {
        let replaced = self.replacement.get().filter(|(running, _)| *running == key);
        replaced.map_or(key, |(_, replacement)| replacement)
    }

    /// Closes the kernel objects of the selector. poll(2), which has none, takes its place.
    pub(crate) fn close_selector(&self) {
        *self.watchers.borrow_mut().selector() = AnySelector::Other(Box::new(Poll::new()));
    }

    /// Returns the readiness for a queued callback, or `None` if the callback must not run: its
    /// watcher was paused, or its timer moved, after it was queued.
    // Inlined always: both copies of a tick have it, and a call costs an event 13 instructions.
    #[inline(always)]
    pub(crate) fn readiness_if_due(
        &self,
        source: Source,
        key: Key,
        readiness: Readiness,
    ) -> Option<Readiness> {
        let due = match source {
            Source::Watch(watcher) if self.interest_changed.get() || !is_solicited(readiness) => {
                return self.readiness_if_wanted(watcher, Ready { key, readiness });
            }
            Source::Watch(_) => !readiness.is_empty(),
            Source::Timer(timer) | Source::Interval(timer) => {
                self.timers.borrow_mut().take_fed(timer)
            }
            Source::WallTimer(_) | Source::BootTimer(_) => {
                source.clock_slot().is_none_or(|slot| self.timebases.take_fed(slot))
            }
            Source::Stream(_)
            | Source::Schedule(_)
            | Source::Soon
            | Source::Signal(_)
            | Source::Child(_)
            | Source::Hook(_) => true,
        };
        due.then_some(readiness)
    }

    #[cold]
    fn readiness_if_wanted(&self, watcher: WatcherId, ready: Ready) -> Option<Readiness> {
        let wanted = self.watchers.borrow().still_wanted(watcher, ready);
        if wanted.is_empty() {
            self.note_nothing_ran(ready.readiness);
        }
        (!wanted.is_empty()).then_some(wanted)
    }

    /// Counts an event for which nothing has run. Returns false.
    #[cold]
    pub(crate) fn note_nothing_ran(&self, readiness: Readiness) -> bool {
        // Without a readiness, the entry is not of an event.
        if !readiness.is_empty() {
            self.page.spurious_events.add(1);
        }
        false
    }

    /// Notes that no callback has the key of an event. Returns false, because nothing ran.
    #[cold]
    pub(crate) fn note_unknown_key(&self, readiness: Readiness) -> bool {
        // Without a readiness, the callback was cancelled after it was queued, which is common.
        if !readiness.is_empty() {
            self.saw_unknown_key.set(true);
            self.page.add_stale_event();
        }
        false
    }

    /// Returns true if an event has found no callback.
    #[inline]
    pub(crate) fn saw_unknown_key(&self) -> bool {
        self.saw_unknown_key.get()
    }

    /// Returns true, once, if an event has found no callback.
    #[inline]
    pub(crate) fn take_unknown_key(&self) -> bool {
        self.saw_unknown_key.take()
    }

    /// Writes a report to standard error, unless its place has reported too often.
    #[cold]
    pub(crate) fn print(&self, report: &Report) {
        if report_log::print(&self.log, report, self.timeline.now_nanos()) || self.closed.get() {
            return;
        }
        let deadline = report_log::next_flush(&self.timeline);
        let add = || self.timers.borrow_mut().insert(deadline, Key::REPORTS);
        self.log.borrow_mut().timer.get_or_insert_with(add);
    }

    /// Writes the counts of reports that were left out.
    #[cold]
    pub(crate) fn flush_reports(&self) {
        let mut log = self.log.borrow_mut();
        if let Some(timer) = log.timer.take() {
            self.timers.borrow_mut().remove(timer);
        }
        log.flush();
    }
}
