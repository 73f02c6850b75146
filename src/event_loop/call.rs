//! Calling user code: one handle at a time, whatever becomes of it.

use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Readiness;
use mainspring_sys::closure::{CallOnce, Room};

use super::callback::{Callback, Done, Repeating, failed};
use super::report::{Origin, PanicPolicy, Report};
use super::source::Source;
use super::{EventLoop, LoopHandle};
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::panic::text_of_panic;
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
        let Some(tenant) = callbacks.tenant(ready.key) else { return self.core.missed(ready) };
        let origin = Origin { source: tenant.source, location: tenant.location };
        let Some(readiness) = self.core.still_due(origin.source, ready) else {
            return false;
        };
        match &tenant.callback {
            Some(Callback::Repeat(repeat)) => {
                let repeat = repeat.clone();
                drop(callbacks);
                self.repeat(ready.key, repeat, readiness, origin);
                true
            }
            Some(Callback::Once(_)) => {
                let tenant = callbacks.remove(ready.key);
                drop(callbacks);
                self.handle.leave_source(origin.source, ready.key);
                if let Some(Callback::Once(once)) = tenant.and_then(|tenant| tenant.callback) {
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
        if ready.key.is_guest() {
            return match ready.key {
                Key::SENT => self.call_sent(),
                _ => self.handle.shared.guest.call(ready),
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
        self.once(Key::SENT, sent.into_inner(), Origin { source: Source::Soon, location });
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
            Some((_, location)) if key == Key::SENT => {
                Some(Origin { source: Source::Soon, location }.report(error, None))
            }
            _ => self.handle.report_of(key, error),
        }
    }

    /// Runs what is the guest's under `key`, but not in the guest's hands.
    pub(crate) fn run_beside<T>(&mut self, key: Key, run: impl FnOnce() -> T) -> T {
        match self.slow {
            None => run(),
            Some(limit) => self.timed(key, limit, |_| run()),
        }
    }

    #[inline(always)]
    fn once<P: Room>(
        &mut self,
        key: Key,
        once: CallOnce<P, LoopHandle<S>, S, Done>,
        origin: Origin,
    ) {
        let policy = self.handle.shared.panic_policy.get();
        let unwinding = Unwinding { handle: &self.handle, key };
        let run = || once.call(&self.handle, &mut self.state);
        let done = guard(policy, run, |error| Err(Box::new(error)));
        mem::forget(unwinding);
        if done.is_err() || self.handle.has_names() {
            self.end_once(key, origin, done);
        }
    }

    /// A callback that ran once is over: because of its error, or because it may have a name.
    #[cold]
    fn end_once(&mut self, key: Key, origin: Origin, done: Done) {
        let name = self.handle.take_name(key);
        if let Err(error) = done {
            self.report(origin.report(*error, name));
        }
    }

    #[inline(always)]
    fn repeat(&mut self, key: Key, repeat: Repeating<S>, readiness: Readiness, origin: Origin) {
        let policy = self.handle.shared.panic_policy.get();
        let unwinding = Unwinding { handle: &self.handle, key };
        let run = || repeat.call(&self.handle, &mut self.state, readiness);
        let turn = guard(policy, run, failed);
        mem::forget(unwinding);
        if let ControlFlow::Break(error) = turn {
            self.end(key, origin, error);
        }
        if Rc::strong_count(&repeat) == 1 {
            self.handle.pass_on(key, &Callback::Repeat(repeat));
        }
    }

    /// Ends a registration, because of `error` if there is one. A callback may have ended it itself
    /// before it failed; its error counts all the same.
    #[cold]
    fn end(&mut self, key: Key, origin: Origin, error: Option<Box<Error>>) {
        let name = self.handle.name_of(key);
        self.handle.forget(key);
        if let Some(error) = error {
            self.report(origin.report(*error, name));
        }
    }

    /// Reports the failures that nobody has asked for.
    #[cold]
    pub(crate) fn report_unobserved(&mut self) {
        let reports = self.core.unobserved.take();
        for report in reports {
            self.report(report);
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
}

impl<S> Drop for Unwinding<'_, S> {
    fn drop(&mut self) {
        self.handle.forget_with_heirs(self.key);
    }
}

/// Runs user code as the policy says; `failed` makes a result of a panic.
#[inline]
fn guard<T>(policy: PanicPolicy, run: impl FnOnce() -> T, failed: impl FnOnce(Error) -> T) -> T {
    match policy {
        PanicPolicy::Propagate => run(),
        PanicPolicy::Report | PanicPolicy::Abort => catch(policy, run).unwrap_or_else(failed),
    }
}

#[cold]
fn catch<T>(policy: PanicPolicy, run: impl FnOnce() -> T) -> Result<T> {
    // What the closure leaves half-changed is the user's own; the loop's tables are not in its
    // reach.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        if policy == PanicPolicy::Abort {
            process::abort(); // The panic hook has printed the message.
        }
        Error::Panicked(text_of_panic(&*payload).to_owned())
    })
}
