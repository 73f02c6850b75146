//! Tests of the example `embed`: the loop inside another loop.

use super::program::{Program, command, run};

/// Returns the lines with this prefix, without the prefix.
fn lines_of<'a>(prefix: &str, stdout: &'a str) -> Vec<&'a str> {
    stdout.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
}

#[test]
fn jobs_go_through_both_loops() {
    let ending = Program::spawn(command("embed").env_remove("MAINSPRING_SELECTOR")).end();
    let stdout = ending.success();
    assert_eq!(
        lines_of("loop: job ", &stdout),
        ["1 from the thread", "2 from the thread", "3 from the thread"]
    );
    assert_eq!(lines_of("host: job ", &stdout), ["1", "2", "3"]);
    assert_eq!(lines_of("loop: answer ", &stdout), ["1", "2", "3"]);
    assert_eq!(lines_of("loop: the timer", &stdout), [" of 50 ms"]);
    assert!(stdout.ends_with("host: the loop has nothing left to do\n"), "{stdout}");
}

#[test]
fn reports_a_selector_without_a_descriptor() {
    for selector in ["poll", "select"] {
        let ending = Program::spawn(command("embed").env("MAINSPRING_SELECTOR", selector)).end();
        assert!(ending.error_line(1).contains("this selector has no descriptor"));
    }
}

#[test]
fn refuses_arguments() {
    assert_eq!(run("embed", &["x"]).error_line(2), "embed: unexpected argument \"x\"\n");
}
