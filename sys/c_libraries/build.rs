//! Finds libpq and hiredis. If one is missing, its module is, and so is the program for it.

use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(libpq, hiredis)");
    println!("cargo::rerun-if-changed=src/hiredis.c");
    if has_library("libpq") {
        println!("cargo::rustc-link-lib=pq");
    }
    if has_library("hiredis") {
        cc::Build::new().file("src/hiredis.c").compile("hiredis_access");
        println!("cargo::rustc-link-lib=hiredis");
    }
}

/// Returns true if the library and its headers are installed where the compiler finds them. Then
/// its name is a cfg, here and, by the metadata, in packages that depend on this one.
fn has_library(name: &str) -> bool {
    let found = Command::new("pkg-config").args(["--exists", name]).status();
    let is_found = found.is_ok_and(|status| status.success());
    if is_found {
        println!("cargo::rustc-cfg={name}");
        println!("cargo::metadata={name}=found");
    }
    is_found
}
