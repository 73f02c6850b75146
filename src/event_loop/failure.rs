//! Failures that wait for the end of a batch, and the panic policy around a callback.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;

use super::report::{PanicPolicy, Report};
use crate::error::{Error, Result};
use crate::panic::message_of;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send>;

/// A failure during a batch. It is handled after the batch.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A report for the exception handler.
    Report(Report),
    /// A panic that unwinds out of the run.
    Panic(Payload),
}

/// Runs user code, and returns its panic as an error.
///
/// Under [`PanicPolicy::Propagate`] the caller runs it directly: in a closure that is called in two
/// places, it is not inlined, which costs a turn 14 instructions.
#[cold]
pub(crate) fn catch<T>(policy: PanicPolicy, run: impl FnOnce() -> T) -> Result<T> {
    // Unwind safe: only values of the user can be half-changed. The loop's tables are not borrowed.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        if policy == PanicPolicy::Abort {
            process::abort(); // The panic hook has printed the message.
        }
        Error::Panicked(message_of(payload))
    })
}
