//! Tests of the example `tour`: several fetches at once.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use super::program::run;

#[test]
fn fetches_five_origins_at_once() {
    check(&run("tour", &[]).success());
}

#[test]
fn fetches_five_origins_with_tasks() {
    check(&run("tour", &["--tasks"]).success());
}

fn check(text: &str) {
    for url in 1..=5 {
        for step in [" starts", " SUSPENDS until the headers come", " done"] {
            let of_url = |line: &str| line.contains(&format!("URL{url}: ")) && line.ends_with(step);
            assert_eq!(text.lines().filter(|line| of_url(line)).count(), 1, "{step}\n{text}");
        }
        let name = format!("URL{url}: ");
        let mut lanes = text.lines().filter_map(|line| line.strip_prefix(&name));
        assert!(lanes.any(|lane| lane.trim_start().starts_with('█')), "{text}");
    }
    // All fetches start before the first one is done.
    let done = text.lines().position(|line| line.ends_with(" done")).unwrap();
    let starts = |line: &&str| line.ends_with(" starts");
    assert_eq!(text.lines().take(done).filter(starts).count(), 5, "{text}");
    assert!(text.contains("Fetched 5 URLs, 2880 bytes, in "), "{text}");
    let speedup = text.lines().find_map(|line| line.strip_prefix("Speedup: ")).unwrap();
    assert!(speedup.ends_with('x'), "{text}");
}

#[test]
fn fetches_a_given_url() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}/path?query", origin.local_addr().unwrap().port());
    for arguments in [&[&*url][..], &["--tasks", &url]] {
        let origin = origin.try_clone().unwrap();
        let serving = thread::spawn(move || {
            let (stream, _) = origin.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            (&stream).write_all(b"HTTP/1.0 404 Not Found\r\n\r\ngone").unwrap();
            request
        });
        let text = run("tour", arguments).success();
        assert_eq!(serving.join().unwrap(), ["GET /path?query HTTP/1.0", "Host: localhost"]);
        assert!(text.contains("HTTP/1.0 404 Not Found"), "{text}");
        assert!(text.contains("4 bytes of body, done"), "{text}");
    }
}

#[test]
fn a_failed_fetch_is_printed_and_the_others_go_on() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    for arguments in [&[&*url, &url][..], &["--tasks", &url, &url]] {
        let ending = run("tour", arguments);
        assert_eq!(ending.status.code(), Some(1), "{ending:?}");
        assert_eq!(ending.stdout.matches("failed: cannot connect to 127.0.0.1:").count(), 2);
    }
}

#[test]
fn reports_invalid_arguments() {
    let line = run("tour", &["https://example.org/"]).error_line(2);
    assert_eq!(line, "tour: \"https://example.org/\" does not begin with http://\n");
    run("tour", &["http://:80/"]).error_line(2);
    run("tour", &["http://host:port/"]).error_line(2);
}
