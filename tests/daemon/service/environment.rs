//! Children of a process with several threads (docs/contract.md, L2).
//!
//! A process with one thread is tested in `tests/single_thread.rs`.

use std::net::TcpListener;
use std::process::Command;

use mainspring::service::Service;

use super::manager::activated;

const VARIABLES: [(&str, &str); 6] = [
    ("LISTEN_FDS", "1"),
    ("LISTEN_FDNAMES", "http"),
    ("LISTEN_PIDFDID", "1"),
    ("WATCHDOG_PID", "1"),
    ("WATCHDOG_USEC", "1000000"),
    ("KEPT", "1"),
];

/// Names of the variables in the environment of a child.
fn seen_by_child(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let known = ["LISTEN_", "NOTIFY_", "WATCHDOG_", "KEPT"];
    let mut names: Vec<_> =
        names.filter(|name| known.iter().any(|known| name.starts_with(known))).collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn l2_with_other_threads_a_command_hides_the_variables() {
    let name = "service::environment::l2_with_other_threads_a_command_hides_the_variables";
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    activated(name, [socket.into()], &VARIABLES, || {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || _ = ended.recv());
        let service = Service::from_env().unwrap();
        assert_eq!(service.unclaimed(), ["http"]);
        let mut command = Command::new("env");
        assert!(seen_by_child(&mut command).contains("LISTEN_FDS"));
        Service::hide_from(&mut command);
        assert_eq!(seen_by_child(&mut command), "KEPT");
        assert!(Service::from_env().unwrap().unclaimed().is_empty());
        drop(end);
        thread.join().unwrap();
    });
}
