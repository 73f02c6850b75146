//! Accepting at the descriptor limit. The limit belongs to the process, so this test has its own
//! program.

use std::os::fd::OwnedFd;
use std::time::Duration;

use mainspring_sys::signal::Subscription;
use mainspring_sys::socket::{self, AcceptError, ListenOptions, ReserveFd};
use mainspring_sys::{Events, Interest, SelectorKind, Token, TriggerMode, fd};

fn limit(descriptors: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for the answer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let before = std::mem::replace(&mut limit.rlim_cur, descriptors);
    // SAFETY: `limit` outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    before
}

/// Opens descriptors until the limit is reached.
fn exhaust() -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    while let Ok((reader, writer)) = fd::pipe() {
        taken.extend([reader, writer]);
    }
    if let Ok(last) = std::fs::File::open("/dev/null") {
        taken.push(last.into());
    }
    taken
}

/// S4: at the limit, accept returns `Capacity`, the reserve removes one connection from the
/// backlog, and other connections are not affected. X4: a subscription that could not be created
/// leaves nothing behind.
#[test]
fn s4_at_the_limit_the_reserve_removes_a_connection() {
    let listener = socket::listen(&"127.0.0.1:0".parse().unwrap(), &ListenOptions::default());
    let listener = listener.unwrap();
    let address = socket::local_addr(&listener).unwrap();
    let clients: Vec<_> = (0..3).map(|_| socket::connect(&address).unwrap()).collect();
    let mut selector = SelectorKind::available()[0].open().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
    selector.register(fd, Token::new(0, 0), Interest::READABLE, TriggerMode::Level).unwrap();
    let mut events = Events::with_capacity(1);
    selector.select(&mut events, Some(Duration::from_secs(30))).unwrap();
    let mut reserve = ReserveFd::new(&listener).unwrap();

    let before = limit(64);
    let mut taken = exhaust();
    assert!(matches!(socket::accept(&listener), Err(AcceptError::Capacity(_))));
    let from = reserve.accept_and_close(&listener).unwrap();
    assert_eq!(from, socket::local_addr(&clients[0]).unwrap());
    assert!(reserve.is_filled());

    reserve.release();
    let thief = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(reserve.accept_and_close(&listener), Err(AcceptError::Capacity(_))));
    assert!(!reserve.is_filled());
    assert!(ReserveFd::new(&listener).is_err());
    assert!(socket::connect(&address).is_err());
    assert!(Subscription::new(&mut *selector, Token::new(1, 0)).is_err());
    drop(thief);
    let from = reserve.accept_and_close(&listener).unwrap();
    assert_eq!(from, socket::local_addr(&clients[1]).unwrap());

    taken.pop();
    let (_server, from) = socket::accept(&listener).unwrap();
    assert_eq!(from, socket::local_addr(&clients[2]).unwrap());
    drop(taken);
    limit(before);
    Subscription::new(&mut *selector, Token::new(1, 0)).unwrap();
}
