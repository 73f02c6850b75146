//! Clients of C libraries on this loop: [`libpq`] for tasks, and [`hiredis`] with callbacks.
//!
//! libcurl is the package `examples/curl_multi`.

#[cfg(hiredis)]
pub mod hiredis;
#[cfg(libpq)]
pub mod libpq;
