//! Choices that the environment may make for a program: which selector, which wakeup, which wait.
//!
//! They are there for tests and for a user in trouble. A process that has more rights than whoever
//! started it must not let that one choose, so it is told that nothing is set.

use std::env;
use std::io;
use std::str::FromStr;

/// The value of the variable; None if it is unset or empty, or this process may not listen.
pub fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name).filter(|value| !value.is_empty() && !is_privileged())?;
    Some(value.to_string_lossy().into_owned())
}

/// The choice that the variable makes, if it makes one.
///
/// # Errors
///
/// The value is not one of those that `T` knows. The message names the variable.
pub(crate) fn choice<T: FromStr<Err = io::Error>>(variable: &str) -> io::Result<Option<T>> {
    let Some(value) = self::variable(variable) else { return Ok(None) };
    match value.parse() {
        Ok(choice) => Ok(Some(choice)),
        Err(error) => Err(io::Error::new(error.kind(), format!("{variable}: {error}"))),
    }
}

/// Whether the kernel gave this process rights that whoever started it need not have.
#[cfg(has_getauxval)]
fn is_privileged() -> bool {
    // SAFETY: the call reads a value that the kernel left at the start of the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether the kernel gave this process rights that whoever started it need not have.
#[cfg(has_issetugid)]
fn is_privileged() -> bool {
    // libc does not declare the function for every system that has it.
    // SAFETY: this is the prototype of issetugid(2) on all of them; it takes and touches nothing.
    unsafe extern "C" {
        safe fn issetugid() -> libc::c_int;
    }
    issetugid() != 0
}
