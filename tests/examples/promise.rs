//! Tests of the example `promise`: a callback API as a future.

use super::program::run;

#[test]
fn one_address_is_open_and_the_other_is_closed() {
    let stdout = run("promise", &[]).success();
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable_by_key(|line| line.contains("cannot connect"));
    assert_eq!(lines.len(), 2, "{stdout}");
    assert!(lines[0].contains(": open, after "), "{stdout}");
    assert!(lines[1].contains("Connection refused"), "{stdout}");
}

#[test]
fn fails_if_no_address_is_open() {
    let ending = run("promise", &["127.0.0.1:1"]);
    assert_eq!(ending.status.code(), Some(1));
    assert!(ending.stdout.contains("127.0.0.1:1: cannot connect"), "{ending:?}");
}

#[test]
fn refuses_an_invalid_address() {
    let text = run("promise", &["nonsense"]).error_line(2);
    assert!(text.starts_with("promise: \"nonsense\" is not an address: "), "{text}");
}
