//! Tests of the example `metrics`: the numbers of a loop, served by another one.

use super::program::run;

#[test]
fn numbers_are_served_while_the_loop_is_blocked() {
    let stdout = run("metrics", &["--demo"]).success();
    let number = |name: &str| -> f64 {
        let line = stdout.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {stdout}")).trim().parse().unwrap()
    };
    let ticks = number("mainspring_ticks_total");
    assert!((5.0..=50.0).contains(&ticks), "{stdout}");
    assert!(number("mainspring_timers_run_total") >= 5.0, "{stdout}");
    let kinds = ["soon", "timer", "watcher", "stream", "signal", "child", "hook", "task"];
    let turns = kinds.map(|kind| number(&format!("mainspring_{kind}_turns_total")));
    assert_eq!(turns.iter().sum::<f64>(), number("mainspring_calls_total"), "{stdout}");
    assert!(turns[1] >= 5.0 && turns[3] >= 2.0, "timers and a connection: {stdout}");
    let bytes = ["received", "sent"].map(|word| number(&format!("mainspring_{word}_bytes_total")));
    assert!(bytes[0] >= 25.0 && bytes[0] == bytes[1], "echoes of five bytes: {stdout}");
    assert_eq!(number("mainspring_spurious_events_total"), 0.0, "{stdout}");
    for time in ["mainspring_idle_seconds_total", "mainspring_busy_seconds_total"] {
        assert!(number(time) > 0.0, "{stdout}");
    }
    assert!(number("mainspring_call_durations_seconds_count") >= 5.0, "{stdout}");
}
