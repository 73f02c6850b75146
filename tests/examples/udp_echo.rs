//! Tests of the example `udp_echo`: an echo daemon for datagrams.

use std::net::{SocketAddr, UdpSocket};

use rustix::process::Signal;

use super::program::{Program, TIME_LIMIT, receive, run};

fn start() -> (Program, SocketAddr) {
    let mut echo = Program::start("udp_echo", &[]);
    let line = echo.line();
    let address = line.strip_prefix("listening on ").expect("it says where it listens");
    let address: SocketAddr = address.parse().expect("it says an address");
    assert_ne!(address.port(), 0);
    (echo, address)
}

#[test]
fn answers_every_datagram_and_counts_them() {
    let (echo, address) = start();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(TIME_LIMIT)).unwrap();
    peer.connect(address).unwrap();
    for datagram in [&b"hello"[..], b"", &[7; 9000]] {
        peer.send(datagram).unwrap();
        let mut buffer = [0; 10_000];
        let count = receive(|| peer.recv(&mut buffer));
        assert_eq!(&buffer[..count], datagram);
    }
    echo.send(Signal::TERM);
    assert_eq!(echo.end().success(), "3 datagrams, 9005 bytes\n");
}

#[test]
fn ends_at_ctrl_c() {
    let (echo, _) = start();
    echo.send(Signal::INT);
    assert_eq!(echo.end().success(), "0 datagrams, 0 bytes\n");
}

#[test]
fn takes_an_address() {
    let mut echo = Program::start("udp_echo", &["[::1]:0"]);
    let line = echo.line();
    if line.is_empty() {
        // This machine has no IPv6.
        let ending = echo.end();
        assert_eq!(ending.status.code(), Some(1), "{ending:?}");
        assert_eq!(ending.stderr.lines().count(), 1, "{ending:?}");
        return;
    }
    assert!(line.starts_with("listening on [::1]:"), "{line}");
    echo.send(Signal::TERM);
    echo.end().success();
}

#[test]
fn reports_invalid_arguments() {
    let line = run("udp_echo", &["here"]).error_line(2);
    assert_eq!(line, "udp_echo: \"here\" is not an address like 127.0.0.1:7000\n");
    let line = run("udp_echo", &["127.0.0.1:0", "there"]).error_line(2);
    assert_eq!(line, "udp_echo: unexpected argument \"there\"\n");
}

#[test]
fn reports_an_address_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = run("udp_echo", &[&address]).error_line(1);
    assert!(line.starts_with(&format!("udp_echo: cannot listen on {address}: ")), "{line}");
}
