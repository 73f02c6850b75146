//! All unsafe code: the C functions, and a safe type for each of their objects.
//!
//! A method makes one call, and is sound for every caller.

use std::ffi::{CStr, c_char};

#[cfg(hiredis)]
pub mod hiredis;
#[cfg(libpq)]
pub mod libpq;

/// Returns a copy of a text of a library.
///
/// # Safety
///
/// It must end with 0.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: as the caller guarantees.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
