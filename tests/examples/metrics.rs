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
    assert!(number("mainspring_idle_seconds_total") > number("mainspring_busy_seconds_total"));
    assert!(number("mainspring_call_durations_seconds_count") >= 5.0, "{stdout}");
}
