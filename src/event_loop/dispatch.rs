//! Calling user code: one handle at a time, whatever becomes of it.

use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Readiness;
use mainspring_sys::closure::{CallOnce, Storage};

use super::callback::{Callback, Flow, OnceResult, REMOVE, Repeating, failed};
use super::contain::{Failure, Payload, guard};
use super::report::{Origin, PanicPolicy, Report};
use super::source::Source;
use super::{EventLoop, LoopHandle};
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::panic::{message_of, quietly};
use crate::ready::Ready;

impl<S> EventLoop<S> {
    /// The only place that calls user code. False if there was nothing to call any more.
    // Inlined with all below it: a return after a callback's system calls is always mispredicted.
    #[inline(always)]
    pub(crate) fn call(&mut self, ready: Ready) -> bool {
        self.core.current.set(ready.key);
        match self.slow {
            None => self.dispatch(ready),
            Some(limit) => self.dispatch_timed(ready, limit),
        }
    }

    #[inline(always)]
    fn dispatch(&mut self, ready: Ready) -> bool {
        if !ready.key.is_callback() {
            return self.dispatch_other(ready);
        }
        let mut callbacks = self.handle.shared.callbacks.borrow_mut();
        let Some(entry) = callbacks.get(ready.key) else {
            return self.core.note_unknown_key(ready);
        };
        let origin = Origin { source: entry.source, location: entry.location };
        let Some(readiness) = self.core.readiness_if_due(origin.source, ready) else {
            return false;
        };
        match &entry.callback {
            Some(Callback::Repeat(repeat)) => {
                let repeat = repeat.clone();
                drop(callbacks);
                self.repeat(ready.key, repeat, readiness, origin);
                true
            }
            Some(Callback::Once(_)) => {
                let entry = callbacks.remove(ready.key);
                drop(callbacks);
                self.handle.detach_source(origin.source, ready.key);
                if let Some(Callback::Once(once)) = entry.and_then(|entry| entry.callback) {
                    self.once(ready.key, once, origin);
                }
                true
            }
            None => false,
        }
    }

    /// What is not in the arena: queued for this tick, or the guest's.
    #[inline(always)]
    fn dispatch_other(&mut self, ready: Ready) -> bool {
        if ready.key.is_task_layer() {
            return match ready.key {
                Key::INBOX => self.call_sent(),
                _ => self.handle.shared.tasks.dispatch(ready),
            };
        }
        let queued = self.handle.shared.soon.borrow_mut().next();
        let Some((once, location)) = queued else { return false };
        self.once(ready.key, once, Origin { source: Source::Soon, location });
        true
    }

    /// What another thread has sent, and whose turn is next.
    #[inline]
    fn call_sent(&mut self) -> bool {
        let Some((sent, location)) = self.bite.pop_front() else { return false };
        self.bite_fed -= 1;
        self.once(Key::INBOX, sent.into_call_once(), Origin { source: Source::Soon, location });
        true
    }

    #[cold]
    fn dispatch_timed(&mut self, ready: Ready, limit: Duration) -> bool {
        self.timed(ready.key, limit, |el| el.dispatch(ready))
    }

    /// In the debug mode: reports what keeps the loop from everything else.
    fn timed<T>(&mut self, key: Key, limit: Duration, run: impl FnOnce(&mut Self) -> T) -> T {
        let report = self.report_of_turn(key, Error::Slow(limit));
        let began = self.handle.now();
        let result = run(self);
        let took = self.handle.now().saturating_duration_since(began);
        if let (true, Some(report)) = (took >= limit, report) {
            self.report(Report { error: Error::Slow(took), ..report });
        }
        result
    }

    fn report_of_turn(&self, key: Key, error: Error) -> Option<Report> {
        match self.bite.front() {
            Some((_, location)) if key == Key::INBOX => {
                Some(Origin { source: Source::Soon, location }.report(error, None))
            }
            _ => self.handle.report_of(key, error),
        }
    }

    /// Runs what is the guest's under `key`, but not in the guest's hands.
    pub(crate) fn run_timed<T>(&mut self, key: Key, run: impl FnOnce() -> T) -> T {
        match self.slow {
            None => run(),
            Some(limit) => self.timed(key, limit, |_| run()),
        }
    }

    #[inline(always)]
    fn once<P: Storage>(
        &mut self,
        key: Key,
        once: CallOnce<P, LoopHandle<S>, S, OnceResult>,
        origin: Origin,
    ) {
        let policy = self.core.panic_policy.get();
        let unwinding = Unwinding { handle: &self.handle, key, origin, repeat: None };
        let run = || once.call(&self.handle, &mut self.state);
        let done = guard(policy, run, |error| Err(Box::new(error)));
        mem::forget(unwinding);
        if done.is_err() || self.handle.has_names() {
            self.end_once(key, origin, done);
        }
    }

