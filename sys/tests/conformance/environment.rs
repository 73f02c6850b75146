//! Environment variables of a program, each test in its own process.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use mainspring_sys::{SelectorKind, WakeupKind};

use crate::support::alone;

/// The test that the child processes run: it prints the settings that they use.
#[test]
fn choices() {
    let _alone = alone();
    // SAFETY: the call has no arguments and touches no memory of ours.
    let effective = unsafe { libc::geteuid() };
    // SAFETY: as above.
    println!("raised: {}", effective != unsafe { libc::getuid() });
    println!("selector: {:?}", SelectorKind::from_env().map_err(|error| error.to_string()));
    println!("wakeup: {:?}", WakeupKind::from_env().map_err(|error| error.to_string()));
    for kind in SelectorKind::available() {
        println!("{kind}: {:?}", kind.open().map_err(|error| error.to_string()));
    }
}

/// Returns the output of a process in which `variable` is `value`.
fn choices_of(program: &Path, variable: &str, value: &str) -> String {
    let mut command = Command::new(program);
    for name in ["MAINSPRING_SELECTOR", "MAINSPRING_WAKEUP", "MAINSPRING_WAIT"] {
        command.env_remove(name);
    }
    command.args(["--exact", "environment::choices", "--nocapture"]).env(variable, value);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn assert_output(variable: &str, value: &str, expected: &[&str]) {
    let _alone = alone();
    let output = choices_of(&std::env::current_exe().unwrap(), variable, value);
    for part in expected {
        assert!(output.contains(part), "{variable}={value}: no {part:?} in {output}");
    }
}

#[test]
fn the_selector_can_be_chosen() {
    assert_output("MAINSPRING_SELECTOR", "poll", &["selector: Ok(Some(Poll))", "wakeup: Ok(None)"]);
    assert_output("MAINSPRING_SELECTOR", "select", &["selector: Ok(Some(Select))"]);
    assert_output("MAINSPRING_SELECTOR", "", &["selector: Ok(None)"]);
}

#[test]
fn the_wakeup_can_be_chosen() {
    assert_output("MAINSPRING_WAKEUP", "pipe", &["selector: Ok(None)", "wakeup: Ok(Some(Pipe))"]);
}

#[test]
fn an_invalid_value_names_the_variable_and_the_valid_ones() {
    let mut kinds = SelectorKind::available().iter().map(|kind| kind.to_string());
    let best = kinds.next().unwrap();
    let selector = ["selector: Err(\"MAINSPRING_SELECTOR: ", "pool", best.as_str(), ", select\")"];
    assert_output("MAINSPRING_SELECTOR", "pool", &selector);
    assert_output(
        "MAINSPRING_WAKEUP",
        "ring",
        &["wakeup: Err(\"MAINSPRING_WAKEUP: ", "ring", "pipe"],
    );
}

#[cfg(has_epoll)]
#[test]
fn the_wait_of_epoll_can_be_chosen() {
    assert_output("MAINSPRING_WAIT", "milliseconds", &["resolution: Milliseconds"]);
    assert_output("MAINSPRING_WAIT", "nanoseconds", &["resolution: Nanoseconds"]);
    let wrong = ["epoll: Err(\"MAINSPRING_WAIT: ", "days", "nanoseconds, milliseconds", "poll: Ok"];
    assert_output("MAINSPRING_WAIT", "days", &wrong);
}

/// Only the superuser can create a program that runs with other rights than its user.
#[test]
fn set_user_id_programs_ignore_the_variables() {
    const NOBODY: u32 = 65_534;
    if cfg!(kqueue_is_library) {
        return; // The dynamic linker ignores LD_LIBRARY_PATH then.
    }
    let _alone = alone();
    let program =
        crate::short_dir::short_dir().join(format!("mainspring-raised-{}", std::process::id()));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let may = chown(&program, Some(NOBODY), None).is_ok();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let output = choices_of(&program, "MAINSPRING_SELECTOR", "poll");
    fs::remove_file(&program).unwrap();
    if may && output.contains("raised: true") {
        assert!(output.contains("selector: Ok(None)"), "{output}");
    } else {
        assert!(output.contains("selector: Ok(Some(Poll))"), "{output}");
    }
}
