//! System calls of a daemon fail one after the other, and the daemon keeps running (P99). strace(1)
//! injects the errors; without it these tests are skipped.
//!
//! After each fault no client gets a wrong byte, nothing panics, later clients are served, and the
//! daemon ends on its signal. An error message names the call that failed and its descriptor.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use rustix::process::Signal;

use super::program::{Ending, Program, command};

/// The daemon with callbacks, and the one with tasks. Connections and all sources of tasks are
/// watched edge-triggered. The kernel never returns `EAGAIN` for readiness that it has just
/// reported, so an injected `EAGAIN` there would wait forever. A listener of callbacks is watched
/// level-triggered.
const CALLBACKS: &str = "echo";
const DAEMONS: [&str; 2] = [CALLBACKS, "echo_tasks"];

const SELECT: &str = "?epoll_wait,?epoll_pwait,?epoll_pwait2";

const CLIENTS: usize = 12;

/// Starts a daemon in which `calls` fail as in the command line of strace. With `-D` the daemon is
/// our child, so signals reach it.
fn traced(daemon: &str, calls: &str, fault: &str) -> Option<Program> {
    let can_trace = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !can_trace.is_ok_and(|output| output.status.success()) {
        println!("skipped: strace is not installed, or may not trace");
        return None;
    }
    let daemon = command(daemon);
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:{fault}")]).arg(daemon.get_program());
    // They select the system calls that the daemon makes.
    strace.args(["--selector", "epoll"]).env_remove("MAINSPRING_WAKEUP");
    Some(Program::spawn(&mut strace))
}

/// Sends and compares data. Returns true if the connection survived to the end.
fn talk(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let message: Vec<u8> = (0..5000_u32).map(|at| (at % 251) as u8).collect();
    for length in (0..10).map(|round| 1 + round * 500) {
        if stream.write_all(&message[..length]).is_err() {
            return false;
        }
        let mut answer = vec![0; length];
        let mut arrived = 0;
        while arrived < length {
            match stream.read(&mut answer[arrived..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => arrived += count,
            }
        }
        assert!(answer[..arrived] == message[..arrived], "wrong bytes came back");
        if arrived < length {
            return false;
        }
    }
    true
}

/// Returns the number of clients that survived, and the ending of the daemon.
fn serve_crowd(daemon: &str, calls: &str, fault: &str) -> Option<(usize, Ending)> {
    println!("{daemon}: {calls} {fault}"); // Shown when the test fails.
    let mut echo = traced(daemon, calls, fault)?;
    let line = echo.line();
    let Some(address) = line.strip_prefix("listening on ") else {
        panic!("the daemon did not print its address: {:?}", echo.end());
    };
    let address = address.parse().expect("it says an address");
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || talk(address))).collect();
    let survivors = clients.into_iter().filter_map(|client| client.join().unwrap().then_some(()));
    let survivors = survivors.count();
    assert!((0..10).any(|_| talk(address)), "no client is served any more");
    echo.send(Signal::TERM);
    let ending = echo.end();
    assert!(ending.status.success() && ending.stdout.ends_with(" bytes\n"), "{ending:?}");
    Some((survivors, ending))
}

#[test]
fn p99_retried_errors_are_invisible_to_clients() {
    let retried = [
        (SELECT, "EINTR"),
        ("recvfrom", "EINTR"),
        ("sendto", "EINTR"),
        ("accept4", "EINTR"),
        ("accept4", "ECONNABORTED"),
    ];
    let denied = [("accept4", "EAGAIN")];
    let of_both = DAEMONS.iter().flat_map(|daemon| retried.map(|fault| (*daemon, fault)));
    for (daemon, (calls, error)) in of_both.chain(denied.map(|fault| (CALLBACKS, fault))) {
        let fault = format!("error={error}:when=1+2");
        let Some((survivors, ending)) = serve_crowd(daemon, calls, &fault) else { return };
        assert_eq!((survivors, &ending.stderr[..]), (CLIENTS, ""));
    }
}

#[test]
fn p99_a_lasting_error_ends_one_connection() {
    let calls = [
        ("recvfrom", "ECONNRESET:when=6..60+9"),
        ("recvfrom", "EIO:when=6..60+9"),
        ("sendto", "EPIPE:when=6..60+9"),
        ("sendto", "ENOBUFS:when=6..60+9"),
    ];
    let of_both = DAEMONS.iter().flat_map(|daemon| calls.map(|fault| (*daemon, fault)));
    // A task that never waits registers nothing, so these errors apply to callbacks only. The first
    // three calls register the listener and the wakeups.
    let registrations = ["ENOMEM:when=4..9", "ENOSPC:when=4..9"];
    let of_callbacks = registrations.map(|fault| (CALLBACKS, ("epoll_ctl", fault)));
    for (daemon, (calls, error)) in of_both.chain(of_callbacks) {
        let fault = format!("error={error}");
        let Some((survivors, ending)) = serve_crowd(daemon, calls, &fault) else { return };
        assert!((1..CLIENTS).contains(&survivors), "{survivors} survive");
        // An error that is not a network error is reported, unless a task handled it.
        let is_daily = fault.contains("=ECONNRESET:") || fault.contains("=EPIPE:");
        let of_a_stream = |line: &str| line.starts_with("mainspring: stream registered at ");
        assert!(ending.stderr.lines().all(of_a_stream), "{}", ending.stderr);
        let is_reported = daemon == CALLBACKS && !is_daily;
        assert_eq!(!ending.stderr.is_empty(), is_reported, "{fault}: {}", ending.stderr);
    }
}

#[test]
fn p99_a_limit_delays_clients_and_rejects_none() {
    let limits = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];
    for (daemon, error) in DAEMONS.iter().flat_map(|one| limits.map(|limit| (one, limit))) {
        let Some((survivors, ending)) =
            serve_crowd(daemon, "accept4", &format!("error={error}:when=2+4"))
        else {
            return;
        };
        assert_eq!(survivors, CLIENTS);
        let message = ": cannot accept a connection on fd ";
        assert!(ending.stderr.lines().all(|line| line.contains(message)), "{}", ending.stderr);
        assert!(!ending.stderr.is_empty());
    }
}

#[test]
fn p99_a_daemon_that_cannot_start_prints_the_reason() {
    let begins = [
        ("epoll_create1", "EMFILE:when=1", "the loop's selector: "),
        ("eventfd2", "EMFILE:when=1", "the loop's wakeup: "),
        ("eventfd2", "ENOMEM:when=2", "the loop's wakeup for signals: "),
        ("epoll_ctl", "ENOSPC:when=1", "the loop's wakeup: "),
        ("socket", "EAFNOSUPPORT:when=1", "cannot listen on 127.0.0.1:0: "),
        ("bind", "EACCES:when=1", "cannot listen on 127.0.0.1:0: "),
        ("listen", "EADDRINUSE:when=1", "cannot listen on 127.0.0.1:0: "),
        ("fcntl", "EINVAL:when=1", " fd "),
    ];
    for (daemon, (calls, fault, named)) in
        DAEMONS.iter().flat_map(|one| begins.map(|begin| (one, begin)))
    {
        let Some(program) = traced(daemon, calls, &format!("error={fault}")) else { return };
        let line = program.end().error_line(2);
        assert!(line.contains(named), "{calls} {fault}: {line}");
    }
}
