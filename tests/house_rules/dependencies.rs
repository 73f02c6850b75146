//! The crates that a program gets with mainspring.

use std::collections::BTreeSet;
use std::process::Command;

const DEFAULT: &[&str] = &["bitflags", "libc", "mainspring", "mainspring-sys", "thiserror"];

#[test]
fn a_build_without_features_has_three_crates() {
    for arguments in [&[][..], &["--no-default-features"], &["--target", "all"]] {
        assert_eq!(crates(arguments), set(DEFAULT), "{arguments:?}");
    }
}

#[test]
fn the_feature_tracing_adds_two_crates() {
    let with_two = set(&[DEFAULT, &["once_cell", "tracing-core"]].concat());
    assert_eq!(crates(&["--features", "tracing"]), with_two);
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().copied().map(String::from).collect()
}

/// The crates of a build of mainspring. Those that only run in the compiler are left out.
fn crates(arguments: &[&str]) -> BTreeSet<String> {
    let edges = ["tree", "--locked", "--offline", "--edges", "normal,no-proc-macro"];
    let output = Command::new(env!("CARGO"))
        .args(edges)
        .args(["--prefix", "none", "--package", "mainspring"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    text.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name.to_owned()).collect()
}
