//! The program, run like a user runs it.

use std::process::Command;

#[test]
fn lines_come_back_and_an_untrusting_client_is_refused() {
    let long = "a line of more than one TLS record ".repeat(2000);
    let program = env!("CARGO_BIN_EXE_tls_echo");
    let output = Command::new(program).args(["first", &long, "last"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("a client without the certificate: "), "{}", lines[0]);
    assert!(lines[0].contains("certificate"), "{}", lines[0]);
    assert_eq!(lines[1..], ["came back: first", &format!("came back: {long}"), "came back: last"]);
}

/// The memory for a line is limited.
#[test]
fn a_line_without_an_end_is_refused() {
    let endless = "x".repeat(110_000);
    let program = env!("CARGO_BIN_EXE_tls_echo");
    let output = Command::new(program).args(["first", &endless]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("longer than 98304 bytes"),
        "{output:?}"
    );
}
