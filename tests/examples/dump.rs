//! Tests of the example `dump`: the table of a loop on a signal, and a loop that is stalled.

use mainspring::SelectorKind;

use super::program::{Program, command, run};

#[test]
fn o14_a_signal_prints_the_table_and_the_loop_goes_on() {
    for kind in SelectorKind::available() {
        let mut demo = command("dump");
        let demo = demo.arg("--demo").env("MAINSPRING_SELECTOR", kind.to_string());
        let ended = Program::spawn(demo).end();
        assert!(ended.status.success() && ended.stdout.is_empty(), "on {kind}: {ended:?}");
        let line = |kind: &str| {
            let is_it = |line: &&str| line.trim_start_matches(['*', ' ']).starts_with(kind);
            ended.stderr.lines().find(is_it).unwrap_or_else(|| panic!("no {kind} in {ended:?}"))
        };
        assert!(
            line("task").contains("\"session of a client\" waits for sleep at examples/dump.rs:")
        );
        assert!(line("signal").contains("in the background"), "{ended:?}");
        assert!(line("timer").contains("due in"), "the loop goes on: {ended:?}");
    }
}

#[test]
fn o14_a_signal_that_cannot_be_caught_is_an_error() {
    let el = mainspring::EventLoop::new().unwrap();
    for signal in [mainspring::Signal::KILL, mainspring::Signal::STOP] {
        let error = el.dump_on(signal).unwrap_err();
        assert!(matches!(error, mainspring::Error::Signal { .. }), "{error}");
    }
    assert!(el.snapshot().entries().is_empty());
}

#[test]
fn o12_the_error_of_a_stalled_program_is_one_line() {
    let line = run("dump", &["--stalled"]).error_line(1);
    assert!(line.starts_with("dump: nothing can wake the loop, and 2 tasks wait: "));
    assert!(line.contains("\"first\" spawned at examples/dump.rs:"), "{line}");
    assert!(line.contains(" waits for promise at examples/dump.rs:"), "{line}");
}
