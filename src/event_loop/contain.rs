//! The panic policy at every place that runs user code.
//!
//! A callback is called under [`guard`]. User code that runs as a part of something else (the `Drop`
//! of captures, of sources and of outputs, foreign wakers) is run by [`LoopCore::contain`] or
//! [`LoopCore::contain_later`], so that its panic cannot leave that half-done.
//!
//! # Invariants
//!
//! * A panic that is neither unwinding nor reported is in [`LoopCore::failures`], or was the second one of
//!   its batch, which the panic hook has printed.
//! * A panic that meets another one is caught: two at a time abort the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{process, thread};

use super::loop_core::LoopCore;
use super::report::{PanicPolicy, Report};
use crate::error::{Error, Result};
use crate::panic::message_of;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Something that failed during a batch, and is dealt with after it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// For the exception handler.
    Report(Report),
    /// A panic that unwinds out of the run.
    Panic(Payload),
}

/// Runs user code as the policy says; `failed` makes a result of a panic.
#[inline]
pub(crate) fn guard<T>(
    policy: PanicPolicy,
    run: impl FnOnce() -> T,
    failed: impl FnOnce(Error) -> T,
) -> T {
    match policy {
        PanicPolicy::Propagate => run(),
        PanicPolicy::Report | PanicPolicy::Abort => catch(policy, run).unwrap_or_else(failed),
    }
}

#[cold]
fn catch<T>(policy: PanicPolicy, run: impl FnOnce() -> T) -> Result<T> {
    // Whatever the closure leaves half-changed belongs to the user; the loop's tables are not in its
    // reach.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        if policy == PanicPolicy::Abort {
            process::abort(); // The panic hook has printed the message.
        }
        Error::Panicked(message_of(payload))
    })
}

impl LoopCore {
    /// Runs user code that is a part of another operation, whose own work is done. Its panic
    /// unwinds, or is a report that `origin` makes of it.
    #[inline]
    pub(crate) fn contain(&self, origin: impl FnOnce(Error) -> Report, run: impl FnOnce()) {
        match self.panic_policy.get() {
            PanicPolicy::Propagate if !self.closing.get() && !thread::panicking() => run(),
            _ => self.contain_later(origin, run),
        }
    }

    /// Runs user code in the middle of another operation. Its panic waits for the end of the batch:
    /// then it unwinds, or is a report that `origin` makes of it.
    #[inline]
    pub(crate) fn contain_later(&self, origin: impl FnOnce(Error) -> Report, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.panicked(origin, payload);
        }
    }

    /// Keeps a panic that was caught for the end of the batch.
    #[cold]
    pub(crate) fn panicked(&self, origin: impl FnOnce(Error) -> Report, payload: Payload) {
        match self.panic_policy.get() {
            PanicPolicy::Abort => process::abort(),
            PanicPolicy::Propagate if !thread::panicking() && !self.is_panic_pending() => {
                self.failures.borrow_mut().push_back(Failure::Panic(payload));
            }
            _ => self.report(origin(Error::Panicked(message_of(payload)))),
        }
    }

    /// Keeps a panic of the exception handler under [`PanicPolicy::Propagate`].
    pub(crate) fn unwind_later(&self, payload: Payload) {
        self.failures.borrow_mut().push_back(Failure::Panic(payload));
    }

    /// Queues a report for the end of the batch.
    pub(crate) fn report(&self, report: Report) {
        self.failures.borrow_mut().push_back(Failure::Report(report));
    }

    fn is_panic_pending(&self) -> bool {
        self.failures.borrow().iter().any(|failure| matches!(failure, Failure::Panic(_)))
    }

    #[inline]
    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.borrow().is_empty()
    }
}
