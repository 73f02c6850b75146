//! Tests of the example `timers`: the calls for timers and intervals.

use super::program::run;

/// Returns the time in milliseconds at which the program first printed `text`.
#[track_caller]
fn time_of(text: &str, stdout: &str) -> u64 {
    let line = stdout.lines().find(|line| line.contains(text));
    let line = line.unwrap_or_else(|| panic!("no {text:?} in {stdout}"));
    let (time, _) = line.strip_prefix("T=").and_then(|line| line.split_once("ms")).unwrap();
    time.trim().parse().unwrap()
}

#[test]
fn every_timer_runs_and_none_early() {
    let stdout = run("timers", &[]).success();
    assert!(stdout.lines().next().is_some_and(|line| line.contains("call_soon")), "{stdout}");
    assert!(time_of("cancel: the callback", &stdout) >= 25);
    assert!(time_of("call_later", &stdout) >= 50);
    assert!(time_of("call_at", &stdout) >= 75);
    assert!(time_of("call_every", &stdout) >= 80);
    assert!(time_of("idle limit", &stdout) >= 280);
    assert!(time_of("no more packets", &stdout) >= 420);
    assert!(stdout.ends_with("nothing is left to do\n"), "{stdout}");
}

#[test]
fn a_cancelled_callback_does_not_run() {
    let stdout = run("timers", &[]).success();
    assert!(!stdout.contains("a cancelled callback has run"), "{stdout}");
}

#[test]
fn an_interval_skips_ticks_missed_while_busy() {
    let stdout = run("timers", &[]).success();
    let packets = stdout.lines().filter_map(|line| line.split_once("a packet, "));
    let missed = packets.filter(|(_, rest)| !rest.starts_with("0 missed"));
    assert!(missed.count() >= 1, "{stdout}");
}

#[test]
fn refuses_arguments() {
    assert_eq!(run("timers", &["1"]).error_line(2), "timers: unexpected argument \"1\"\n");
}
