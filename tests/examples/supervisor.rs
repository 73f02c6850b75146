use super::program::run;

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn failed_services_are_restarted() {
    let stdout = run("supervisor", &[]).success();
    let expected = [
        "clumsy: attempt 1: a task group failed: panicked: dropped the plates",
        "clumsy: done in attempt 2",
        "sleepy: attempt 1: the time limit of 300ms expired",
        "sleepy: attempt 2: the time limit of 300ms expired",
        "sleepy: done in attempt 3",
        "steady: done in attempt 1",
    ];
    assert_eq!(sorted(&stdout), expected);
}

#[test]
fn a_service_that_is_given_up_ends_the_group() {
    let ending = run("supervisor", &["--doomed"]);
    assert_eq!(ending.status.code(), Some(1));
    let why = "supervisor: a task group failed: doomed: given up after 3 attempts\n";
    assert_eq!(ending.stderr, why);
    assert!(!ending.stdout.contains("sleepy: done"), "{ending:?}");
}

#[test]
fn refuses_other_arguments() {
    let said = run("supervisor", &["x"]).complaint(2);
    assert!(said.contains("unexpected argument \"x\""), "{said}");
}
