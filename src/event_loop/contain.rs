//! Panics of user code that runs as a part of another operation: the `Drop` of captures, sources
//! and outputs, and wakers of other executors.
//!
//! [`LoopCore::contain`] and [`LoopCore::contain_later`] keep such a panic from leaving the
//! operation half-done. A callback itself runs under [`catch`](super::failure::catch).
//!
//! # Invariants
//!
//! * A caught panic is in the agenda, as a panic that unwinds later or as a report.
//! * A panic during another panic is caught, because two at a time abort the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{process, thread};

use super::failure::{Failure, Payload};
use super::loop_core::LoopCore;
use super::report::{PanicPolicy, Report};
use crate::error::Error;
use crate::panic::message_of;

impl LoopCore {
    /// Runs user code at the end of an operation, when the loop's part of it is done. A panic
    /// unwinds, or becomes the report that `origin` makes, depending on the policy.
    #[inline]
    pub(crate) fn contain(&self, origin: impl FnOnce(Error) -> Report, run: impl FnOnce()) {
        match self.panic_policy.get() {
            PanicPolicy::Propagate if !self.closing.get() && !thread::panicking() => run(),
            _ => self.contain_later(origin, run),
        }
    }

    /// Runs user code in the middle of an operation. A panic waits for the end of the batch. Then
    /// it unwinds, or becomes the report that `origin` makes.
    #[inline]
    pub(crate) fn contain_later(&self, origin: impl FnOnce(Error) -> Report, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.panicked(origin, payload);
        }
    }

    /// Keeps a caught panic for the end of the batch.
    #[cold]
    pub(crate) fn panicked(&self, origin: impl FnOnce(Error) -> Report, payload: Payload) {
        match self.panic_policy.get() {
            PanicPolicy::Abort => process::abort(),
            PanicPolicy::Propagate if !thread::panicking() && !self.agenda.is_panic_pending() => {
                self.unwind_later(payload);
            }
            _ => self.report(origin(Error::Panicked(message_of(payload)))),
        }
    }

    /// Stores a panic, which unwinds at the end of the batch.
    pub(crate) fn unwind_later(&self, payload: Payload) {
        self.agenda.push_failure(Failure::Panic(payload));
    }

    /// Queues a report for the end of the batch, where the state is available.
    pub(crate) fn report(&self, report: Report) {
        self.agenda.push_failure(Failure::Report(report));
    }
}