    /// A callback that ran once is over: because of its error, or because it may have a name.
    #[cold]
    fn end_once(&mut self, key: Key, origin: Origin, done: OnceResult) {
        let name = self.handle.take_name(key);
        if let Err(error) = done {
            self.report(origin.report(*error, name));
        }
    }

    #[inline(always)]
    fn repeat(&mut self, key: Key, repeat: Repeating<S>, readiness: Readiness, origin: Origin) {
        let policy = self.core.panic_policy.get();
        let unwinding = Unwinding { handle: &self.handle, key, origin, repeat: Some(repeat) };
        let run = || unwinding.call(&mut self.state, readiness);
        let turn = guard(policy, run, failed);
        let Some(repeat) = unwinding.disarm() else { return };
        match turn {
            ControlFlow::Break(error) => self.end(key, repeat, origin, error),
            ControlFlow::Continue(()) if Rc::strong_count(&repeat) == 1 => {
                self.handle.retire(key, repeat, origin, None);
            }
            ControlFlow::Continue(()) => {}
        }
    }

    /// Ends a registration, because of `error` if there is one. A callback may have ended it itself
    /// before it failed; its error counts all the same. A listener outlives a panic of its factory.
    #[cold]
    fn end(&mut self, key: Key, repeat: Repeating<S>, origin: Origin, error: Option<Box<Error>>) {
        let name = self.handle.name_of(key);
        let panicked = matches!(error.as_deref(), Some(Error::Panicked(_)));
        if !(panicked && repeat.survives_panics()) {
            self.handle.remove(key);
        }
        let report = error.map(|error| origin.report(*error, name.clone()));
        // The captures are dropped even if the exception handler panics.
        let reported =
            catch_unwind(AssertUnwindSafe(|| report.into_iter().for_each(|it| self.report(it))));
        if Rc::strong_count(&repeat) == 1 {
            self.handle.retire(key, repeat, origin, name);
        }
        if let Err(payload) = reported {
            resume_unwind(payload);
        }
    }

    /// Deals with the failures of the batch: reports them, or unwinds. The rest stays for the next
    /// tick if one unwinds.
    #[cold]
    pub(crate) fn end_failures(&mut self) {
        let count = self.core.failures.borrow().len();
        for _ in 0..count {
            let failure = self.core.failures.borrow_mut().pop_front();
            match failure {
                Some(Failure::Report(report)) => self.report(report),
                Some(Failure::Panic(payload)) => resume_unwind(payload),
                None => break,
            }
        }
    }

    /// Reports the failures of a loop that is being closed; the panic to unwind is `first`, or the
    /// first one among them.
    pub(crate) fn report_failures(&mut self, mut first: Option<Payload>) -> Option<Payload> {
        loop {
            let failure = self.core.failures.borrow_mut().pop_front();
            match failure {
                Some(Failure::Report(report)) => self.report(report),
                Some(Failure::Panic(payload)) if first.is_none() => first = Some(payload),
                Some(Failure::Panic(payload)) => quietly(|| drop(payload)),
                None => return first,
            }
        }
    }

    /// Runs ticks. A panic that unwinds out of them although the policy is another one comes from a
    /// custom selector or clock: then the run ends with an error.
    pub(crate) fn contained<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let ran = catch_unwind(AssertUnwindSafe(|| run(self)));
        ran.unwrap_or_else(|payload| Err(self.unwound(payload)))
    }

    #[cold]
    pub(crate) fn unwound(&self, payload: Payload) -> Error {
        match self.core.panic_policy.get() {
            PanicPolicy::Propagate => resume_unwind(payload),
            PanicPolicy::Report => Error::Panicked(message_of(payload)),
            PanicPolicy::Abort => process::abort(),
        }
    }

    #[cold]
    fn report(&mut self, report: Report) {
        self.handle.report(&mut self.state, report);
    }
}

/// Ends the registration of a callback that unwinds, before the callback and its source are
/// dropped.
struct Unwinding<'a, S> {
    handle: &'a LoopHandle<S>,
    key: Key,
    origin: Origin,
    /// The callback, unless it runs once and is gone.
    repeat: Option<Repeating<S>>,
}

impl<S> Unwinding<'_, S> {
    #[inline(always)]
    fn call(&self, state: &mut S, readiness: Readiness) -> Flow {
        match &self.repeat {
            Some(repeat) => repeat.call(self.handle, state, readiness),
            None => REMOVE,
        }
    }

    /// The callback has returned, and is given back.
    #[inline(always)]
    fn disarm(mut self) -> Option<Repeating<S>> {
        let repeat = self.repeat.take();
        mem::forget(self);
        repeat
    }
}

impl<S> Drop for Unwinding<'_, S> {
    fn drop(&mut self) {
        let repeat = self.repeat.take();
        if !repeat.as_ref().is_some_and(|repeat| repeat.survives_panics()) {
            self.handle.remove_with_replacement(self.key);
        }
        // A second panic while this one unwinds would abort the process.
        self.handle.discard(self.origin, None, repeat);
    }
}
