//! Dispatch: from a ready key to user code, and the consequences of its result.

use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Readiness;
use mainspring_sys::closure::{CallOnce, Storage};

use super::callback::{Callback, Flow, OnceResult, REMOVE, Repeating, failed};
use super::failure::{Failure, Payload, catch};
use super::report::{Origin, PanicPolicy, Report};
use super::source::Source;
use super::{EventLoop, LoopHandle};
use crate::error::Error;
use crate::handle::Key;
use crate::metrics::TurnCounter;
use crate::panic::ignoring_panic;
use crate::ready::Ready;
use crate::tape::Recording;

impl<S> EventLoop<S> {
    /// Runs the callback or the task of a ready key. Returns false if it has ended or is not due.
    // Inlined with everything below it: after the system calls of a callback, a CPU mispredicts
    // returns.
    #[inline(always)]
    pub(super) fn dispatch(&mut self, ready: Ready) -> bool {
        self.core.current.set(ready.key);
        self.dispatch_key::<false>(ready, None)
    }

    /// Like [`dispatch`](EventLoop::dispatch), with the instruments that are on.
    #[inline(never)]
    pub(super) fn dispatch_instrumented(&mut self, ready: Ready) -> bool {
        self.core.current.set(ready.key);
        let recorded = self.core.tape.get().map_or(0, Recording::count);
        let ran = self.timed(ready, |el, time| el.dispatch_sampled_or_traced(ready, time));
        if !ran {
            self.take_back_turn(recorded);
        }
        ran
    }

    /// Like [`dispatch_instrumented`](EventLoop::dispatch_instrumented), if the tape and the
    /// histograms are the only instruments.
    #[inline(never)]
    pub(super) fn dispatch_clocked(&mut self, ready: Ready) -> bool {
        self.core.current.set(ready.key);
        let recorded = self.core.tape.get().map_or(0, Recording::count);
        let began = self.take_lap();
        let ran = self.dispatch_key::<true>(ready, Some(began));
        if !ran {
            self.take_back_turn(recorded);
        }
        if let Some(times) = self.core.page.times() {
            times.add_call(began, self.end_lap());
        }
        ran
    }

    /// Returns true if the tape and the histograms are the only instruments in this tick.
    pub(super) fn is_only_clocked(&self) -> bool {
        let core = &self.core;
        let has_others =
            core.settings.slow.is_some() || core.settings.await_lines || core.is_sampling.get();
        core.is_timed.get() && !has_others
    }

    fn dispatch_sampled_or_traced(&mut self, ready: Ready, time: Option<u64>) -> bool {
        let is_task = ready.key.is_task_layer() && ready.key != Key::INBOX;
        if self.core.is_sampling.get() && (is_task || ready.key.is_callback()) {
            self.note_sampled(ready.key);
            if !is_task {
                return self.dispatch_sampled(ready, time);
            }
        }
        if !is_task || !self.core.settings.await_lines {
            return self.dispatch_apart(ready, time);
        }
        self.record_task(ready, time);
        self.handle.shared.tasks.dispatch_traced(ready)
    }

    /// Runs the callback or the task of a ready key, in a copy of the code for the instruments that
    /// are slower.
    #[inline(never)]
    pub(super) fn dispatch_apart(&mut self, ready: Ready, time: Option<u64>) -> bool {
        self.dispatch_key::<true>(ready, time)
    }

    /// Runs the callback or the task of a ready key. `time` is the current time, for the tape;
    /// `None` if calls are not timed. `INSTRUMENTED` is false in a tick without instruments.
    #[inline(always)]
    fn dispatch_key<const INSTRUMENTED: bool>(&mut self, ready: Ready, time: Option<u64>) -> bool {
        if !ready.key.is_callback() {
            return self.dispatch_queued::<INSTRUMENTED>(ready, time);
        }
        let Ready { key, readiness } = ready;
        let mut callbacks = self.handle.shared.callbacks.borrow_mut();
        let Some(entry) = callbacks.get(key) else {
            return self.core.note_unknown_key(readiness);
        };
        let origin = Origin { source: entry.source, location: entry.location };
        let Some(readiness) = self.core.readiness_if_due(origin.source, key, readiness) else {
            return false;
        };
        // Counted here, while the source is in a register.
        self.core.page.count_turn(origin.source.counter());
        if INSTRUMENTED {
            self.record_callback(Ready { key, readiness }, origin, time);
        }
        // The common case first: a single match costs an event five more instructions.
        if let Some(Callback::Repeat { repeat, runs, .. }) = &mut entry.callback {
            *runs = runs.wrapping_add(1);
            let repeat = repeat.clone();
            drop(callbacks);
            self.call_repeating(key, repeat, readiness, origin);
            return true;
        }
        if !matches!(entry.callback, Some(Callback::Once(_))) {
            return self.core.note_nothing_ran(readiness); // Parked or reserved.
        }
        let callback = callbacks.take(key);
        drop(callbacks);
        self.handle.detach_source(origin.source, key);
        if let Some(Callback::Once(once)) = callback {
            self.call_once(key, once, origin);
        }
        true
    }

