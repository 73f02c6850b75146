//! Tests of the example `signals`: signal handlers and a shutdown.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use super::program::{Program, run};

fn start() -> Program {
    let mut daemon = Program::start("signals", &[]);
    assert!(daemon.line().starts_with("pid "));
    daemon
}

#[test]
fn the_demo_ends_without_input() {
    let stdout = run("signals", &["--demo"]).success();
    for line in [
        "HUP: reading the configuration again",
        "INT: shutting down, a second Ctrl-C ends the process",
    ] {
        assert!(stdout.lines().any(|printed| printed == line), "{stdout}");
    }
    for signal in ["USR1: ", "TERM: "] {
        assert!(stdout.lines().any(|printed| printed.starts_with(signal)), "{stdout}");
    }
    assert!(stdout.ends_with("shut down\n"), "{stdout}");
}

#[test]
fn signals_run_callbacks() {
    let mut daemon = start();
    daemon.send(Signal::HUP);
    assert_eq!(daemon.line(), "HUP: reading the configuration again");
    daemon.send(Signal::USR1);
    assert_eq!(daemon.line(), "USR1: 1 reloads so far");
    daemon.send(Signal::KILL);
    daemon.end();
}

/// Returns true if this process, and so its children, ignore SIGINT, as shells arrange for
/// background jobs. The program restores that disposition.
fn ignores_ctrl_c() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap_or(0);
    ignored & 1 << (Signal::INT.as_raw() - 1) != 0
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    if ignores_ctrl_c() {
        return println!("skipped: this process ignores SIGINT, like a background job of a shell");
    }
    let mut daemon = start();
    daemon.send(Signal::INT);
    assert_eq!(daemon.line(), "INT: shutting down, a second Ctrl-C ends the process");
    daemon.send(Signal::INT);
    let ending = daemon.end();
    assert_eq!(ending.status.signal(), Some(Signal::INT.as_raw()), "{ending:?}");
}

#[test]
fn refuses_other_arguments() {
    let line = run("signals", &["--fast"]).error_line(2);
    assert_eq!(line, "signals: unexpected argument \"--fast\"\n");
    let line = run("signals", &["--demo", "2"]).error_line(2);
    assert_eq!(line, "signals: unexpected argument \"2\"\n");
}
