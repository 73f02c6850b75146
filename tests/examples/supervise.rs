//! Tests of the example `supervise`: programs that are restarted and stopped.

use rustix::process::Signal;

use super::program::{Program, has_ended, run, wait_until};

#[test]
fn the_output_of_a_command_has_its_number() {
    let stdout = run("supervise", &["echo one; echo two >&2", "printf 'no end'"]).success();
    for line in ["1| one", "1| two", "2| no end", "1: exit status: 0", "2: exit status: 0"] {
        assert!(stdout.lines().any(|printed| printed == line), "{line}: {stdout}");
    }
}

#[test]
fn a_failing_command_is_started_again_and_given_up() {
    let ending = run("supervise", &["--give-up", "3", "exit 7", "echo fine"]);
    assert_eq!(ending.status.code(), Some(1));
    assert_eq!(ending.stdout.matches("1: exit status: 7\n").count(), 3, "{}", ending.stdout);
    assert!(ending.stdout.contains("1: next start in 100ms\n"), "{}", ending.stdout);
    assert!(ending.stdout.contains("1: next start in 200ms\n"), "{}", ending.stdout);
    assert!(ending.stdout.contains("2| fine\n"), "{}", ending.stdout);
    assert_eq!(ending.stderr, "supervise: 1: given up after 3 failures: exit 7\n");
}

#[test]
fn term_stops_commands_in_their_own_way() {
    let polite = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let mut supervisor = Program::start("supervise", &[polite]);
    while supervisor.line() != "1| ready" {}
    supervisor.send(Signal::TERM);
    let stdout = supervisor.end().success();
    assert!(stdout.contains("SIGTERM: stopping\n") && stdout.contains("1| bye\n"), "{stdout}");
    assert!(stdout.ends_with("1: stopped, exit status: 0\n"), "{stdout}");
}

#[test]
fn a_command_that_ignores_term_is_killed_with_its_group() {
    let stubborn = "trap '' TERM; sleep 1000 & echo $!; wait; wait";
    let mut supervisor = Program::start("supervise", &["--grace", "0", stubborn]);
    assert!(supervisor.line().starts_with("1: started as process "));
    let sleeper = supervisor.line();
    let sleeper: u32 = sleeper.trim_start_matches("1| ").parse().expect("the id of the sleeper");
    supervisor.send(Signal::TERM);
    let stdout = supervisor.end().success();
    assert!(stdout.ends_with("1: stopped, signal: 9 (SIGKILL)\n"), "{stdout}");
    wait_until(|| has_ended(sleeper));
}

#[test]
fn refuses_other_arguments() {
    let line = run("supervise", &["--fast"]).error_line(2);
    assert_eq!(line, "supervise: there is no option --fast\n");
    let line = run("supervise", &[]).error_line(2);
    assert!(line.starts_with("supervise: no command"), "{line}");
    let line = run("supervise", &["--grace", "x"]).error_line(2);
    assert_eq!(line, "supervise: --grace needs a number of seconds\n");
}
