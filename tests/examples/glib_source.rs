//! Tests of the example `glib_source`: the loop as a source of a main context.

use super::program::{Program, command};

#[test]
fn the_loop_is_a_source_of_a_main_context() {
    let ending = Program::spawn(command("glib_source").env_remove("MAINSPRING_SELECTOR")).end();
    let stdout = ending.success();
    let lines = |who: &str| stdout.lines().filter(|line| line.starts_with(who)).count();
    assert_eq!(lines("source: message "), 3, "{stdout}");
    assert!(stdout.contains("source: message 3, sum 6\n"), "{stdout}");
    assert_eq!(lines("source: the timer of 50 ms"), 1, "{stdout}");
    assert!(lines("context: tick") >= 2, "the context runs its own callbacks: {stdout}");
    assert!(stdout.ends_with("context: the source is gone\n"), "{stdout}");
}
