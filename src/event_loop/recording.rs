//! The tape of a loop: the record of each turn.

use std::panic::Location;

use super::loop_core::LoopCore;
use super::report::{Report, ReportKind};
use super::source::Source;
use super::{EventLoop, LoopHandle};
use crate::error::Error;
use crate::handle::Key;
use crate::ready::Ready;
use crate::tape::{
    BY_CLOCKS, BY_SOURCES, BY_THREADS, Reason, Recorder, Recording, Start, Tape, TurnId, TurnKind,
};

/// # Tape
impl<S> LoopHandle<S> {
    /// Returns the tape of the last turns, or `None` without a
    /// [recorder](crate::EventLoopBuilder::record) or a [heartbeat](LoopHandle::heartbeat).
    /// [`Tape`] has an example.
    pub fn tape(&self) -> Option<Tape> {
        self.core().tape.get()?.tape()
    }
}

impl LoopCore {
    /// Opens the tape, or reports why it cannot be opened.
    pub(crate) fn open_tape(&self, recorder: &Recorder, location: &'static Location<'static>) {
        match Recording::open(recorder, || self.timeline.now_nanos()) {
            Ok(recording) => _ = self.tape.set(recording),
            Err(source) => {
                let error = Error::Create { part: "tape", source };
                self.report(Report { kind: ReportKind::Tape, error, location, name: None });
            }
        }
    }

    /// Records that the loop begins something other than a callback.
    pub(super) fn record_loop(&self, time: u64, start: Start) {
        let Some(tape) = self.tape.get() else { return };
        let queued = self.agenda.ready.borrow().len();
        tape.begin(time, queued, start);
        tape.mark(queued, BY_SOURCES);
    }

    /// Runs `drain`, and notes that it feeds the wakes of other threads.
    #[cold]
    pub(super) fn record_wakes(&self, drain: impl FnOnce()) {
        self.record_feeding(BY_THREADS, drain);
    }

    /// Runs `feed`, and notes that it feeds what the timers of other clocks have made ready.
    #[cold]
    pub(super) fn record_clock_timers(&self, feed: impl FnOnce()) {
        self.record_feeding(BY_CLOCKS, feed);
    }

    fn record_feeding(&self, by: u64, feed: impl FnOnce()) {
        let mark = |by| {
            if let Some(tape) = self.tape.get() {
                tape.mark(self.agenda.ready.borrow().len(), by);
            }
        };
        mark(by);
        feed();
        mark(BY_SOURCES);
    }
}

impl<S> EventLoop<S> {
    /// Records that a run ends, so that the last turn does not seem to continue.
    pub(crate) fn record_end_of_run(&self) {
        // A forked child shares the memory of its parent's tape, and a run there ends at once.
        if self.core.tape.get().is_some() && !self.core.is_forked() {
            self.core.record_loop(self.core.timeline.turn_nanos(), Start::LOOP);
        }
    }

    /// Records that the callback or the task of `ready` begins to run.
    #[inline(always)]
    pub(super) fn record_turn(&self, tape: &Recording, ready: Ready, time: u64) {
        let start = match ready.key {
            key if key.is_callback() => self.start_of_callback(tape, key, time),
            key if key.is_soon() => self.start_of_soon(tape, key),
            Key::INBOX => self.start_of_message(tape),
            _ => self.start_of_task(tape, ready, time),
        };
        if let Some(start) = start {
            tape.begin(time, self.core.agenda.ready.borrow().len(), start);
        }
    }

    fn start_of_message(&self, tape: &Recording) -> Option<Start> {
        let location = self.handle.shared.messages.borrow().location()?;
        let place = tape.place(location);
        Some(Start { kind: TurnKind::Soon, id: TurnId::NONE, place, cause: Reason::THREAD })
    }

    #[inline(always)]
    fn start_of_soon(&self, tape: &Recording, key: Key) -> Option<Start> {
        let location = self.handle.shared.soon.borrow().next_location()?;
        let (place, cause) = (self.place_of(tape, key, location), self.by_turn(tape));
        Some(Start { kind: TurnKind::Soon, id: TurnId::of(key), place, cause })
    }

    #[inline(always)]
    fn start_of_task(&self, tape: &Recording, ready: Ready, time: u64) -> Option<Start> {
        let tasks = &self.handle.shared.tasks;
        let (task, location, name) = tasks.origin_of(ready)?;
        let place = match name {
            None => tape.place(location),
            name => tape.find_place(location, name),
        };
        let cause = match (self.lateness(tape, time), self.fed_by(tape)) {
            _ if task != ready.key => Reason::fd(tasks.fd_of(ready.key)),
            (Some(late), _) => Reason::timer(Some(late)),
            (None, BY_THREADS) => Reason::THREAD,
            (None, BY_CLOCKS) => Reason::timer(None),
            (None, by) => tape.caused_by(by),
        };
        Some(Start { kind: TurnKind::Task, id: TurnId::of(task), place, cause })
    }

    #[inline(always)]
    fn start_of_callback(&self, tape: &Recording, key: Key, time: u64) -> Option<Start> {
        let mut callbacks = self.handle.shared.callbacks.borrow_mut();
        let entry = callbacks.get(key)?;
        let (source, location) = (entry.source, entry.location);
        drop(callbacks);
        let fd = |watcher| match self.by_turn(tape) {
            Reason::LOOP => Reason::fd(self.core.watchers.borrow().fd_of(watcher)),
            by_turn => by_turn,
        };
        let cause = match source {
            Source::Soon => self.by_turn(tape),
            Source::Timer(_)
            | Source::Interval(_)
            | Source::WallTimer(_)
            | Source::BootTimer(_)
            | Source::Schedule(_) => Reason::timer(self.lateness(tape, time)),
            // A stream also queues itself, for input that it has left unread.
            Source::Watch(watcher) | Source::Stream(watcher) => fd(watcher),
            Source::Signal(_) => Reason::SIGNAL,
            Source::Child(_) => Reason::CHILD,
            Source::Hook(_) => Reason::LOOP,
        };
        let place = self.place_of(tape, key, location);
        Some(Start { kind: source.counter().kind(), id: TurnId::of(key), place, cause })
    }

    #[inline(always)]
    fn place_of(&self, tape: &Recording, key: Key, location: &'static Location<'static>) -> u16 {
        match self.handle.has_names() {
            false => tape.place(location),
            true => tape.find_place(location, self.handle.name_of(key)),
        }
    }

    /// Returns what has fed the entry that runs.
    #[inline]
    fn fed_by(&self, tape: &Recording) -> u64 {
        self.batch.position().map_or(BY_SOURCES, |position| tape.fed_by(position))
    }

    #[inline]
    fn by_turn(&self, tape: &Recording) -> Reason {
        tape.caused_by(self.fed_by(tape))
    }

    /// Returns the time since the deadline that has fed the entry that runs.
    #[inline]
    fn lateness(&self, tape: &Recording, time: u64) -> Option<u64> {
        let deadline = tape.deadline(self.batch.position()?)?;
        Some(time.saturating_sub(deadline))
    }
}
