//! Tests of the example `restarts`: services that are restarted.

use super::program::run;

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn failed_services_are_restarted() {
    let stdout = run("restarts", &[]).success();
    let expected = [
        "good: done in attempt 1",
        "hanging: attempt 1: the time limit of 300ms expired",
        "hanging: attempt 2: the time limit of 300ms expired",
        "hanging: done in attempt 3",
        "panicking: attempt 1: a task group failed: panicked: on purpose",
        "panicking: done in attempt 2",
    ];
    assert_eq!(sorted(&stdout), expected);
}

#[test]
fn a_service_that_is_given_up_ends_the_group() {
    let ending = run("restarts", &["--with-failing"]);
    assert_eq!(ending.status.code(), Some(1));
    let reason = "restarts: a task group failed: failing: given up after 3 attempts\n";
    assert_eq!(ending.stderr, reason);
    assert!(!ending.stdout.contains("hanging: done"), "{ending:?}");
}

#[test]
fn refuses_other_arguments() {
    let text = run("restarts", &["x"]).error_line(2);
    assert!(text.contains("unexpected argument \"x\""), "{text}");
}
