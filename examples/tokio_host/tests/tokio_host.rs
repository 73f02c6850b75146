//! The program, run like a user runs it: it serves everything and ends.

use std::process::Command;

#[test]
fn an_edge_triggered_host_misses_nothing() {
    let program = env!("CARGO_BIN_EXE_tokio_host");
    let output = Command::new(program).env_remove("MAINSPRING_SELECTOR").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("loop: 100 datagrams\n"), "{stdout}");
    assert!(stdout.contains("loop: a message\n"), "{stdout}");
    assert!(stdout.contains("loop: the timer of 50 ms\n"), "{stdout}");
    assert_eq!(stdout.matches("host: tick\n").count(), 3, "{stdout}");
}

#[test]
fn a_selector_without_a_descriptor_is_an_error() {
    let program = env!("CARGO_BIN_EXE_tokio_host");
    let output = Command::new(program).env("MAINSPRING_SELECTOR", "poll").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("this selector has no descriptor"), "{stderr}");
}