    /// Runs what is not in the arena: a closure of `call_soon`, a message, or a task.
    #[inline(always)]
    fn dispatch_queued<const INSTRUMENTED: bool>(
        &mut self,
        ready: Ready,
        time: Option<u64>,
    ) -> bool {
        if ready.key.is_task_layer() {
            if ready.key == Key::INBOX {
                return self.dispatch_message(time);
            }
            if INSTRUMENTED {
                self.record_task(ready, time);
            }
            return self.handle.shared.tasks.dispatch(ready);
        }
        let queued = self.handle.shared.soon.borrow_mut().next();
        let Some((once, location)) = queued else { return false };
        self.core.page.count_turn(TurnCounter::Soon);
        if INSTRUMENTED {
            self.record_soon(ready.key, location, time);
        }
        self.call_once(ready.key, once, Origin { source: Source::Soon, location });
        true
    }

    /// Runs the oldest message from other threads.
    // Always inlined: otherwise a message costs 13 more instructions (of 220).
    #[inline(always)]
    fn dispatch_message(&mut self, time: Option<u64>) -> bool {
        let message = self.handle.shared.messages.borrow_mut().next();
        let Some((call, location)) = message else { return false };
        self.record_message(location, time);
        let origin = Origin { source: Source::Soon, location };
        self.core.page.count_turn(TurnCounter::Soon);
        self.call_once(Key::INBOX, call.into_call_once(), origin);
        true
    }

    /// Passes the current time to `run`, measures how long `run` takes, and reports it if it is
    /// slow.
    #[inline(always)]
    fn timed<T>(&mut self, ready: Ready, run: impl FnOnce(&mut Self, Option<u64>) -> T) -> T {
        if !self.is_timed() {
            return run(self, None);
        }
        // Before the call, which may remove the registration.
        let slow = self.core.settings.slow;
        let report = slow.and_then(|limit| self.handle.report_of_next(ready, limit));
        let began = self.take_lap();
        let result = run(self, Some(began));
        if slow.is_some() || self.core.page.times().is_some() {
            self.end_timed(began, report);
        }
        result // The next record of the tape has the time of the end.
    }

    /// Returns true if the clock is read around each call.
    pub(super) fn is_timed(&self) -> bool {
        self.core.is_timed.get()
    }

    fn end_timed(&mut self, began: u64, report: Option<Box<Report>>) {
        let ended = self.end_lap();
        if let Some(times) = self.core.page.times() {
            times.add_call(began, ended);
        }
        let took = Duration::from_nanos(ended.saturating_sub(began));
        let slow = self.core.settings.slow;
        if let (Some(limit), Some(report)) = (slow, report)
            && took >= limit
        {
            self.report(Report { error: Error::Slow(took), ..*report });
        }
    }

    /// Returns the time at which the last call ended, if not returned before, and otherwise the
    /// current time. So a batch reads the clock once per call.
    #[inline]
    pub(super) fn take_lap(&self) -> u64 {
        self.lap.take().unwrap_or_else(|| self.core.timeline.turn_nanos())
    }

    /// Returns the current time, at which a call ends. The next [`take_lap`](EventLoop::take_lap)
    /// returns it again.
    #[inline]
    fn end_lap(&self) -> u64 {
        let ended = self.core.timeline.turn_nanos();
        self.lap.set(Some(ended));
        ended
    }

    /// Runs `run` for the task `key`, with the same measurements as a callback. For the main
    /// future, which the task table does not own.
    pub(crate) fn run_timed<T>(&mut self, key: Key, run: impl FnOnce() -> T) -> T {
        if !self.core.is_instrumented.get() {
            return run();
        }
        let ready = Ready { key, readiness: Readiness::empty() };
        self.timed(ready, |el, time| {
            el.record_task(ready, time);
            run()
        })
    }

    #[inline(always)]
    fn call_once<P: Storage>(
        &mut self,
        key: Key,
        once: CallOnce<P, LoopHandle<S>, S, OnceResult>,
        origin: Origin,
    ) {
        let policy = self.core.panic_policy.get();
        let unwinding = UnwindGuard { handle: &self.handle, key, origin, repeat: None };
        let (el, state) = (&self.handle, &mut self.state);
        let result = match policy {
            PanicPolicy::Propagate => once.call(el, state),
            _ => {
                catch(policy, || once.call(el, state)).unwrap_or_else(|error| Err(Box::new(error)))
            }
        };
        mem::forget(unwinding);
        if result.is_err() || self.handle.has_names() {
            self.end_once(key, origin, result);
        }
    }

