//! C libraries for the examples: their functions, and a safe type for each of their objects.
//!
//! A method makes one call, and is sound for every caller. The examples have no unsafe code.

#[cfg(any(hiredis, libpq))]
use std::ffi::{CStr, c_char};

#[cfg(any(hiredis, libpq))]
use mainspring::Error;

#[cfg(hiredis)]
pub mod hiredis;
#[cfg(feature = "libcurl")]
pub mod libcurl;
#[cfg(libpq)]
pub mod libpq;

/// Returns a copy of a text of a library.
///
/// # Safety
///
/// It must end with 0.
#[cfg(any(hiredis, libpq))]
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: as the caller guarantees.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Returns a message of a library as an error.
///
/// # Safety
///
/// It must end with 0.
#[cfg(any(hiredis, libpq))]
unsafe fn error(message: *const c_char) -> Error {
    // SAFETY: as the caller guarantees.
    Error::other(unsafe { text(message) }.trim_end())
}
