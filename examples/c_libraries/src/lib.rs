//! Clients of C libraries on this loop: `libpq` for tasks, and `hiredis` with callbacks. The module
//! of a library that is not installed is missing.
//!
//! Each is safe code on top of a module of `c_libraries_sys`. libcurl is the package
//! `examples/curl_multi`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mainspring::Result;

#[cfg(hiredis)]
pub mod hiredis;
#[cfg(libpq)]
pub mod libpq;

/// Runs a program with its arguments, and prints its error.
pub fn run(name: &str, program: fn(&[String]) -> Result<()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match program(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
