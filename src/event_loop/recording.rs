//! The tape of a loop: what is recorded about each turn.

use std::panic::Location;
use std::rc::Rc;

use super::loop_core::LoopCore;
use super::report::{Report, ReportKind};
use super::source::Source;
use super::{EventLoop, LoopHandle};
use crate::error::Error;
use crate::handle::Key;
use crate::ready::Ready;
use crate::tape::{
    BY_CLOCKS, BY_SOURCES, BY_THREADS, Cause, Recorder, Recording, Start, Tape, TurnKind,
};

impl<S> LoopHandle<S> {
    /// Returns the tape of the last turns, or `None` without a
    /// [recorder](crate::EventLoopBuilder::record). [`Tape`] has an example.
    pub fn tape(&self) -> Option<Tape> {
        self.core().tape.get()?.tape()
    }
}

impl LoopCore {
    /// Opens the tape, or reports why there is none.
    pub(crate) fn open_tape(&self, recorder: &Recorder, location: &'static Location<'static>) {
        match Recording::open(recorder) {
            Ok(recording) => _ = self.tape.set(recording),
            Err(source) => {
                let error = Error::Create { part: "tape", source };
                self.report(Report { kind: ReportKind::Tape, error, location, name: None });
            }
        }
    }

    /// Records that the selector is called, or has returned.
    #[cold]
    pub(super) fn record_loop(&self, time: u64, kind: TurnKind) {
        let Some(tape) = self.tape.get() else { return };
        let start = Start::of_loop(kind);
        let queued = self.agenda.ready.borrow().len();
        tape.begin(tape.monotonic(time), queued, &start);
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
    /// Records that a run ends, so that the last turn does not seem to go on.
    pub(crate) fn record_end_of_run(&self) {
        if self.core.tape.get().is_some() {
            self.core.record_loop(self.core.timeline.now_nanos(), TurnKind::Loop);
        }
    }

    /// Records that the callback or the task of `ready` begins to run.
    #[cold]
    pub(super) fn record_turn(&self, tape: &Recording, ready: Ready, time: u64) {
        let position = self.batch.position();
        if position == Some(0) {
            tape.begin_batch();
        }
        let by = position.and_then(|position| tape.fed_by(position));
        let deadline = position.and_then(|position| tape.deadline_at(position));
        if let Some(start) = self.start_of(ready, by, deadline) {
            let queued = self.core.agenda.ready.borrow().len();
            tape.begin(tape.monotonic(time), queued, &start);
        }
    }

    /// Returns the beginning of a turn of `ready`, fed by the turn `by`, or by a timer with this
    /// deadline. `None` if its registration has ended, or if no task waits for the readiness.
    fn start_of(&self, ready: Ready, by: Option<u64>, deadline: Option<u64>) -> Option<Start> {
        let key = ready.key;
        let by_turn = by.filter(|by| *by < BY_CLOCKS).map_or(Cause::Loop, Cause::Turn);
        if key == Key::INBOX {
            let location = self.handle.shared.messages.borrow().location();
            let (kind, cause) = (TurnKind::Soon, Cause::Thread);
            return Some(Start { kind, key, location, name: None, cause, deadline: None });
        }
        if key.is_task_layer() {
            let tasks = &self.handle.shared.tasks;
            let (task, location, name) = tasks.origin_of(ready)?;
            let cause = match by {
                _ if task != key => Cause::Fd(tasks.fd_of(key).unwrap_or(-1)),
                _ if deadline.is_some() => Cause::Timer,
                Some(BY_THREADS) => Cause::Thread,
                Some(BY_CLOCKS) => Cause::Timer,
                _ => by_turn,
            };
            let (kind, location) = (TurnKind::Task, Some(location));
            return Some(Start { kind, key: task, location, name, cause, deadline });
        }
        let origin = self.handle.origin_of(key)?;
        let fd = |watcher| Cause::Fd(self.core.watchers.borrow().fd_of(watcher).unwrap_or(-1));
        let (kind, cause) = match origin.source {
            Source::Soon => (TurnKind::Soon, by_turn),
            Source::Timer(_) | Source::Interval(_) | Source::Clock(_) | Source::Schedule(_) => {
                (TurnKind::Timer, Cause::Timer)
            }
            // A stream also queues itself, for input that it has left unread.
            Source::Watch(watcher) | Source::Stream(watcher) => {
                let is_stream = matches!(origin.source, Source::Stream(_));
                let kind = if is_stream { TurnKind::Stream } else { TurnKind::Watcher };
                (kind, if by_turn == Cause::Loop { fd(watcher) } else { by_turn })
            }
            Source::Signal(_) => (TurnKind::Signal, Cause::Signal),
            Source::Child(_) => (TurnKind::Child, Cause::Child),
            Source::Hook(_) => (TurnKind::Hook, Cause::Loop),
        };
        let (location, name) = (Some(origin.location), self.name_if_any(key));
        Some(Start { kind, key, location, name, cause, deadline })
    }

    fn name_if_any(&self, key: Key) -> Option<Rc<str>> {
        if self.handle.has_names() { self.handle.name_of(key) } else { None }
    }
}
