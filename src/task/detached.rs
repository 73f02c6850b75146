//! Outputs of detached tasks, and the failures in them.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use super::ending::JoinError;
use super::job::{Finished, judge_known};
use super::scope::Cancelled;
use crate::error::{Error, Result as Outcome};
use crate::event_loop::callback::Never;
use crate::text::write_chain;

/// Output of a task that [`detach`](crate::Task::detach) accepts: nothing, a plain value such as a
/// number or a text, or a `Result` whose error implements `Display`.
///
/// # What is reported
///
/// An `Err` goes to the exception handler with the line that spawned the task, and so does a panic.
/// These are not reported:
///
/// * a plain value, and `Ok`, except for an `Err` inside it whose type is one of [`mainspring::Error`](Error),
///   [`io::Error`], `Box<dyn Error>` and `Box<dyn Error + Send + Sync>`, as in the output of a
///   [`timeout`](crate::timeout);
/// * a cancellation, and [`Cancelled`] as the error, unless a deadline was the reason;
/// * an error that [`Error::is_disconnect`] recognizes, unless
///   [`EventLoopBuilder::report_disconnects`](crate::EventLoopBuilder::report_disconnects) is set. It is recognized in
///   the four types above.
///
/// A task with another output returns a `Result` instead, or is detached by
/// [`detach_discarding`](crate::Task::detach_discarding). The trait cannot be implemented in other
/// crates, because it also covers `!`, which has no name in stable Rust.
///
/// ```
/// use mainspring::{DetachedOutput, Error, EventLoop};
///
/// async fn exit_code() -> u8 {
///     3
/// }
///
/// let mut el = EventLoop::with_state(String::new())?;
/// el.set_exception_handler(|_, log, report| *log = report.error.to_string());
/// el.spawn(async {
///     match exit_code().await {
///         0 => Ok(()),
///         code => Err(format!("code {code}")),
///     }
/// })
/// .detach();
/// el.spawn(async { loop { mainspring::yield_now().await } }).detach(); // never ends: `!`
/// el.call_later(std::time::Duration::from_millis(1), |el, _| el.stop());
/// el.run_forever()?;
/// assert_eq!(el.state(), "code 3");
/// assert!(Err::<(), _>(Error::Closed).into_result().is_err());
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a detached task returns a plain value, or a `Result` whose error implements `Display`; not `{Self}`",
    note = "`detach_discarding` detaches a task and drops its output unseen",
    note = "a task can return `Ok(())`, or an `Err` with a text, in place of this output"
)]
pub trait DetachedOutput: Sized + 'static {
    /// Returns the failure to report, if the output is one.
    ///
    /// # Errors
    ///
    /// The failure.
    fn into_result(self) -> Outcome<()>;
}

impl DetachedOutput for () {
    fn into_result(self) -> Outcome<()> {
        Ok(())
    }
}

/// Values that are no failure.
macro_rules! no_failure {
    ($($type:ty)*) => {$(
        impl DetachedOutput for $type {
            fn into_result(self) -> Outcome<()> {
                Ok(())
            }
        }
    )*};
}

no_failure! { bool char f32 f64 &'static str String Vec<u8> Duration Instant }
no_failure! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

impl<T: DetachedOutput> DetachedOutput for Option<T> {
    fn into_result(self) -> Outcome<()> {
        self.map_or(Ok(()), T::into_result)
    }
}

impl DetachedOutput for Infallible {
    fn into_result(self) -> Outcome<()> {
        match self {}
    }
}

/// `!`, the output of a task that never ends.
impl DetachedOutput for Never {
    fn into_result(self) -> Outcome<()> {
        self
    }
}

impl<T: 'static, E: Display + 'static> DetachedOutput for Result<T, E> {
    fn into_result(self) -> Outcome<()> {
        match self {
            Ok(value) => judge_known(Box::new(Finished(value))),
            Err(error) => failure(Box::new(error), |error: &E| format!("{error:#}")),
        }
    }
}

type Boxed = Box<dyn StdError>;
type BoxedSync = Box<dyn StdError + Send + Sync>;

/// Makes an [`Error`] of an error of any type, without losing the causes of the usual ones. `show`
/// gives the text of another one; types such as `anyhow::Error` add their causes to `{:#}`.
fn failure<E: 'static>(error: Box<dyn Any>, show: impl FnOnce(&E) -> String) -> Outcome<()> {
    if error.downcast_ref().is_some_and(|cancelled: &Cancelled| !cancelled.is_deadline()) {
        return Ok(());
    }
    let error = match error.downcast::<BoxedSync>() {
        Ok(error) => return Err(of_boxed(*error)),
        Err(error) => error,
    };
    let error = match error.downcast::<Boxed>() {
        Ok(error) => return Err(of_local(*error)),
        Err(error) => error,
    };
    let error = match error.downcast::<JoinError>() {
        Ok(error) => return Err((*error).into()),
        Err(error) => error,
    };
    let error = known(error);
    Err(error.unwrap_or_else(|error| {
        let text = error.downcast_ref().map(show);
        Error::other(text.unwrap_or_default())
    }))
}

fn known(error: Box<dyn Any>) -> Result<Error, Box<dyn Any>> {
    let error = match error.downcast::<Error>() {
        Ok(error) => return Ok(*error),
        Err(error) => error,
    };
    error.downcast::<io::Error>().map(|error| (*error).into())
}

pub(super) fn of_boxed(error: BoxedSync) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<io::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => Error::Other(error),
    }
}

/// An error that may not leave its thread becomes its text.
pub(super) fn of_local(error: Boxed) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<io::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => {
            let mut text = String::new();
            let _ = write_chain(&mut text, &*error); // A `String` takes everything.
            Error::other(text)
        }
    }
}
