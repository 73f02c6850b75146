//! Tests of the examples `echo` and `echo_tasks`: echo daemons with callbacks and with tasks.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

use mainspring::SelectorKind;
use rustix::process::Signal;

use super::program::{Program, run};
use super::short_dir::short_dir;

/// The daemon with callbacks, and the one with tasks. They behave the same.
const DAEMONS: [&str; 2] = ["echo", "echo_tasks"];

fn start(daemon: &str, arguments: &[&str]) -> (Program, SocketAddr) {
    let mut echo = Program::start(daemon, arguments);
    let line = echo.line();
    let address = line.strip_prefix("listening on ").expect("it says where it listens");
    let address: SocketAddr = address.parse().expect("it says an address");
    assert_ne!(address.port(), 0);
    (echo, address)
}

fn round_trip(stream: &mut (impl Read + Write), message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, message);
}

/// Returns a unique path.
fn path(name: &str) -> PathBuf {
    short_dir().join(format!("mainspring-{name}-{}", std::process::id()))
}

#[test]
fn answers_on_every_selector_and_prints_its_counts() {
    for daemon in DAEMONS {
        for kind in SelectorKind::available() {
            let (echo, address) = start(daemon, &["--selector", &kind.to_string()]);
            let mut clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
            for client in &mut clients {
                round_trip(client, b"hello");
                round_trip(client, &[7; 10_000]);
            }
            drop(clients);
            echo.send(Signal::TERM);
            assert_eq!(echo.end().success(), "3 connections, 30015 bytes\n", "{kind}");
        }
    }
}

#[test]
fn megabytes_come_back_to_a_late_reader() {
    for daemon in DAEMONS {
        let (echo, address) = start(daemon, &[]);
        let mut client = TcpStream::connect(address).unwrap();
        let mut writer = client.try_clone().unwrap();
        let sent: Vec<u8> = (0..8_000_000u32).map(|at| (at % 251) as u8).collect();
        let expected = sent.clone();
        let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
        let mut answer = vec![0; expected.len()];
        client.read_exact(&mut answer).unwrap();
        writing.join().unwrap();
        assert!(answer == expected);
        drop(client);
        echo.send(Signal::INT);
        assert_eq!(echo.end().success(), "1 connections, 8000000 bytes\n");
    }
}

#[test]
fn a_signal_stops_accepting_and_lets_clients_finish() {
    for daemon in DAEMONS {
        let (echo, address) = start(daemon, &[]);
        let mut client = TcpStream::connect(address).unwrap();
        round_trip(&mut client, b"before");
        echo.send(Signal::TERM);
        while TcpStream::connect(address).is_ok() {} // Until the listener is closed.
        round_trip(&mut client, b"after");
        drop(client);
        echo.end().success();
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for daemon in DAEMONS {
        let (echo, address) = start(daemon, &[]);
        let mut client = TcpStream::connect(address).unwrap();
        round_trip(&mut client, b"here to stay");
        echo.send(Signal::TERM);
        while TcpStream::connect(address).is_ok() {}
        echo.send(Signal::TERM);
        assert!(echo.end().success().ends_with(" 12 bytes\n"));
    }
}

#[test]
fn listens_on_a_path_and_removes_it() {
    for daemon in DAEMONS {
        let path = path(daemon);
        let (mut echo, _) = start(daemon, &["--unix", path.to_str().unwrap()]);
        assert_eq!(echo.line(), format!("listening on {}", path.display()));
        round_trip(&mut UnixStream::connect(&path).unwrap(), b"hello");
        echo.send(Signal::TERM);
        assert_eq!(echo.end().success(), "1 connections, 5 bytes\n");
        assert!(!path.exists());
    }
}

#[test]
fn reports_invalid_arguments() {
    for daemon in DAEMONS {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let in_use = listener.local_addr().unwrap().to_string();
        let file = path(&format!("file-{daemon}"));
        fs::write(&file, b"precious").unwrap();

        let line = run(daemon, &[&in_use]).error_line(2);
        assert!(line.starts_with(&format!("{daemon}: cannot listen on {in_use}: ")), "{line}");
        let line = run(daemon, &[&taken, "--unix", file.to_str().unwrap()]).error_line(2);
        assert!(line.contains(" in use"), "{line}");
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        fs::remove_file(&file).unwrap();
        let line = run(daemon, &["--selector", "pool"]).error_line(2);
        assert!(line.contains("unknown selector \"pool\"; this system has "), "{line}");
        for arguments in [&["nowhere"][..], &["--unix"], &["-x"], &["127.0.0.1:0", "127.0.0.1:0"]] {
            let line = run(daemon, arguments).error_line(2);
            assert!(line.contains("usage: [ADDR] [--unix PATH] [--selector KIND]"), "{line}");
        }
    }
}
