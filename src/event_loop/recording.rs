//! The tape of a loop: the record of each turn.

use std::panic::Location;

use super::loop_core::LoopCore;
use super::report::{Origin, Report, ReportKind};
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
    /// [recorder](crate::EventLoopBuilder::record) or a [heartbeat](LoopHandle::heartbeat). A
    /// forked child does not record in the file of its parent, so it has none after
    /// [`after_fork_child`](LoopHandle::after_fork_child). [`Tape`] has an example.
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
        tape.begin_loop(time, self.agenda.ready.borrow().len(), start);
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
        self.mark(by);
        feed();
        self.mark_sources();
    }

    /// Notes that the sources of the tick feed what follows.
    pub(super) fn mark_sources(&self) {
        self.mark(BY_SOURCES);
    }

    fn mark(&self, by: u64) {
        if let Some(tape) = self.tape.get() {
            tape.mark(self.agenda.ready.borrow().len(), by);
        }
    }
}

impl<S> EventLoop<S> {
    /// Ends a run for the instruments that are on.
    #[inline]
    pub(crate) fn end_run(&self) {
        if self.core.is_instrumented.get() {
            self.end_instrumented_run();
        }
    }

    /// Records that a run ends, so that the last turn, or a tick that unwinds, does not seem to
    /// continue.
    #[cold]
    #[inline(never)]
    fn end_instrumented_run(&self) {
        self.lap.set(None);
        if let Some(times) = self.core.page.times()
            && times.is_in_tick()
        {
            times.end_tick(self.core.timeline.turn_nanos());
        }
        // A forked child shares the memory of its parent's tape, and a run there ends at once.
        if self.core.tape.get().is_some() && !self.core.is_forked() {
            self.core.record_loop(self.core.timeline.turn_nanos(), Start::LOOP);
        }
    }

    /// Removes the record of a turn in which nothing ran.
    #[cold]
    pub(super) fn take_back_turn(&self, recorded: u64) {
        if let Some(tape) = self.core.tape.get() {
            tape.take_back(recorded);
        }
    }

    /// Returns the tape, if there is one, for a turn that begins at `time`.
    #[inline(always)]
    fn tape_at(&self, time: Option<u64>) -> Option<(&Recording, u64)> {
        self.core.tape.get().zip(time)
    }

    #[inline(always)]
    fn begin_turn(&self, tape: &Recording, time: u64, start: Start) {
        tape.begin(time, self.core.agenda.ready.borrow().len(), start);
    }

    /// Records that the oldest message begins to run.
    #[inline(always)]
    pub(super) fn record_message(&self, location: &'static Location<'static>, time: Option<u64>) {
        let Some((tape, time)) = self.tape_at(time) else { return };
        let (kind, place) = (TurnKind::Soon, tape.place(location));
        let start = Start { kind, id: TurnId::NONE, place, cause: Reason::THREAD };
        self.begin_turn(tape, time, start);
    }

    /// Records that a closure of `call_soon` begins to run.
    #[inline(always)]
    pub(super) fn record_soon(
        &self,
        key: Key,
        location: &'static Location<'static>,
        time: Option<u64>,
    ) {
        let Some((tape, time)) = self.tape_at(time) else { return };
        let (place, cause) = (self.place_of(tape, key, location), self.by_turn(tape));
        let start = Start { kind: TurnKind::Soon, id: TurnId::of(key), place, cause };
        self.begin_turn(tape, time, start);
    }

    /// Records that the callback `key` begins to run.
    #[inline(always)]
    pub(super) fn record_callback(&self, ready: Ready, origin: Origin, time: Option<u64>) {
        let Some((tape, time)) = self.tape_at(time) else { return };
        let (kind, id) = (origin.source.counter().kind(), TurnId::of(ready.key));
        let cause = self.cause_of_callback(tape, ready, origin.source, time);
        let place = self.place_of(tape, ready.key, origin.location);
        let start = Start { kind, id, place, cause };
        self.begin_turn(tape, time, start);
    }

    /// Records that the task of `ready` begins to run, if there is one.
    #[inline(always)]
    pub(super) fn record_task(&self, ready: Ready, time: Option<u64>) {
        if let Some((tape, time)) = self.tape_at(time) {
            self.begin_task(tape, ready, time);
        }
    }

    // Never inlined: several copies of the code record tasks.
    #[inline(never)]
    fn begin_task(&self, tape: &Recording, ready: Ready, time: u64) {
        let found = match self.handle.shared.tasks.spawn_line(ready.key) {
            Some(location) => {
                Some((ready.key, tape.place(location), self.cause_of_wake(tape, time)))
            }
            None => self.find_task(tape, ready, time),
        };
        if let Some((task, place, cause)) = found {
            let start = Start { kind: TurnKind::Task, id: TurnId::of(task), place, cause };
            self.begin_turn(tape, time, start);
        }
    }

    /// Returns a task with a name, or one that waits for a descriptor, with its place and cause.
    #[inline(never)]
    fn find_task(&self, tape: &Recording, ready: Ready, time: u64) -> Option<(Key, u16, Reason)> {
        let tasks = &self.handle.shared.tasks;
        let (task, location, name) = tasks.origin_of(ready)?;
        let place = match name {
            None => tape.place(location),
            name => tape.find_place(location, name),
        };
        let cause = match task == ready.key {
            true => self.cause_of_wake(tape, time),
            false => Reason::fd(tasks.fd_of(ready.key)),
        };
        Some((task, place, cause))
    }

    #[inline(always)]
    fn cause_of_wake(&self, tape: &Recording, time: u64) -> Reason {
        match self.fed_by(tape) {
            BY_THREADS => Reason::THREAD,
            BY_CLOCKS => Reason::timer(None),
            BY_SOURCES => {
                let late = self.lateness(tape, time);
                late.map_or(Reason::LOOP, |late| Reason::timer(Some(late)))
            }
            by => tape.caused_by(by),
        }
    }

    #[inline(always)]
    fn cause_of_callback(
        &self,
        tape: &Recording,
        ready: Ready,
        source: Source,
        time: u64,
    ) -> Reason {
        match source {
            Source::Soon => self.by_turn(tape),
            Source::Timer(_)
            | Source::Interval(_)
            | Source::WallTimer(_)
            | Source::BootTimer(_)
            | Source::Schedule(_) => Reason::timer(self.lateness(tape, time)),
            Source::Watch(watcher) | Source::Stream(watcher) => {
                let Ready { key, readiness } = ready;
                // A stream also queues itself, without readiness, for input that it has left.
                match if readiness.is_empty() { self.by_turn(tape) } else { Reason::LOOP } {
                    Reason::LOOP => Reason::fd(self.core.watchers.borrow().fd_of(watcher, key)),
                    by_turn => by_turn,
                }
            }
            Source::Signal(_) => Reason::SIGNAL,
            Source::Child(_) => Reason::CHILD,
            Source::Hook(_) => Reason::LOOP,
        }
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
