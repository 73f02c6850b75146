use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use super::program::{Program, run};

fn start() -> (Program, TcpStream) {
    let mut server = Program::start("hyper_server", &[]);
    let line = server.line();
    let address = line.strip_prefix("listening on ").expect("it says where it listens");
    let client = TcpStream::connect(address).unwrap();
    (server, client)
}

/// Returns status line and body of the answer, whose body has this length.
fn ask(client: &mut TcpStream, request: &str, length: usize) -> (String, String) {
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
    let (server, mut client) = start();
    for _ in 0..3 {
        let (status, body) = ask(&mut client, "GET /", 13);
        assert_eq!((&*status, &*body), ("HTTP/1.1 200 OK", "Hello, World!"));
    }
    assert_eq!(ask(&mut client, "GET /nothing", 16).0, "HTTP/1.1 404 Not Found");
    assert_eq!(ask(&mut client, "PUT /", 9).0, "HTTP/1.1 405 Method Not Allowed");
    server.send(Signal::TERM);
    // The connection is idle, so it is closed at once.
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    server.end().success();
}

#[test]
fn refuses_an_invalid_address() {
    let said = run("hyper_server", &["nowhere"]).complaint(2);
    assert!(said.starts_with("hyper_server: \"nowhere\": "), "{said}");
}
