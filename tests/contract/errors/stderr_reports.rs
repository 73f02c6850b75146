//! Reports on standard error that is closed, full or flooded (docs/contract.md, W9). Each test runs
//! in its own process, with a standard error that the test provides.

use std::fmt;
use std::io::{self, PipeReader, Read, pipe};
use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::time::Duration;
use std::{process, thread};

use mainspring::{Error, LoopHandle, SelectorKind, TaskGroup, promise};

use crate::support::descriptors::fill;
use crate::support::process::alone_as;
use crate::support::{on_every_selector, simulated};

/// Runs the test `name` in a process with the given standard error. After a minute the process
/// exits with code 3.
fn with_stderr(name: &str, stderr: impl Into<Stdio>, check: impl FnOnce()) -> Option<Output> {
    with_streams(name, Stdio::null(), stderr, check)
}

fn with_streams(
    name: &str,
    stdin: impl Into<Stdio>,
    stderr: impl Into<Stdio>,
    check: impl FnOnce(),
) -> Option<Output> {
    let check = || {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(60));
            process::exit(3);
        });
        check();
    };
    alone_as(&format!("errors::stderr_reports::{name}"), check, |mut child| {
        child.stdin(stdin).stderr(stderr);
        child
    })
}

fn assert_success(output: Option<Output>) {
    if let Some(output) = output {
        assert!(output.status.success(), "{:?}", output.status);
    }
}

/// Produces failures of every kind, more often than one location may print them. The loop must keep
/// running.
fn fail_everywhere(kind: SelectorKind) {
    let (mut el, _) = simulated(kind, 0);
    for _ in 0..20 {
        el.call_soon(|_, _| Err(Error::other("of a callback")));
        el.spawn(async { Err::<(), _>(Error::other("of a task")) }).detach();
        el.call_soon(|_, _| fail_a_promise());
        fail_a_promise();
        fail_a_group();
    }
    el.call_later(Duration::from_secs(60), |_, late| *late += 1);
    el.run().unwrap();
    assert_eq!(*el.state(), 1);
}

fn fail_a_promise() {
    let (promise, promised) = promise::<()>();
    promise.set_error(Error::other("of a promise"));
    drop(promised);
}

/// Drops a group outside a loop, with an error that it has not returned.
fn fail_a_group() {
    let mut group = Box::pin(TaskGroup::run(async |group| {
        group.cancel("the group is over");
        std::future::pending::<mainspring::Result<()>>().await
    }));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = group.as_mut().poll(&mut context);
}

#[test]
fn w9_the_loop_goes_on_when_standard_error_has_no_reader() {
    let name = "w9_the_loop_goes_on_when_standard_error_has_no_reader";
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_success(with_stderr(name, writer, || on_every_selector(fail_everywhere)));
}

#[test]
fn w9_the_loop_goes_on_when_standard_error_is_a_full_pipe() {
    let name = "w9_the_loop_goes_on_when_standard_error_is_a_full_pipe";
    let (_reader, writer) = full_pipe();
    assert_success(with_stderr(name, writer, || on_every_selector(fail_everywhere)));
}

/// Returns a full pipe in blocking mode: a write to it would wait.
fn full_pipe() -> (PipeReader, std::io::PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    fill(&writer);
    let fd = std::os::fd::AsFd::as_fd(&writer);
    mainspring_sys::fd::set_nonblocking(fd, false).unwrap();
    (reader, writer)
}

#[test]
fn w9_the_loop_goes_on_when_standard_error_is_a_full_disk() {
    let name = "w9_the_loop_goes_on_when_standard_error_is_a_full_disk";
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    assert_success(with_stderr(name, full, || on_every_selector(fail_everywhere)));
}

/// Returns the lines that the process wrote to its standard error.
fn lines_of(name: &str, check: impl FnOnce()) -> Option<Vec<String>> {
    let output = with_stderr(name, Stdio::piped(), check)?;
    assert!(output.status.success(), "{:?}", output.status);
    let text = String::from_utf8(output.stderr).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

fn fail(el: &LoopHandle<()>) {
    el.call_soon(|_, ()| Err(Error::other("many reports")));
}

/// One location fails 5,000 times and another one once. When the period is over, both print again.
fn check_many_reports(kind: SelectorKind) {
    let (mut el, _) = simulated(kind, ());
    (0..5000).for_each(|_| fail(&el));
    el.call_soon(|_, ()| Err(Error::other("not one of the storm")));
    el.call_later(Duration::from_secs(9), |_, ()| eprintln!("after 9 s"));
    el.call_later(Duration::from_secs(11), |el, ()| {
        eprintln!("after 11 s");
        (0..12).for_each(|_| fail(el));
    });
    el.run().unwrap();
    drop(el);
    eprintln!("closed");
}

#[test]
fn w9_ten_reports_of_a_location_are_printed_and_the_rest_is_counted() {
    let name = "w9_ten_reports_of_a_location_are_printed_and_the_rest_is_counted";
    let Some(lines) = lines_of(name, || on_every_selector(check_many_reports)) else { return };
    let mut expected = vec!["many reports"; 10];
    expected.extend(["not one of the storm", "after 9 s", ": and 4,990 more", "after 11 s"]);
    expected.extend(["many reports"; 10]);
    expected.extend([": and 2 more", "closed"]);
    let kinds = SelectorKind::available().len();
    assert_eq!(lines.len(), kinds * expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected.iter().cycle()) {
        assert!(line.ends_with(expected), "{expected}: {line}");
        if expected.contains("storm") || expected.contains("more") {
            assert!(line.starts_with("mainspring: callback registered at tests/"), "{line}");
        }
    }
}

/// Reports lost because the pipe was full are counted. The count is printed when the pipe has room
/// again.
#[test]
fn w9_reports_lost_at_a_full_pipe_are_counted() {
    let name = "w9_reports_lost_at_a_full_pipe_are_counted";
    let (mut reader, writer) = full_pipe();
    let stdin = reader.try_clone().unwrap();
    let output = with_streams(name, stdin, writer, || {
        let (mut el, _) = simulated(SelectorKind::available()[0], ());
        (0..3).for_each(|_| fail(&el));
        // The first attempt to print the count fails too.
        el.call_later(Duration::from_secs(15), |el, ()| {
            // The pipe's reader is standard input here, so that this process can make room.
            std::io::stdin().read_exact(&mut [0; 32 * 1024]).unwrap();
            fail(el);
        });
        el.run().unwrap();
    });
    if output.is_some() {
        assert_success(output);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let text = text.trim_start_matches('\0');
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().next().unwrap().ends_with(": and 3 more"), "{text}");
        assert!(text.lines().last().unwrap().ends_with(": many reports"), "{text}");
    }
}

