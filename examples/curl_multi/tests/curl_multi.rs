//! The program, run like a user runs it.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_curl_multi")).args(arguments).output();
    output.expect("cargo has built the program")
}

/// Asserts that the program ended with this code. Returns its standard output and standard error.
#[track_caller]
fn texts(output: Output, code: i32) -> (String, String) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).expect("a program prints text");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn fetches_from_its_own_servers_at_once() {
    let (stdout, stderr) = texts(run(&[]), 0);
    assert_eq!(stderr, "");
    for bytes in [10_000, 200_000, 3_000_000] {
        let end = format!(": status 200, {bytes} bytes");
        assert!(stdout.lines().any(|line| line.ends_with(&end)), "{stdout}");
    }
    let last = stdout.lines().last().unwrap_or_default();
    let figures: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [3, total_ms, sum_ms] = figures[..] else { panic!("{stdout}") };
    assert!(total_ms >= 300 && sum_ms >= 600, "{stdout}");
}

#[test]
fn a_failed_transfer_is_printed() {
    let (stdout, stderr) = texts(run(&["nonsense://127.0.0.1/"]), 1);
    assert!(stdout.starts_with("0 transfers in "), "{stdout}");
    assert!(stderr.starts_with("curl_multi: nonsense://127.0.0.1/: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn refuses_an_invalid_url() {
    let (stdout, stderr) = texts(run(&["--fast"]), 2);
    assert_eq!((&*stdout, &*stderr), ("", "curl_multi: \"--fast\" is not a URL\n"));
}
