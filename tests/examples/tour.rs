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

/// The lanes are those of the printed steps: each fetch begins and ends with a turn, waits in
/// between, and they end in the order in which they are done.
fn check_lanes(text: &str) {
    let mut ends = Vec::new();
    for url in 1..=5 {
        let label = format!(" URL{url} (examples/tour/");
        let lane = text.lines().find(|line| line.contains(&label)).expect("a lane");
        let bar = lane.split_once(")").unwrap().1;
        assert!(bar.trim_start().starts_with('█') && bar.ends_with('█'), "{text}");
        ends.push((bar.chars().count(), url));
    }
    assert!(text.contains('─'), "the longest wait has a cell: {text}");
    let order: Vec<usize> = text
        .lines()
        .filter(|line| line.ends_with(" done"))
        .map(|line| line.split_once("URL").unwrap().1[..1].parse().unwrap())
        .collect();
    let column = |url: usize| ends[url - 1].0;
    assert!(order.windows(2).all(|two| column(two[0]) <= column(two[1])), "{order:?}\n{text}");
}

#[test]
fn writes_the_lanes_as_a_picture_and_the_tape_as_a_trace() {
    for tasks in [&[][..], &["--tasks"]] {
        let paths = ["svg", "perfetto"].map(|form| {
            let name = format!("mainspring-tour-{}-{}.{form}", std::process::id(), tasks.len());
            std::env::temp_dir().join(name).to_str().unwrap().to_owned()
        });
        let arguments = ["--svg", &*paths[0], "--perfetto", &*paths[1]];
        check(&run("tour", &[tasks, &arguments].concat()).success());
        let [svg, perfetto] = paths.map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        assert_eq!(svg.matches("<rect class=\"wait\" x=\"").count(), 5 + 1, "and the legend");
        for url in 1..=5 {
            let label = format!(" URL{url} (examples/tour/");
            assert!(svg.contains(&label) && perfetto.contains(&label));
        }
        assert!(perfetto.contains("examples/tour/origin.rs:"), "the trace has all turns");
    }
}

fn check(text: &str) {
    check_lanes(text);
    for url in 1..=5 {
        for step in [" starts", " SUSPENDS until the headers come", " done"] {
            let of_url = |line: &str| line.contains(&format!("URL{url}: ")) && line.ends_with(step);
            assert_eq!(text.lines().filter(|line| of_url(line)).count(), 1, "{step}\n{text}");
        }
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
    let line = run("tour", &["--tasks", "--svg"]).error_line(2);
    assert_eq!(line, "tour: the name of the file is missing\n");
}