struct PanicsInDisplay;

impl fmt::Display for PanicsInDisplay {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("on purpose")
    }
}

impl fmt::Debug for PanicsInDisplay {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

impl std::error::Error for PanicsInDisplay {}

struct FailsToWrite;

impl fmt::Display for FailsToWrite {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

impl fmt::Debug for FailsToWrite {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

impl std::error::Error for FailsToWrite {}

#[test]
fn w9_an_error_whose_display_fails_is_reported() {
    let name = "w9_an_error_whose_display_fails_is_reported";
    let lines = lines_of(name, || {
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, ());
            el.call_soon(|_, ()| Err(Error::other(PanicsInDisplay)));
            el.call_soon(|_, ()| Err(Error::other(FailsToWrite)));
            el.run().unwrap();
        });
    });
    let Some(lines) = lines else { return };
    let kinds = SelectorKind::available().len();
    for end in [": its error cannot be shown", ": (the rest cannot be shown)"] {
        assert_eq!(lines.iter().filter(|line| line.ends_with(end)).count(), kinds, "{lines:#?}");
    }
}

/// The loop has passed the output on, so it cannot report the failure when the handle is dropped.
#[test]
fn f8_a_failure_that_has_arrived_is_printed_when_its_handle_is_dropped() {
    let name = "f8_a_failure_that_has_arrived_is_printed_when_its_handle_is_dropped";
    let lines = lines_of(name, || {
        let (mut el, _) = simulated(SelectorKind::available()[0], ());
        let remote = el.remote();
        let failing = || remote.spawn(async { Err::<(), _>(Error::other("dropped")) }).unwrap();
        let (fails, joined) = (failing(), failing());
        let succeeds = remote.spawn(async { Ok::<(), Error>(()) }).unwrap();
        let reset = io::ErrorKind::ConnectionReset;
        let ends = remote.spawn(async move { Err::<(), _>(Error::Io(reset.into())) }).unwrap();
        let pending = remote.spawn(std::future::pending::<mainspring::Result<()>>()).unwrap();
        el.run_until_stalled().unwrap();
        joined.join().unwrap().unwrap_err();
        drop((fails, succeeds, ends)); // A peer may reset its connection at any time.
        drop(el);
        drop(pending); // Cancelled by the end of its loop, which is no failure.
    });
    let Some(lines) = lines else { return };
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("mainspring: task spawned at "), "{lines:#?}");
    assert!(lines[0].ends_with(": dropped"), "{lines:#?}");
}

/// An error that contains a peer's bytes is printed as one line of limited length, in one write.
#[test]
fn w9_a_report_is_one_line_and_one_write() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let name = "w9_a_report_is_one_line_and_one_write";
    let theirs = std::os::fd::OwnedFd::from(theirs);
    let output = with_stderr(name, theirs, || {
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, ());
            el.call_soon(|_, ()| Err(Error::other("GET /\r\nmainspring: forged \u{1b}[2J")));
            el.call_soon(|_, ()| Err(Error::other("x".repeat(1 << 20))));
            el.run().unwrap();
        });
    });
    if output.is_none() {
        return;
    }
    assert_success(output);
    ours.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1 << 16];
    let mut messages = Vec::new();
    while let Ok(length) = ours.recv(&mut buffer) {
        messages.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    assert_eq!(messages.len(), 2 * SelectorKind::available().len());
    for messages in messages.chunks(2) {
        let end = ": GET /\\r\\nmainspring: forged \\u{1b}[2J\n";
        assert!(messages[0].starts_with("mainspring: callback "), "{}", messages[0]);
        assert!(messages[0].ends_with(end), "{}", messages[0]);
        assert!(messages[1].len() <= 4096, "{}", messages[1].len());
        assert!(messages[1].ends_with("x…\n"));
    }
}

#[test]
fn w9_an_exception_handler_gets_every_report() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        el.set_exception_handler(|_, seen, report| {
            assert_eq!(report.error.to_string(), "many reports");
            *seen += 1;
        });
        for _ in 0..1000 {
            el.call_soon(|_, _| Err(Error::other("many reports")));
        }
        el.run().unwrap();
        assert_eq!(*el.state(), 1000);
    });
}
