//! Tests of the example `threads`: worker threads that send their results.

use super::program::run;

#[test]
fn every_thread_sends_its_result() {
    let stdout = run("threads", &[]).success();
    let mut lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.pop(), Some("17984 primes below 200000, from 4 threads"));
    lines.sort_unstable();
    let reports = [
        "4136 primes in 150000..200000",
        "4256 primes in 100000..150000",
        "4459 primes in 50000..100000",
        "5133 primes in 0..50000",
    ];
    assert_eq!(lines, reports);
}

#[test]
fn refuses_arguments() {
    assert_eq!(run("threads", &["4"]).error_line(2), "threads: unexpected argument \"4\"\n");
}
