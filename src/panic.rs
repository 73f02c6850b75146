//! Payloads of panics, and their messages.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A caught panic: its message and its payload.
pub struct Panic(Box<CaughtPanic>);

struct CaughtPanic {
    message: String,
    /// In a lock because a payload need not be `Sync`, but `Panic` is.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panic {
        let message = text_of_panic(&*payload).to_owned();
        Panic(Box::new(CaughtPanic { message, payload: Mutex::new(payload) }))
    }

    /// Returns the panic's message, or `(non-string payload)` if the payload is not a string.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn into_message(self) -> String {
        let CaughtPanic { message, payload } = *self.0;
        ignoring_panic(|| drop(payload));
        message
    }

    /// Returns the payload, for [`std::panic::resume_unwind`].
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.0.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

/// Returns the message in a payload.
pub(crate) fn text_of_panic(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(non-string payload)")
}

/// Drops a payload and returns its message.
pub(crate) fn message_of(payload: Box<dyn Any + Send>) -> String {
    let message = text_of_panic(&*payload).to_owned();
    ignoring_panic(|| drop(payload));
    message
}

/// Runs user code and ignores its panic, which the panic hook has printed.
pub(crate) fn ignoring_panic(code: impl FnOnce()) {
    let mut outcome = catch_unwind(AssertUnwindSafe(code));
    // Dropping a payload may panic as well, and so may dropping the payload of that panic.
    while let Err(payload) = outcome {
        outcome = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
}

/// Drops user values, and returns their panic.
#[inline]
pub(crate) fn drop_caught<T>(values: T) -> thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| drop(values)))
}
