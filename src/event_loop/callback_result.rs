//! Return values of callbacks: `()`, a `Result`, or `!`.

use crate::error::Result;

/// The return type of a scheduled closure: `()`, or a [`Result`]. An error goes to the exception
/// handler. A closure that never returns, because it ends the process or loops, is a callback as
/// well:
///
/// ```no_run
/// use mainspring::{EventLoop, Signal};
///
/// let mut el = EventLoop::new()?;
/// el.add_signal_handler(Signal::TERM, |_, _| std::process::exit(0))?;
/// el.run_forever()
/// # ; Ok::<(), mainspring::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback returns `()` or `mainspring::Result<()>`, and not `{Self}`",
    note = "end its last expression with `;` to return nothing",
    note = "another error becomes a `mainspring::Error` by `?`, or by `Error::other`"
)]
pub trait CallbackResult {
    /// Converts the value to a [`Result`].
    ///
    /// # Errors
    ///
    /// The error that the callback returned.
    fn into_result(self) -> Result<()>;
}

impl CallbackResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl CallbackResult for Result<()> {
    fn into_result(self) -> Result<()> {
        self
    }
}

/// Names the return type of a function pointer.
pub trait Returns {
    /// The return type.
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// The type `!`. Stable Rust accepts `!` only as the return type of a function.
pub(crate) type Never = <fn() -> ! as Returns>::Value;

/// A callback that never returns.
impl CallbackResult for Never {
    fn into_result(self) -> Result<()> {
        self
    }
}
