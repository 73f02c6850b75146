//! Refuses a target that is not Unix with one clear sentence instead of a page of errors.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_UNIX").is_none() {
        let target = env::var("TARGET").unwrap_or_default();
        println!(
            "cargo::error=mainspring is an event loop for Unix daemons, and {target} is not a Unix"
        );
    }
}
