//! Error messages and the source locations that they name (docs/contract.md, W12).

use std::cell::RefCell;
use std::fs::File;
use std::future::pending;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use mainspring::net::{self, Host, ListenOptions, TcpListener, UdpSocket, lookup_host};
use mainspring::{CancelScope, Error, EventLoop, race_all, sleep, spawn, timeout, timeout_at};

use crate::support::process::alone_as;

/// README: the error of an address in use names the address, even when `main` fails and prints it
/// with `Debug`.
#[test]
fn w12_an_address_in_use_is_named_in_display_and_debug() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let for_datagrams = datagrams.local_addr().unwrap();
    let listened = net::listen(address, &ListenOptions::default());
    for (error, name) in [
        (TcpListener::bind(address).unwrap_err(), format!("cannot listen on {address}: ")),
        (listened.unwrap_err(), format!("cannot listen on {address}: ")),
        (UdpSocket::bind(for_datagrams).unwrap_err(), format!("cannot bind to {for_datagrams}: ")),
    ] {
        let printed = format!("Error: {error:?}");
        assert!(printed.starts_with(&format!("Error: {name}")), "{printed}");
        assert!(printed.contains("in use"), "{printed}");
        assert_eq!(printed.lines().count(), 1);
        assert_eq!(format!("{error:#?}"), error.chain());
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("IO error: {0}")]
struct Repeating(#[from] io::Error);

#[test]
fn w12_a_cause_is_printed_once() {
    let cause = || io::Error::other("X");
    assert_eq!(Error::other(Repeating(cause())).chain(), "IO error: X");
    let connect =
        Error::Connect { address: "a:1".into(), source: io::Error::other(Repeating(cause())) };
    assert_eq!(format!("{connect:?}"), "cannot connect to a:1: IO error: X");
}

#[test]
fn w12_an_error_names_the_fd_the_host_or_the_program() {
    let el = EventLoop::new().unwrap();
    let file = Rc::new(File::open("/dev/null").unwrap());
    el.add_reader(file.clone(), |_, (), _| Ok(())).unwrap();
    let watched = el.add_reader(file.clone(), |_, (), _| Ok(())).unwrap_err();
    let fd = file.as_raw_fd();
    assert_eq!(watched.to_string(), format!("fd {fd} already has a reader in this loop"));
    let host = Host::new("no host", 80).unwrap_err();
    assert!(host.to_string().starts_with("cannot look up \"no host\": "), "{host}");
    let program = el.spawn_child(Command::new("/no/such/program"), |_, (), _| {}).unwrap_err();
    assert_eq!(program.to_string(), "cannot start \"/no/such/program\"");
}

#[test]
fn w12_a_failed_lookup_has_an_error_kind() {
    let mut el = EventLoop::new().unwrap();
    let failed = el.run_until_complete(lookup_host("[fe80::1%no-such-interface]:80")).unwrap();
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn w12_an_invalid_environment_variable_is_a_setting_error() {
    let name = "errors::error_messages::w12_an_invalid_environment_variable_is_a_setting_error";
    for (variable, value) in [
        ("MAINSPRING_DEBUG", "maybe"),
        ("MAINSPRING_DEBUG", "true"),
        ("MAINSPRING_WAIT", "bogus"),
        ("MAINSPRING_SELECTOR", "pool"),
        ("MAINSPRING_WAKEUP", "bell"),
    ] {
        let check = || {
            let Err(error) = EventLoop::new() else { return println!("a loop") };
            println!("{} {error}", matches!(error, Error::Setting(_)));
        };
        let output = alone_as(name, check, |mut child| {
            child.env(variable, value);
            child
        });
        let Some(output) = output else { return };
        let message = String::from_utf8(output.stdout).unwrap();
        // Only epoll has two kinds of wait.
        let is_unused = variable == "MAINSPRING_WAIT" && message.contains("a loop");
        let is_right =
            message.contains("true") && message.contains(variable) && message.contains(value);
        assert!(is_right || is_unused, "{variable}={value}: {message}");
    }
}

thread_local! {
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Returns the source location at which `call` panics.
fn place_of_panic(call: impl FnOnce()) -> String {
    let before = take_hook();
    set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        PLACE.set(place);
    }));
    let panicked = catch_unwind(AssertUnwindSafe(call)).is_err();
    set_hook(before);
    assert!(panicked);
    PLACE.take()
}

fn is_here(place: &str, line: u32) -> bool {
    place.starts_with(&format!("{}:{line}:", file!()))
}

#[test]
fn w12_calls_without_a_loop_panic_at_the_callers_line() {
    let name = "errors::error_messages::w12_calls_without_a_loop_panic_at_the_callers_line";
    let check = || {
        let second = std::time::Duration::from_secs(1);
        let places = [
            (line!(), place_of_panic(|| drop(spawn(async {})))),
            (line!(), place_of_panic(|| drop(mainspring::shield(async {})))),
            (line!(), place_of_panic(|| drop(race_all::<(), _>([])))),
        ];
        for (line, place) in places {
            assert!(is_here(&place, line), "line {line}: {place}");
        }
        let until = std::time::Instant::now();
        let sleeping = async {
            sleep(second).await;
        };
        let line = line!() - 2;
        let place = place_of_panic(|| futures::executor::block_on(sleeping));
        assert!(is_here(&place, line), "{place}");
        let sleeping = async {
            mainspring::sleep_until(until).await;
        };
        let line = line!() - 2;
        let place = place_of_panic(|| futures::executor::block_on(sleeping));
        assert!(is_here(&place, line), "{place}");
    };
    let output = alone_as(name, check, |child| child);
    assert!(output.is_none_or(|output| output.status.success()));
}

/// These calls panic inside a future that is awaited elsewhere, so the message contains the
/// location of the call.
#[test]
fn w12_a_timeout_without_a_loop_panics_with_the_callers_line() {
    let second = Duration::from_secs(1);
    let never = pending::<()>;
    let scope = || CancelScope::new().timeout(second);
    let until = || CancelScope::new().deadline(Instant::now());
    for (line, call, message) in [
        (line!(), "timeout", panic_message(timeout(second, never()))),
        (line!(), "timeout_at", panic_message(timeout_at(Instant::now(), never()))),
        (line!(), "CancelScope::run", panic_message(scope().run(never()))),
        (line!(), "CancelScope::run", panic_message(until().run(never()))),
    ] {
        let begin = format!("`mainspring::{call}` needs a running loop");
        assert!(message.starts_with(&begin), "{message}");
        assert!(message.contains(&format!("{}:{line}:", file!())), "{line}: {message}");
    }
    let ready = block_on(timeout(second, async { 1 })).unwrap();
    assert_eq!(ready, 1, "what is ready at once needs no loop");
}

/// Returns the panic message of `future` when it is polled outside a loop.
fn panic_message(future: impl Future) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(block_on(future)))).unwrap_err();
    panic.downcast_ref::<String>().expect("a String message").clone()
}
