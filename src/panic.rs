//! What a panic leaves behind.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// What a panic has left.
pub struct Panic(Box<Remains>);

struct Remains {
    message: String,
    /// In a lock only to be shared between threads: a payload need not be.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panic {
        let message = text_of_panic(&*payload).to_owned();
        Panic(Box::new(Remains { message, payload: Mutex::new(payload) }))
    }

    /// What the panic said.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn into_message(self) -> String {
        let Remains { message, payload } = *self.0;
        quietly(|| drop(payload));
        message
    }

    /// The payload, for [`std::panic::resume_unwind`].
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.0.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

/// What a panic said, for a message.
pub(crate) fn text_of_panic(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with a value that is no text")
}

/// The text of a panic, whose payload is dropped.
pub(crate) fn message_of(payload: Box<dyn Any + Send>) -> String {
    let message = text_of_panic(&*payload).to_owned();
    quietly(|| drop(payload));
    message
}

/// Runs user code whose panic has no receiver; the panic hook has printed it.
pub(crate) fn quietly(code: impl FnOnce()) {
    let mut outcome = catch_unwind(AssertUnwindSafe(code));
    // The payload may panic when it is dropped, and so may the payload of that.
    while let Err(payload) = outcome {
        outcome = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
}

/// Drops user's things; a panic of theirs is the answer.
#[inline]
pub(crate) fn drop_caught<T>(things: T) -> thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| drop(things)))
}
