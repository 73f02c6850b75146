//! Environment variables: settings of the selector, the wakeup and the timer resolution, and the
//! variables of a service manager.
//!
//! A process with more privileges than the user who started it (set-user-ID) ignores them: that
//! user must not change how it runs.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::str::FromStr;

/// Returns the value of the variable. `None` if it is unset or empty, or if the process is
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

/// Returns the parsed value of the variable, or `None` as for [`variable`].
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

/// Returns the one of `kinds` with this name. `what` names them in the error.
///
/// # Errors
///
/// `InvalidInput` with the names of all kinds.
pub(crate) fn kind_named<K: Copy + Display>(what: &str, name: &str, kinds: &[K]) -> io::Result<K> {
    kinds.iter().copied().find(|kind| kind.to_string() == name).ok_or_else(|| {
        let names = kinds.iter().map(K::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("unknown {what} {name:?}; this system has {names}");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// Returns true if the process may have more rights than the user who started it.
#[cfg(has_getauxval)]
pub fn is_privileged() -> bool {
    // SAFETY: the call takes an integer and reads a value that the kernel stored at the start of
    // the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Returns true if the process may have more rights than the user who started it.
#[cfg(has_issetugid)]
pub fn is_privileged() -> bool {
    // The libc crate does not declare the function for every system that has it.
    // SAFETY: this is the prototype of issetugid(2) on all these systems; it has no arguments and
    // touches no memory of ours.
    unsafe extern "C" {
        safe fn issetugid() -> libc::c_int;
    }
    issetugid() != 0
}

/// Removes the variables from the environment, so that no child inherits them, and returns their
/// values. A value is `None` as for [`variable`].
///
/// The variables stay in the environment if the process has other threads, or if its threads cannot
/// be counted (only Linux can, by `/proc`): C code may read the environment at the same time
/// (getenv(3)). Then [`Command::env_remove`](std::process::Command::env_remove) hides them from a
/// child.
///
/// ```
/// use mainspring_sys::environment::take;
///
/// assert_eq!(take(&["MAINSPRING_NO_SUCH_VARIABLE"]), [None]);
/// ```
///
/// # Panics
///
/// If a name is empty, or contains `=` or a zero byte.
pub fn take(names: &[&str]) -> Vec<Option<OsString>> {
    let is_privileged = is_privileged();
    let value = |name: &&str| env::var_os(name).filter(|value| !value.is_empty() && !is_privileged);
    let values = names.iter().map(value).collect();
    if has_one_thread() {
        for name in names {
            // SAFETY: the process has no other thread that could read the environment meanwhile,
            // and only this one could start it.
            unsafe { env::remove_var(name) };
        }
    }
    values
}

/// Returns true if the calling thread is certainly the only one of the process.
#[cfg(has_proc_tasks)]
fn has_one_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Returns false: threads cannot be counted.
#[cfg(not(has_proc_tasks))]
fn has_one_thread() -> bool {
    false
}
