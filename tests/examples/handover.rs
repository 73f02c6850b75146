//! Tests of the example `handover`: listeners that travel to another process.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::Signal;

use super::program::{Program, run};
use super::short_dir::short_dir;

/// The path of a control socket. The drop removes its file.
struct Control(PathBuf);

impl Control {
    fn new(name: &str) -> Control {
        let name = format!("mainspring-{}-{name}.control", std::process::id());
        Control(short_dir().join(name))
    }

    /// Starts a process. Returns its pid and its address.
    fn start(&self, address: &str) -> (Program, String, SocketAddr) {
        let mut program = Program::start("handover", &[address, self.0.to_str().unwrap()]);
        let line = program.line();
        let (pid, address) = line
            .strip_prefix("pid ")
            .and_then(|rest| rest.split_once(" listening on "))
            .unwrap_or_else(|| panic!("a pid and an address: {line:?}"));
        (program, pid.to_owned(), address.parse().unwrap())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends a line, and returns the answer.
fn ask(conn: &mut BufReader<TcpStream>, line: &str) -> String {
    writeln!(conn.get_mut(), "{line}").unwrap();
    let mut answer = String::new();
    conn.read_line(&mut answer).unwrap();
    answer
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(address).unwrap())
}

#[test]
fn the_successor_serves_at_the_same_address() {
    let control = Control::new("successor");
    let (mut first, mut old_pid, address) = control.start("127.0.0.1:0");
    for round in 0..5 {
        let mut client = connect(address);
        assert_eq!(ask(&mut client, "hello"), format!("{old_pid}: hello\n"));
        let (second, pid, new_address) = control.start("127.0.0.1:0");
        assert_eq!(new_address, address, "round {round}");
        // The old process serves its old client, the new one all others.
        assert_eq!(ask(&mut client, "still"), format!("{old_pid}: still\n"));
        assert_eq!(ask(&mut connect(address), "new"), format!("{pid}: new\n"));
        drop(client);
        let output = first.end().success();
        assert_eq!(output, format!("pid {old_pid} handed over\n"));
        (first, old_pid) = (second, pid);
    }
    first.send(Signal::KILL);
    first.end();
    // The next process replaces the file that the killed one has left.
    let (last, pid, address) = control.start("127.0.0.1:0");
    assert_eq!(ask(&mut connect(address), "again"), format!("{pid}: again\n"));
    last.send(Signal::KILL);
    last.end();
}

/// Connections one after the other, while processes hand over: none is refused or lost.
#[test]
fn no_client_is_refused_during_a_handover() {
    let control = Control::new("refused");
    let (mut first, _, address) = control.start("127.0.0.1:0");
    for _ in 0..5 {
        let clients = std::thread::spawn(move || {
            for number in 0..300 {
                let answer = ask(&mut connect(address), &number.to_string());
                assert!(answer.ends_with(&format!(": {number}\n")), "{answer:?}");
            }
        });
        let (second, _, _) = control.start("127.0.0.1:0");
        clients.join().unwrap();
        first.end().success();
        first = second;
    }
    first.send(Signal::KILL);
    first.end();
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let control = Control::new("fails");
    let (first, pid, address) = control.start("127.0.0.1:0");
    for answer in [&b""[..], b"no\n", b"far too long for an answer"] {
        let mut successor = UnixStream::connect(&control.0).unwrap();
        successor.write_all(answer).unwrap();
        drop(successor); // The descriptors are in the socket, and are closed.
        assert_eq!(ask(&mut connect(address), "still"), format!("{pid}: still\n"));
    }
    let (second, _, _) = control.start("127.0.0.1:0");
    let ending = first.end();
    assert!(ending.status.success(), "{ending:?}");
    assert_eq!(ending.stderr.lines().count(), 3, "{ending:?}");
    second.send(Signal::KILL);
    second.end();
}

#[test]
fn reports_invalid_arguments() {
    let line = run("handover", &["127.0.0.1:0"]).error_line(2);
    assert_eq!(line, "handover: usage: handover LISTEN CONTROL\n");
    let line = run("handover", &["127.0.0.1:0", "/no/such/folder/control"]).error_line(2);
    assert!(line.contains("/no/such/folder/control"), "{line}");
}
