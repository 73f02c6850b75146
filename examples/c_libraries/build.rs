//! Compiles the programs of the libraries that `c_libraries-sys` has found. The program of a
//! missing one prints why it does nothing.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(libpq, hiredis)");
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["libpq", "hiredis"] {
        if env::var_os(format!("DEP_C_LIBRARIES_{}", name.to_uppercase())).is_some() {
            println!("cargo::rustc-cfg={name}");
        }
    }
}
