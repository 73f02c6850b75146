//! Options that decide when a connection ends, and the credentials of a Unix peer.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mainspring_sys::socket::{self, KeepaliveTimes};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// The kernel counts seconds, and a time is rounded up: rounded down, it could become zero.
#[test]
fn keepalive_times_are_rounded_up_and_read_back() {
    let (stream, _peer) = pair();
    assert!(!socket::keepalive(&stream).unwrap());
    let millis = |time| Some(Duration::from_millis(time));
    let times = KeepaliveTimes { idle: millis(1), interval: millis(2001), count: Some(4) };
    match socket::set_keepalive_times(&stream, &times) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return println!("skipped: {error}");
        }
        set => set.unwrap(),
    }
    assert!(socket::keepalive(&stream).unwrap());
    let expected = KeepaliveTimes { idle: millis(1000), interval: millis(3000), count: Some(4) };
    assert_eq!(socket::keepalive_times(&stream).unwrap(), expected);
    let count = KeepaliveTimes { count: Some(5), ..KeepaliveTimes::default() };
    socket::set_keepalive_times(&stream, &count).unwrap();
    let expected = KeepaliveTimes { count: Some(5), ..expected };
    assert_eq!(socket::keepalive_times(&stream).unwrap(), expected, "None changes nothing");
    socket::set_keepalive(&stream, false).unwrap();
    assert!(!socket::keepalive(&stream).unwrap());
}

#[test]
fn an_invalid_keepalive_time_is_refused_and_changes_nothing() {
    let (stream, _peer) = pair();
    let good = Some(Duration::from_secs(7));
    let none = KeepaliveTimes::default();
    for bad in [
        KeepaliveTimes { idle: good, interval: Some(Duration::ZERO), ..none },
        KeepaliveTimes { idle: good, interval: Some(Duration::MAX), ..none },
        KeepaliveTimes { idle: good, count: Some(0), ..none },
        KeepaliveTimes { idle: good, count: Some(u32::MAX), ..none },
    ] {
        let refused = socket::set_keepalive_times(&stream, &bad).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{bad:?}");
        assert!(!socket::keepalive(&stream).unwrap());
        if let Ok(times) = socket::keepalive_times(&stream) {
            assert_ne!(times.idle, good);
        }
    }
}

/// The kernel takes zero for the default, so no time becomes zero.
#[test]
fn a_user_timeout_is_rounded_up_and_read_back() {
    let (stream, _peer) = pair();
    match socket::user_timeout(&stream) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return println!("skipped: {error}");
        }
        reported => assert_eq!(reported.unwrap(), None),
    }
    for (asked, reported) in [(Duration::from_nanos(1), 1), (Duration::from_micros(2500), 3)] {
        socket::set_user_timeout(&stream, Some(asked)).unwrap();
        assert_eq!(socket::user_timeout(&stream).unwrap(), Some(Duration::from_millis(reported)));
    }
    for refused in [Duration::ZERO, Duration::MAX] {
        let refused = socket::set_user_timeout(&stream, Some(refused)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(socket::user_timeout(&stream).unwrap(), Some(Duration::from_millis(3)));
    socket::set_user_timeout(&stream, None).unwrap();
    assert_eq!(socket::user_timeout(&stream).unwrap(), None);
}

#[test]
fn a_zero_linger_resets_and_nothing_else_does() {
    let (ours, mut theirs) = pair();
    assert_eq!(socket::linger(&ours).unwrap(), None);
    socket::set_linger_zero(&ours, true).unwrap();
    assert_eq!(socket::linger(&ours).unwrap(), Some(Duration::ZERO));
    drop(ours);
    assert_eq!(theirs.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    #[allow(deprecated)]
    for time in [Some(Duration::from_millis(900)), Some(Duration::from_secs(2)), None] {
        let (ours, mut theirs) = pair();
        socket::set_linger_zero(&ours, true).unwrap();
        socket::set_linger(&ours, time).unwrap();
        assert_eq!(socket::linger(&ours).unwrap(), None, "close(2) would block for {time:?}");
        socket::send(&ours, b"last words").unwrap();
        drop(ours);
        let mut received = String::new();
        theirs.read_to_string(&mut received).unwrap();
        assert_eq!(received, "last words");
    }
}

#[test]
fn flags_are_read_back() {
    let (stream, _peer) = pair();
    for on in [true, false] {
        socket::set_nodelay(&stream, on).unwrap();
        assert_eq!(socket::nodelay(&stream).unwrap(), on);
        socket::set_reuse_address(&stream, on).unwrap();
        assert_eq!(socket::reuse_address(&stream).unwrap(), on);
        if socket::set_reuse_port(&stream, on).is_ok() {
            assert_eq!(socket::reuse_port(&stream).unwrap(), on);
        }
    }
    socket::set_send_buffer(&stream, usize::MAX).ok();
    assert!(socket::send_buffer(&stream).unwrap() > 0);
}

#[test]
fn credentials_are_those_of_the_peer() {
    let (one, _other) = UnixStream::pair().unwrap();
    match socket::peer_credentials(&one) {
        Err(error) if error.kind() == ErrorKind::Unsupported => println!("skipped: {error}"),
        reported => {
            let reported = reported.unwrap();
            // SAFETY: the call touches no memory.
            let uid = unsafe { libc::geteuid() };
            // SAFETY: the call touches no memory.
            let gid = unsafe { libc::getegid() };
            assert_eq!((reported.uid, reported.gid), (uid, gid));
            assert!(reported.pid.is_none_or(|pid| pid == std::process::id()), "{reported:?}");
        }
    }
    let alone = std::os::unix::net::UnixDatagram::unbound().unwrap();
    assert!(socket::peer_credentials(&alone).is_err());
    let (tcp, _peer) = pair();
    assert_eq!(socket::peer_credentials(&tcp).unwrap_err().kind(), ErrorKind::Unsupported);
}
