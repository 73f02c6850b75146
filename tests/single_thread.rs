//! Promises to a service that has one thread (docs/contract.md, L1, L2).
//!
//! The harness of other tests runs each in a thread, so this program has a `main` instead. It
//! starts itself for each test, with sockets as descriptors 3 and 4.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use mainspring::service::Service;

/// Environment variable with the name of the test.
const CHILD: &str = "MAINSPRING_TEST_ALONE";

const SCRIPT: &str = "export LISTEN_PID=$$; exec 3<&0 4<&1 0</dev/null 1>&2; exec \"$@\"";

const TESTS: [(&str, &str, fn()); 3] = [
    ("l2_children", "2", l2_children_get_neither_variables_nor_descriptors),
    ("l1_missing", "3", l1_a_missing_descriptor_is_an_error),
    ("l1_own", "3", l1_a_descriptor_of_this_process_is_not_taken),
];

fn main() {
    let name = env::var(CHILD);
    if let Some((.., test)) = TESTS.iter().find(|(known, ..)| name.as_deref() == Ok(known)) {
        return test();
    }
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    for (name, count, _) in TESTS {
        let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "sh"]).arg(env::current_exe().unwrap());
        Service::hide_from(&mut shell); // A service manager may have started the tests.
        shell.env(CHILD, name).env("LISTEN_FDS", count).stdin(socket()).stdout(socket());
        shell.env("WATCHDOG_USEC", "1000000").env("KEPT", "1");
        assert!(shell.status().unwrap().success(), "{name} failed");
        println!("test {name} ... ok");
    }
}

/// Returns the variables of a manager in the environment of a child.
fn seen_by_child() -> String {
    let output = Command::new("env").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let known = ["LISTEN_", "NOTIFY_", "WATCHDOG_", "KEPT"];
    let found = text.lines().filter(|line| known.iter().any(|known| line.starts_with(known)));
    found.collect::<Vec<_>>().join(" ")
}

fn l2_children_get_neither_variables_nor_descriptors() {
    assert!(seen_by_child().contains("LISTEN_FDS=2"));
    let before = open_in_child();
    let service = Service::from_env().unwrap();
    assert_eq!(service.unclaimed(), ["unknown", "unknown"]);
    assert_eq!(service.watchdog_time(), Some(std::time::Duration::from_secs(1)));
    let is_removed = fs::exists("/proc/self/task").unwrap_or(false);
    if is_removed {
        assert_eq!(seen_by_child(), "KEPT=1");
        assert_eq!(before - open_in_child(), 2);
    } else {
        println!("skipped: this system has no /proc/self/task");
    }
    let again = Service::from_env().unwrap();
    assert!(again.unclaimed().is_empty() && again.watchdog_time().is_none());
}

/// Returns the number of descriptors that a child has.
fn open_in_child() -> usize {
    let output = Command::new("ls").arg("/dev/fd/").output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().count()
}

fn l1_a_missing_descriptor_is_an_error() {
    let error = Service::from_env().unwrap_err();
    assert_eq!(
        error.chain(),
        "cannot inherit fd 5 (\"unknown\"): Bad file descriptor (os error 9)"
    );
}

/// The manager announces a number that the program has used for another file.
fn l1_a_descriptor_of_this_process_is_not_taken() {
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(ours.as_raw_fd(), 5);
    let error = Service::from_env().unwrap_err();
    let text = "cannot inherit fd 5 (\"unknown\"): it is close-on-exec: this process has opened it";
    assert!(error.chain().starts_with(text), "{error:?}");
    ours.local_addr().unwrap();
}
