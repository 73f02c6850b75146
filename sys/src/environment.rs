//! Environment variables that choose the selector, the wakeup and the timer resolution.
//!
//! They exist for tests and for troubleshooting. A process with more rights than the user who
//! started it (set-user-ID) ignores them: that user must not change how it runs.

use std::env;
use std::io;
use std::str::FromStr;

/// Returns the value of the variable. None if it is unset or empty, or if the process is
/// set-user-ID or set-group-ID.
///
/// Bytes that are not UTF-8 are replaced.
///
/// ```
/// use mainspring_sys::environment::variable;
///
/// assert_eq!(variable("MAINSPRING_NO_SUCH_VARIABLE"), None);
/// ```
pub fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name).filter(|value| !value.is_empty() && !is_privileged())?;
    Some(value.to_string_lossy().into_owned())
}

/// Returns the parsed value of the variable, or None as for [`variable`].
///
/// # Errors
///
/// The error of parsing, with the name of the variable in front.
pub(crate) fn choice<T: FromStr<Err = io::Error>>(variable: &str) -> io::Result<Option<T>> {
    let Some(value) = self::variable(variable) else { return Ok(None) };
    match value.parse() {
        Ok(choice) => Ok(Some(choice)),
        Err(error) => Err(io::Error::new(error.kind(), format!("{variable}: {error}"))),
    }
}

/// Returns true if the process may have more rights than the user who started it.
#[cfg(has_getauxval)]
fn is_privileged() -> bool {
    // SAFETY: the call takes an integer and reads a value that the kernel stored at the start of
    // the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Returns true if the process may have more rights than the user who started it.
#[cfg(has_issetugid)]
fn is_privileged() -> bool {
    // The libc crate does not declare the function for every system that has it.
    // SAFETY: this is the prototype of issetugid(2) on all these systems; it has no arguments and
    // touches no memory of ours.
    unsafe extern "C" {
        safe fn issetugid() -> libc::c_int;
    }
    issetugid() != 0
}
