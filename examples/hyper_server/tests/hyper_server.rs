//! The server as its users run it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A running server. Dropping it kills the process.
struct Server(Child);

impl Server {
    fn start() -> (Server, TcpStream) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyper_server"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("standard output is a pipe");
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let server = Server(child);
        let address = line.trim_end().strip_prefix("listening on ").expect("the server is ready");
        (server, TcpStream::connect(address).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // An error means that the process has ended.
        let _ = self.0.wait();
    }
}

/// Sends a request, and returns status line and body of an answer with a body of `length` bytes.
fn exchange(client: &mut TcpStream, request: &str, length: usize) -> (String, String) {
    write!(client, "{request} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    let head = String::from_utf8(answer).unwrap();
    (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
}

#[test]
fn answers_several_requests_on_one_connection() {
    let (mut server, mut client) = Server::start();
    for _ in 0..3 {
        let (status, body) = exchange(&mut client, "GET /", 13);
        assert_eq!((&*status, &*body), ("HTTP/1.1 200 OK", "Hello, World!"));
    }
    assert_eq!(exchange(&mut client, "GET /nothing", 16).0, "HTTP/1.1 404 Not Found");
    assert_eq!(exchange(&mut client, "PUT /", 9).0, "HTTP/1.1 405 Method Not Allowed");
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    // The connection is idle, so it is closed at once.
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(server.0.wait().unwrap().success());
}

#[test]
fn refuses_an_invalid_address() {
    let output = Command::new(env!("CARGO_BIN_EXE_hyper_server")).arg("nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("hyper_server: \"nowhere\": "), "{error}");
}
