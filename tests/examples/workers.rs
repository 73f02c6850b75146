//! Tests of the example `workers`: an echo daemon with one loop for each core.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use mainspring::SelectorKind;
use rustix::process::Signal;

use super::program::{Program, run};

/// Each worker accepts its own clients, or the main loop accepts for all.
const MODES: [&[&str]; 2] = [&["--workers", "3"], &["--workers", "3", "--handover"]];

fn start(arguments: &[&str]) -> (Program, SocketAddr) {
    let mut daemon = Program::start("workers", arguments);
    let line = daemon.line();
    let address = line.strip_prefix("listening on ").expect("it says where it listens");
    let address: SocketAddr = address.parse().expect("it says an address");
    assert_ne!(address.port(), 0);
    (daemon, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    round_trip(&mut client, b"hello");
    client
}

fn round_trip(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, message);
}

/// Returns connections and bytes of each worker, and of all workers, from the daemon's last lines.
fn tallies(output: &str) -> (Vec<[u64; 2]>, [u64; 2]) {
    let tally = |line: &str| {
        let (_, tally) = line.split_once(": ").expect("a worker or the total");
        let (connections, bytes) = tally.split_once(" connections, ").expect("connections");
        let bytes = bytes.strip_suffix(" bytes").expect("bytes");
        [connections.parse().unwrap(), bytes.parse().unwrap()]
    };
    let mut lines: Vec<&str> = output.lines().collect();
    let total = lines.pop().expect("a last line");
    assert!(total.starts_with("total: "), "{output}");
    for (number, line) in (1..).zip(&lines) {
        assert!(line.starts_with(&format!("worker {number}: ")), "{output}");
    }
    (lines.into_iter().map(tally).collect(), tally(total))
}

#[test]
fn serves_every_client_and_counts_by_worker() {
    for mode in MODES {
        let (daemon, address) = start(mode);
        let mut clients: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
        for client in &mut clients {
            round_trip(client, &[7; 10_000]);
        }
        drop(clients);
        daemon.send(Signal::TERM);
        let (workers, total) = tallies(&daemon.end().success());
        assert_eq!(total, [60, 60 * 10_005]);
        assert_eq!(workers.len(), 3);
        for index in 0..2 {
            assert_eq!(workers.iter().map(|tally| tally[index]).sum::<u64>(), total[index]);
        }
        // Linux spreads the clients by a hash. The probability that one of three workers gets none
        // of 60 is about 10^-10.
        let is_linux = SelectorKind::available().contains(&SelectorKind::Epoll);
        if is_linux || mode.contains(&"--handover") {
            assert!(workers.iter().all(|tally| tally[0] > 0), "{mode:?}: {workers:?}");
        }
    }
}

#[test]
fn hands_connections_to_the_workers_in_turn() {
    let (daemon, address) = start(MODES[1]);
    // Each client is served before the next one connects, so the bytes show which worker had it.
    for size in 1..=7 {
        round_trip(&mut TcpStream::connect(address).unwrap(), &vec![b'x'; 1 << size]);
    }
    daemon.send(Signal::TERM);
    let (workers, total) = tallies(&daemon.end().success());
    assert_eq!(workers, [[3, 2 + 16 + 128], [2, 4 + 32], [2, 8 + 64]]);
    assert_eq!(total, [7, 254]);
}

#[test]
fn there_is_a_worker_for_each_core() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let (daemon, _) = start(&[]);
    daemon.send(Signal::INT);
    let (workers, total) = tallies(&daemon.end().success());
    assert_eq!((workers.len(), total), (cores, [0, 0]));
}

#[test]
fn takes_an_address() {
    for handover in [&[][..], &["--handover"]] {
        let (daemon, address) = start(&[&["0.0.0.0:0"], handover].concat());
        assert_eq!(address.ip(), Ipv4Addr::UNSPECIFIED);
        drop(connect((Ipv4Addr::LOCALHOST, address.port()).into()));
        daemon.send(Signal::TERM);
        assert!(daemon.end().success().ends_with("total: 1 connections, 5 bytes\n"));
    }
}

#[test]
fn a_signal_stops_accepting_and_lets_clients_finish() {
    for mode in MODES {
        let (daemon, address) = start(mode);
        let mut clients: Vec<TcpStream> = (0..20).map(|_| connect(address)).collect();
        daemon.send(Signal::TERM);
        // Until all listeners are closed. A listener that is about to close may still accept a
        // client, and reset it.
        while TcpStream::connect(address).is_ok() {}
        for client in &mut clients {
            round_trip(client, b"after");
        }
        drop(clients);
        let (_, [connections, bytes]) = tallies(&daemon.end().success());
        assert!(connections >= 20 && bytes == 200, "{connections} connections, {bytes} bytes");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for mode in MODES {
        let (daemon, address) = start(mode);
        let mut clients: Vec<TcpStream> = (0..20).map(|_| connect(address)).collect();
        daemon.send(Signal::INT);
        while TcpStream::connect(address).is_ok() {}
        daemon.send(Signal::TERM);
        let (_, total) = tallies(&daemon.end().success());
        assert_eq!(total[1], 100);
        for client in &mut clients {
            // The end of the stream, or a reset.
            assert!(!matches!(client.read(&mut [0]), Ok(1..)));
        }
    }
}

#[test]
fn clients_that_stay_are_closed_after_five_seconds() {
    let running = MODES.map(|mode| {
        let (daemon, address) = start(mode);
        let client = connect(address);
        daemon.send(Signal::TERM);
        (daemon, client)
    });
    for (daemon, client) in running {
        assert!(daemon.end().success().ends_with("total: 1 connections, 5 bytes\n"));
        drop(client);
    }
}

#[test]
fn reports_invalid_arguments() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for handover in [&[][..], &["--handover"]] {
        let line = run("workers", &[&[taken.as_str()], handover].concat()).error_line(2);
        assert!(line.starts_with(&format!("workers: cannot listen on {taken}: ")), "{line}");
        assert!(line.contains(" in use"), "{line}");
    }
    for (arguments, why) in [
        (&["nowhere"][..], "nowhere: "),
        (&["--worker"], "--worker: "),
        (&["--workers"], "--workers: "),
        (&["--workers", "0"], "--workers: "),
        (&["--workers", "some"], "--workers: "),
        (&["127.0.0.1:0", "127.0.0.1:0"], "127.0.0.1:0: "),
    ] {
        let line = run("workers", arguments).error_line(2);
        assert!(line.starts_with(&format!("workers: {why}")), "{line}");
        assert!(line.contains("usage: [IP:PORT] [--workers N] [--handover]"), "{line}");
    }
}
