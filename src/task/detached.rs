//! [`DetachedOutput`]: output types of tasks that can be detached without hiding a failure.

use std::any::Any;
use std::fmt::Display;
use std::time::{Duration, Instant};

use super::any_task::{Failed, Finished};
use super::failure::{as_type, drop_output, from_any, of_known_types};
use crate::error::Result as MaybeFailure;
use crate::event_loop::callback_result::Never;

/// An output type that [`detach`](crate::Task::detach) accepts: `()`, a plain value such as a
/// number or a string, or a `Result` with an error type that implements `Display`.
///
/// # Reports
///
/// A panic and an `Err` go to the exception handler, with the line that spawned the task. These are
/// not reported:
///
/// * A plain value, and `Ok`. But an `Err` inside the `Ok`, as from a [`timeout`](crate::timeout),
///   is reported if its type is known. Known types are [`mainspring::Error`](crate::Error),
///   [`io::Error`](std::io::Error), `Box<dyn Error>` and `Box<dyn Error + Send + Sync>`.
/// * A cancellation, including the error [`Cancelled`](crate::Cancelled), unless a deadline was the
///   reason.
/// * A disconnect: an error of the four types above for which
///   [`is_disconnect`](crate::Error::is_disconnect) returns true. The setting
///   [`report_disconnects`](crate::EventLoopBuilder::report_disconnects) reports these as well.
///
/// A task with any other output can return a `Result` instead, or be detached by
/// [`detach_discarding`](crate::Task::detach_discarding). Other crates cannot implement the trait,
/// because it covers `!`, which has no name in stable Rust.
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
/// el.spawn(async { loop { mainspring::yield_now().await } }).detach(); // the output is `!`
/// el.call_later(std::time::Duration::from_millis(1), |el, _| el.stop());
/// el.run_forever()?;
/// assert_eq!(el.state(), "code 3");
/// assert!(Err::<(), _>(Error::Closed).into_result().is_err());
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a detached task returns a plain value, or a `Result` whose error implements `Display`; not `{Self}`",
    note = "`detach_discarding` detaches a task and drops its output unseen",
    note = "a task can return `Ok(())`, or an `Err` with a text, instead of this output"
)]
pub trait DetachedOutput: Sized + 'static {
    /// Returns the failure to report, if the output holds one.
    ///
    /// # Errors
    ///
    /// The failure.
    fn into_result(self) -> MaybeFailure<()>;
}

impl DetachedOutput for () {
    fn into_result(self) -> MaybeFailure<()> {
        Ok(())
    }
}

/// Implements the trait for types that hold no failure.
macro_rules! no_failure {
    ($($type:ty)*) => {$(
        impl DetachedOutput for $type {
            fn into_result(self) -> MaybeFailure<()> {
                Ok(())
            }
        }
    )*};
}

no_failure! { bool char f32 f64 &'static str String Vec<u8> Duration Instant }
no_failure! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

impl<T: DetachedOutput> DetachedOutput for Option<T> {
    fn into_result(self) -> MaybeFailure<()> {
        self.map_or(Ok(()), T::into_result)
    }
}

/// For `!`, the output of a task that never ends.
impl DetachedOutput for Never {
    fn into_result(self) -> MaybeFailure<()> {
        self
    }
}

impl<T: 'static, E: Display + 'static> DetachedOutput for Result<T, E> {
    fn into_result(self) -> MaybeFailure<()> {
        match self {
            Ok(value) => of_known_types(Box::new(Finished(value))),
            Err(error) => from_any(Box::new(error), |error: &E| format!("{error:#}")),
        }
    }
}

/// The [`FailureOf`](super::failure::FailureOf) function of a task with an output type that
/// implements [`DetachedOutput`].
pub(crate) fn of_output<T: DetachedOutput>(output: Box<dyn Any>) -> MaybeFailure<()> {
    as_type(output, |Finished(output): Finished<T>| output.into_result())
        .or_else(|output| as_type(output, Failed::into_report))
        .unwrap_or_else(drop_output)
}
