//! Tests of the example `proxy`: a proxy with back-pressure in both directions.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::process::Signal;

use super::program::{Program, run};

fn start(upstream: SocketAddr) -> (Program, SocketAddr) {
    let mut proxy = Program::start("proxy", &["127.0.0.1:0", &upstream.to_string()]);
    let line = proxy.line();
    let address = line.strip_prefix("listening on ").expect("it says where it listens");
    let address = address.parse().expect("it says an address");
    (proxy, address)
}

fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn passes_on_the_end_of_one_direction() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, address) = start(listener.local_addr().unwrap());
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();

    let (mut upstream, _) = listener.accept().unwrap();
    assert_eq!(read_all(&upstream), b"question");
    upstream.write_all(b"answer").unwrap();
    drop(upstream);
    assert_eq!(read_all(&client), b"answer");

    proxy.send(Signal::TERM);
    proxy.end().success();
}

#[test]
fn passes_on_all_bytes_both_ways() {
    const BYTES: usize = 16 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, address) = start(listener.local_addr().unwrap());
    let client = TcpStream::connect(address).unwrap();
    let (upstream, _) = listener.accept().unwrap();
    let message: Vec<u8> = (0..BYTES).map(|i| ((i * i) >> 7) as u8).collect();

    thread::scope(|scope| {
        for mut writer in [&client, &upstream] {
            let message = &message;
            scope.spawn(move || {
                writer.write_all(message).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
        }
        for reader in [&client, &upstream] {
            assert!(read_all(reader) == message);
        }
    });
    proxy.send(Signal::TERM);
    proxy.end().success();
}

#[test]
fn passes_a_reset_on_as_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, address) = start(listener.local_addr().unwrap());
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"not read").unwrap();
    let (upstream, _) = listener.accept().unwrap();
    upstream.peek(&mut [0]).unwrap();
    drop(upstream); // With unread input the kernel resets the connection.
    match client.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    proxy.send(Signal::TERM);
    proxy.end().success();
}

#[test]
fn disconnects_a_client_without_an_upstream() {
    // A port that a client uses: nothing listens there, and no other process gets it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let closed = taken.local_addr().unwrap();
    let (proxy, address) = start(closed);
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(read_all(&client), b"");
    proxy.send(Signal::TERM);
    let ending = proxy.end();
    assert!(ending.status.success(), "{ending:?}");
    let message = format!("cannot connect to {closed}: ");
    assert!(ending.stderr.contains(&message), "{ending:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, address) = start(listener.local_addr().unwrap());
    let client = TcpStream::connect(address).unwrap();
    let (upstream, _) = listener.accept().unwrap();
    proxy.send(Signal::TERM);
    // Two pending signals would be merged into one.
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    proxy.send(Signal::TERM);
    assert_eq!((read_all(&client), read_all(&upstream)), (vec![], vec![]));
    proxy.end().success();
}

#[test]
fn reports_invalid_arguments() {
    let line = run("proxy", &["127.0.0.1:0"]).error_line(2);
    assert_eq!(line, "proxy: usage: proxy LISTEN UPSTREAM\n");
    let line = run("proxy", &["127.0.0.1:0", "localhost:80"]).error_line(2);
    assert!(line.ends_with("look up the host name first\n"), "{line}");
}
