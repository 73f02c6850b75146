//! Calling user code: one handle at a time, whatever becomes of it.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::time::Duration;

use mainspring_sys::Readiness;

use super::callback::{Callback, Flow, Once, Repeat};
use super::dispatch::Due;
use super::report::{Origin, PanicPolicy, Report};
use super::{EventLoop, LoopHandle};
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::Ready;

impl<S> EventLoop<S> {
    /// The only place that calls user code. False if there was nothing to call any more.
    pub(crate) fn call(&mut self, ready: Ready) -> bool {
        self.core().current.set(Some(ready.key));
        let ran = match self.slow {
            None => self.dispatch(ready),
            Some(limit) => self.dispatch_timed(ready, limit),
        };
        self.core().current.set(None);
        ran
    }

    fn dispatch(&mut self, ready: Ready) -> bool {
        match self.handle.begin(ready) {
            None => return false,
            Some(Due::Repeat(callback, readiness, origin)) => {
                self.repeat(ready.key, callback, readiness, origin);
            }
            Some(Due::Once(once, origin)) => self.once(once, origin),
            Some(Due::Invalid(fd, origin)) => self.end(ready.key, origin, invalid(fd)),
        }
        true
    }

    /// In the debug mode: reports a callback that keeps the loop from everything else.
    fn dispatch_timed(&mut self, ready: Ready, limit: Duration) -> bool {
        let origin = self.handle.origin_of(ready.key);
        let began = self.handle.now();
        let ran = self.dispatch(ready);
        let took = self.handle.now().saturating_duration_since(began);
        if let (true, Some(origin)) = (took >= limit, origin) {
            self.report(origin.report(Error::Slow(took)));
        }
        ran
    }

    fn once(&mut self, once: Once<S>, origin: Origin) {
        let policy = self.handle.shared.panic_policy.get();
        if let Err(error) = guard(policy, || once(&self.handle, &mut self.state)) {
            self.report(origin.report(error));
        }
    }

    fn repeat(
        &mut self,
        key: Key,
        mut callback: Box<dyn Repeat<S>>,
        readiness: Readiness,
        origin: Origin,
    ) {
        let policy = self.handle.shared.panic_policy.get();
        let unwinding = Unwinding { handle: &self.handle, key };
        let run = || callback.call(&self.handle, &mut self.state, readiness);
        let flow = guard(policy, run);
        mem::forget(unwinding);
        match flow {
            Ok(Flow::Stay) => {}
            Ok(Flow::Leave) => drop(self.handle.forget(key)),
            Err(error) => self.end(key, origin, error),
        }
        self.handle.put_back(key, Callback::Repeat(callback));
    }

    /// Ends a registration because of `error`. A callback may have ended it itself before it
    /// failed; its error counts all the same.
    fn end(&mut self, key: Key, unnamed: Origin, error: Error) {
        let origin = self.handle.origin_of(key).unwrap_or(unnamed);
        self.handle.forget(key);
        self.report(origin.report(error));
    }

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

/// Runs user code as the policy says.
fn guard<T>(policy: PanicPolicy, run: impl FnOnce() -> Result<T>) -> Result<T> {
    if policy == PanicPolicy::Propagate {
        return run();
    }
    // What the closure leaves half-changed is the user's own; the loop's tables are not in its
    // reach.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        if policy == PanicPolicy::Abort {
            process::abort(); // The panic hook has printed the message.
        }
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Err(Error::Panicked(text.unwrap_or("with a value that is no text").to_owned()))
    })
}

fn invalid(fd: RawFd) -> Error {
    let source = io::Error::other("it was closed while it was watched");
    Error::Watch { operation: "watch", fd, source }
}
