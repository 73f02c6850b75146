use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use super::program::{Program, run};

fn start() -> Program {
    let mut daemon = Program::start("signals", &[]);
    assert!(daemon.line().starts_with("pid "));
    daemon
}

#[test]
fn the_demonstration_ends_by_itself() {
    let stdout = run("signals", &["--demo"]).success();
    for line in ["HUP: reading the configuration again", "INT: winding down, Ctrl-C ends at once"] {
        assert!(stdout.lines().any(|said| said == line), "{stdout}");
    }
    for signal in ["USR1: ", "TERM: "] {
        assert!(stdout.lines().any(|said| said.starts_with(signal)), "{stdout}");
    }
    assert!(stdout.ends_with("the end\n"), "{stdout}");
}

#[test]
fn signals_are_callbacks() {
    let mut daemon = start();
    daemon.send(Signal::HUP);
    assert_eq!(daemon.line(), "HUP: reading the configuration again");
    daemon.send(Signal::USR1);
    assert_eq!(daemon.line(), "USR1: 1 reloads so far");
    daemon.send(Signal::KILL);
    daemon.end();
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut daemon = start();
    daemon.send(Signal::INT);
    assert_eq!(daemon.line(), "INT: winding down, Ctrl-C ends at once");
    daemon.send(Signal::INT);
    let ending = daemon.end();
    assert_eq!(ending.status.signal(), Some(Signal::INT.as_raw()), "{ending:?}");
}

#[test]
fn refuses_other_arguments() {
    let line = run("signals", &["--fast"]).complaint(2);
    assert_eq!(line, "signals: unexpected argument \"--fast\"\n");
    let line = run("signals", &["--demo", "2"]).complaint(2);
    assert_eq!(line, "signals: unexpected argument \"2\"\n");
}
