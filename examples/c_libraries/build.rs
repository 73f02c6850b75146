//! Finds libpq and hiredis. If one is missing, the package still compiles, and the program for that
//! library prints why it does nothing.

use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(libpq, hiredis)");
    println!("cargo::rerun-if-changed=src/sys/hiredis.c");
    if has_library("libpq") {
        println!("cargo::rustc-cfg=libpq");
        println!("cargo::rustc-link-lib=pq");
    }
    if has_library("hiredis") {
        println!("cargo::rustc-cfg=hiredis");
        cc::Build::new().file("src/sys/hiredis.c").compile("hiredis_access");
        println!("cargo::rustc-link-lib=hiredis");
    }
}

/// Returns true if the library and its headers are installed where the compiler finds them.
fn has_library(name: &str) -> bool {
    let found = Command::new("pkg-config").args(["--exists", name]).status();
    found.is_ok_and(|status| status.success())
}