    /// Ends a callback that ran once: takes its name, and reports its error.
    #[cold]
    fn end_once(&mut self, key: Key, origin: Origin, result: OnceResult) {
        let name = self.handle.take_name(key);
        if let Err(error) = result {
            self.report(origin.report(*error, name));
        }
    }

    #[inline(always)]
    fn call_repeating(
        &mut self,
        key: Key,
        repeat: Repeating<S>,
        readiness: Readiness,
        origin: Origin,
    ) {
        let policy = self.core.panic_policy.get();
        let unwinding = UnwindGuard { handle: &self.handle, key, origin, repeat: Some(repeat) };
        let state = &mut self.state;
        let flow = match policy {
            PanicPolicy::Propagate => unwinding.call(state, readiness),
            _ => catch(policy, || unwinding.call(state, readiness)).unwrap_or_else(failed),
        };
        let Some(repeat) = unwinding.disarm() else { return };
        match flow {
            ControlFlow::Break(error) => self.end_repeating(key, repeat, origin, error),
            // Its entry is gone: it was cancelled or replaced while it ran.
            ControlFlow::Continue(()) if Rc::strong_count(&repeat) == 1 => {
                self.handle.retire(key, repeat, origin, None);
            }
            ControlFlow::Continue(()) => {}
        }
    }

    /// Ends a repeating callback, because of `error` if there is one. The error is reported even if
    /// the callback has cancelled its own registration before. A listener survives a panic.
    #[cold]
    fn end_repeating(
        &mut self,
        key: Key,
        repeat: Repeating<S>,
        origin: Origin,
        error: Option<Box<Error>>,
    ) {
        let name = self.handle.name_of(key);
        let panicked = matches!(error.as_deref(), Some(Error::Panicked(_)));
        if !(panicked && repeat.survives_panics()) {
            self.handle.remove(key);
        }
        let report = error.map(|error| origin.report(*error, name.clone()));
        // Caught, so that the captures are dropped even if the exception handler panics.
        let reported = catch_unwind(AssertUnwindSafe(|| {
            report.into_iter().for_each(|report| self.report(report))
        }));
        if Rc::strong_count(&repeat) == 1 {
            self.handle.retire(key, repeat, origin, name);
        }
        if let Err(payload) = reported {
            resume_unwind(payload);
        }
    }

    /// Reports the failures of the batch, or lets a panic among them unwind; the rest then waits
    /// for the next tick.
    #[cold]
    pub(super) fn end_failures(&mut self) {
        // Failures of the exception handler wait for the next tick, so the number is fixed.
        for _ in 0..self.core.agenda.count_failures() {
            match self.core.agenda.pop_failure() {
                Some(Failure::Report(report)) => self.report(report),
                Some(Failure::Panic(payload)) => resume_unwind(payload),
                None => break,
            }
        }
    }

    /// Reports the failures of a loop that is being closed. Returns the panic to unwind at the end:
    /// `first`, or the first one among them.
    pub(super) fn report_failures(&mut self, mut first: Option<Payload>) -> Option<Payload> {
        loop {
            match self.core.agenda.pop_failure() {
                Some(Failure::Report(report)) => self.report(report),
                Some(Failure::Panic(payload)) if first.is_none() => first = Some(payload),
                Some(Failure::Panic(payload)) => ignoring_panic(|| drop(payload)),
                None => return first,
            }
        }
    }

    #[cold]
    fn report(&mut self, report: Report) {
        self.handle.report(&mut self.state, report);
    }
}

/// A running callback. If it unwinds, the drop ends its registration, before the callback and its
/// source are dropped.
struct UnwindGuard<'a, S> {
    handle: &'a LoopHandle<S>,
    key: Key,
    origin: Origin,
    /// The callback; `None` for one that runs once, which owns itself.
    repeat: Option<Repeating<S>>,
}

impl<S> UnwindGuard<'_, S> {
    #[inline(always)]
    fn call(&self, state: &mut S, readiness: Readiness) -> Flow {
        match &self.repeat {
            Some(repeat) => repeat.call(self.handle, state, readiness),
            None => REMOVE,
        }
    }

    /// Gives the callback back after it has returned.
    #[inline(always)]
    fn disarm(mut self) -> Option<Repeating<S>> {
        let repeat = self.repeat.take();
        mem::forget(self);
        repeat
    }
}

impl<S> Drop for UnwindGuard<'_, S> {
    fn drop(&mut self) {
        let repeat = self.repeat.take();
        if !repeat.as_ref().is_some_and(|repeat| repeat.survives_panics()) {
            self.handle.remove_with_replacement(self.key);
        }
        // Contained, because a second panic while this one unwinds would abort the process.
        self.handle.discard(self.origin, None, repeat);
    }
}
