//! The programs as their users run them, against real servers where these are installed.
//!
//! `cargo test -p ecosystem -- --nocapture` prints which of them were skipped.

mod servers;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use servers::{Server, error_line, lines};

/// The Python of the system, for which Debian has packages.
const PYTHON: &str = "/usr/bin/python3";

fn run(program: &str, arguments: &[&str]) -> Output {
    servers::run(Command::new(program).args(arguments))
}

/// One of the programs that serve. Dropping it kills the process.
struct Serving {
    process: Child,
    address: String,
}

impl Serving {
    fn start(program: &str, arguments: &[&str]) -> Serving {
        let mut command = Command::new(program);
        let mut process = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("it listens");
        Serving { address: address.to_owned(), process }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill(); // An error means that it has ended.
        let _ = self.process.wait();
    }
}

#[test]
fn axum_handlers_use_the_loop() {
    let mut server = Serving::start(env!("CARGO_BIN_EXE_axum_server"), &[]);
    assert!(server.get("/").ends_with("\r\n\r\n1 requests\n"));
    assert!(server.get("/").ends_with("\r\n\r\n2 requests\n"));
    let began = Instant::now();
    assert!(server.get("/wait").ends_with("\r\n\r\nwaited\n"));
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert!(server.get("/other").starts_with("HTTP/1.1 404 "));

    kill_process(Pid::from_child(&server.process), Signal::TERM).unwrap();
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn postgres_answers_notifies_and_cancels() {
    let Some(server) = Server::postgres() else { return };
    let socket = server.socket.to_str().unwrap();
    let printed = lines(run(env!("CARGO_BIN_EXE_postgres"), &[socket, &server.user]));
    assert_eq!(
        printed,
        ["sum of ten queries: 110", "notification: hello", "after a cancelled query: 42"]
    );
    let refused = error_line(run(env!("CARGO_BIN_EXE_postgres"), &[socket, "unknown"]));
    assert!(refused.contains("role \"unknown\" does not exist"), "{refused}");
}

#[test]
fn redis_answers_a_hundred_tasks_over_one_connection() {
    let Some(server) = Server::redis() else { return };
    let printed = lines(run(env!("CARGO_BIN_EXE_redis"), &[server.socket.to_str().unwrap()]));
    let limit = "a list without elements: the time limit of 100ms expired";
    assert_eq!(printed, ["highest of 100 answers: Some(100)", limit]);
}

#[test]
fn a_server_that_is_absent_is_an_error() {
    for program in [env!("CARGO_BIN_EXE_redis"), env!("CARGO_BIN_EXE_postgres")] {
        let line = error_line(run(program, &["/nowhere/socket", "user"]));
        assert!(line.contains("/nowhere/socket"), "{line}");
    }
}

#[test]
fn tokio_is_a_guest_of_the_loop() {
    let printed = lines(run(env!("CARGO_BIN_EXE_tokio_guest"), &[]));
    let timer = "a timer of tokio, on the loop's thread";
    let task = "a task of tokio, on another thread: true";
    assert_eq!(printed, ["a socket of tokio: hello", timer, task]);
}

#[test]
fn web_sockets_echo() {
    let server = Serving::start(env!("CARGO_BIN_EXE_websocket"), &["serve"]);
    let texts = ["hello", "over WebSocket", ""];
    let arguments: Vec<&str> = ["send", &server.address].into_iter().chain(texts).collect();
    assert_eq!(lines(run(env!("CARGO_BIN_EXE_websocket"), &arguments)), texts);

    // A peer that does not speak the protocol ends only its connection.
    let answer = server.get("/");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(lines(run(env!("CARGO_BIN_EXE_websocket"), &arguments)), texts);
}

/// A client of another language is served, too.
#[test]
fn web_sockets_answer_a_client_in_python() {
    let mut python = Command::new(PYTHON);
    if !python
        .args(["-c", "import websockets"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("skipped: websockets for Python is not installed (package python3-websockets)");
        return;
    }
    let server = Serving::start(env!("CARGO_BIN_EXE_websocket"), &["serve"]);
    let script = "import asyncio, sys, websockets\n\
        async def main():\n    \
            async with websockets.connect(sys.argv[1]) as socket:\n        \
                await socket.send('x' * 100_000)\n        \
                print(len(await socket.recv()))\n\
        asyncio.run(main())";
    let address = format!("ws://{}/", server.address);
    assert_eq!(lines(run(PYTHON, &["-c", script, &address])), ["100000"]);
}
