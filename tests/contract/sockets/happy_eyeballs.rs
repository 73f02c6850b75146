//! Connecting to several addresses: the order of the attempts and the first success
//! (docs/contract.md, S5).

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use mainspring::net::TcpStream;
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Result, SelectorKind};

use crate::support::descriptors::census;
use crate::support::network::{SilentAddress, closed_address};
use crate::support::process::alone;
use crate::support::{on_every_selector, simulated};

const STAGGER: Duration = Duration::from_millis(250);
const LONG: Duration = Duration::from_secs(3600);

fn open_listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connects. Returns the result and the time it took.
fn connect(
    kind: SelectorKind,
    addresses: &[SocketAddr],
    limit: Duration,
) -> (Result<SocketAddr>, Duration) {
    let (mut el, clock): (EventLoop, SimClock) = simulated(kind, ());
    let connecting = async {
        let stream = TcpStream::connect_any(addresses, limit).await?;
        Ok(stream.peer_addr()?)
    };
    (el.run_until_complete(connecting).unwrap(), clock.elapsed())
}

#[test]
fn s5_a_failure_starts_the_next_attempt_at_once() {
    on_every_selector(|kind| {
        let (_listener, good) = open_listener();
        let addresses = [closed_address(), closed_address(), good, closed_address()];
        let (connected, took) = connect(kind, &addresses, LONG);
        assert_eq!((connected.unwrap(), took), (good, Duration::ZERO));
    });
}

#[test]
fn s5_a_silent_address_delays_the_next_attempt() {
    alone("sockets::happy_eyeballs::s5_a_silent_address_delays_the_next_attempt", || {
        on_every_selector(|kind| {
            let (Some(silent), Some(also_silent)) = (SilentAddress::new(), SilentAddress::new())
            else {
                return;
            };
            let (_listener, good) = open_listener();
            let before = census();
            let addresses = [silent.address, also_silent.address, good];
            let (connected, took) = connect(kind, &addresses, LONG);
            assert_eq!((connected.unwrap(), took), (good, 2 * STAGGER));
            assert_eq!(census(), before);
        });
    });
}

/// A failure starts the next attempt even while another attempt is in progress.
#[test]
fn s5_a_failure_during_another_attempt_starts_the_next_at_once() {
    on_every_selector(|kind| {
        let Some(silent) = SilentAddress::new() else { return };
        let (_listener, good) = open_listener();
        let addresses = [silent.address, closed_address(), closed_address(), good];
        let (connected, took) = connect(kind, &addresses, LONG);
        assert_eq!((connected.unwrap(), took), (good, STAGGER));
    });
}

#[test]
fn s5_the_error_lists_all_failures() {
    on_every_selector(|kind| {
        let addresses = [closed_address(), closed_address()];
        let (failed, took) = connect(kind, &addresses, LONG);
        let failed = failed.unwrap_err();
        assert_eq!((failed.kind(), took), (ErrorKind::ConnectionRefused, Duration::ZERO));
        let message = failed.chain();
        for address in addresses {
            assert!(message.contains(&format!("{address}: Connection refused")), "{message}");
        }
        let (none, _) = connect(kind, &[], LONG);
        assert_eq!(none.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn s5_the_limit_covers_all_attempts() {
    alone("sockets::happy_eyeballs::s5_the_limit_covers_all_attempts", || {
        on_every_selector(|kind| {
            let (Some(silent), Some(also_silent)) = (SilentAddress::new(), SilentAddress::new())
            else {
                return;
            };
            let addresses = [silent.address, also_silent.address, closed_address()];
            let before = census();
            let limit = Duration::from_secs(1);
            let (late, took) = connect(kind, &addresses, limit);
            let late = late.unwrap_err();
            assert_eq!((late.kind(), took), (ErrorKind::TimedOut, limit));
            assert!(late.to_string().contains(&silent.address.to_string()), "{late}");
            assert_eq!(census(), before);
        });
    });
}

#[test]
fn s5_a_host_is_looked_up_and_connected() {
    on_every_selector(|kind| {
        let (_listener, good) = open_listener();
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        el.run_until_complete(async {
            let port = good.port();
            for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
                let stream = TcpStream::connect_host(&host, LONG).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap(), good);
            }
            let refused = TcpStream::connect_host("two words:80", LONG).await.unwrap_err();
            assert!(matches!(refused, mainspring::Error::Host { .. }), "{refused:?}");
        })
        .unwrap();
    });
}

/// The length of the error message does not depend on the number of addresses, which an untrusted
/// DNS server may choose.
#[test]
fn s5_the_error_of_many_addresses_is_short() {
    let addresses = vec![closed_address(); 300];
    let mut el = mainspring::EventLoop::new().unwrap();
    let limit = std::time::Duration::from_secs(60);
    let connected =
        el.run_until_complete(mainspring::net::TcpStream::connect_any(&addresses, limit));
    let error = connected.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let text = error.chain();
    assert!(text.len() < 1500, "{} bytes", text.len());
    let counts: Vec<&str> = text.split("and ").skip(1).collect();
    assert_eq!(counts.len(), 2, "{text}");
    assert!(counts.iter().all(|count| count.contains(" more")), "{text}");
}
