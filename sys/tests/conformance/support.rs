//! Shared helpers: a selector with a name, poll(2) as an oracle, and constructors of descriptors.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mainspring_sys::{Events, Interest, Readiness, Selector, SelectorKind, Token, TriggerMode};

use crate::default_signals::set_default_signals;

/// Bits on which every selector must agree. The others are hints.
pub const VERDICT: Readiness =
    Readiness::READABLE.union(Readiness::WRITABLE).union(Readiness::PRIORITY);
pub const R: Readiness = Readiness::READABLE;
pub const W: Readiness = Readiness::WRITABLE;
pub const READ: Interest = Interest::READABLE;
pub const WRITE: Interest = Interest::WRITABLE;
pub const BOTH: Interest = Interest::READABLE.union(Interest::WRITABLE);

/// Only one check runs at a time, because the next descriptor that any thread opens gets a closed
/// number.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A selector under test.
pub struct Subject {
    pub name: String,
    pub kind: SelectorKind,
    pub selector: Box<dyn Selector>,
    pub events: Events,
}

/// Runs `check` with a new selector of each kind. A failure prints its name.
pub fn on_every_kind(check: impl Fn(&mut Subject)) {
    let _alone = alone();
    for mut subject in subjects() {
        let _name = NameOnPanic(subject.name.clone());
        check(&mut subject);
    }
}

/// Prevents other checks from opening and closing descriptors, and sets the default signals.
pub fn alone() -> impl Drop {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    set_default_signals();
    guard
}

pub fn subjects() -> Vec<Subject> {
    let kinds = SelectorKind::available().iter();
    let subjects = kinds.map(|kind| Subject::new(kind.to_string(), *kind, kind.open().unwrap()));
    subjects.chain(coarse_epoll()).collect()
}

/// Returns epoll as on a kernel without epoll_pwait2(2).
#[cfg(has_epoll)]
fn coarse_epoll() -> Option<Subject> {
    use mainspring_sys::selector::epoll::{Epoll, Resolution};
    let coarse = Epoll::with_resolution(Resolution::Milliseconds).unwrap();
    let name = "epoll in milliseconds".to_string();
    Some(Subject::new(name, SelectorKind::Epoll, Box::new(coarse)))
}

#[cfg(not(has_epoll))]
fn coarse_epoll() -> Option<Subject> {
    None
}

impl Subject {
    fn new(name: String, kind: SelectorKind, selector: Box<dyn Selector>) -> Subject {
        Subject { name, kind, selector, events: Events::with_capacity(64) }
    }

    /// Registers `fd` with the token `slot`.
    pub fn watch(&mut self, fd: &impl AsFd, slot: u32, interest: Interest, mode: TriggerMode) {
        let fd = fd.as_fd().as_raw_fd();
        self.selector.register(fd, Token::new(slot, 0), interest, mode).unwrap();
    }

    pub fn rewatch(&mut self, fd: &impl AsFd, slot: u32, interest: Interest, mode: TriggerMode) {
        let fd = fd.as_fd().as_raw_fd();
        self.selector.reregister(fd, Token::new(slot, 0), interest, mode).unwrap();
    }

    pub fn unwatch(&mut self, fd: &impl AsFd) {
        self.selector.deregister(fd.as_fd().as_raw_fd()).unwrap();
    }

    pub fn clear_readiness(&mut self, fd: &impl AsFd, interest: Interest) {
        self.selector.clear_readiness(fd.as_fd().as_raw_fd(), interest);
    }

    /// Returns what is ready within `timeout`, in the order of slots.
    pub fn within(&mut self, timeout: Option<Duration>) -> Vec<(u32, Readiness)> {
        self.selector.select(&mut self.events, timeout).unwrap();
        let mut seen: Vec<_> =
            self.events.into_iter().map(|event| (event.token.slot(), event.readiness)).collect();
        seen.sort_by_key(|(slot, _)| *slot);
        seen
    }

    /// Returns what is ready now.
    pub fn now(&mut self) -> Vec<(u32, Readiness)> {
        self.within(Some(Duration::ZERO))
    }

    /// Returns the slots that are ready now.
    pub fn ready_slots(&mut self) -> Vec<u32> {
        self.now().into_iter().map(|(slot, _)| slot).collect()
    }

    /// Returns the full interest. kqueue(2) of some kernels has no filter for priority data.
    pub fn everything(&self) -> Interest {
        match self.kind {
            SelectorKind::Kqueue if cfg!(not(has_evfilt_except)) => BOTH,
            _ => BOTH | Interest::PRIORITY,
        }
    }

    /// Returns true if the selector is libkqueue. It has threads that open and close descriptors,
    /// and it keeps registrations that a real kernel drops with a closed fd.
    pub fn is_library(&self) -> bool {
        cfg!(kqueue_is_library) && self.kind == SelectorKind::Kqueue
    }

    /// Returns the part of `expected` that this kind of selector must report: some kernels omit
    /// hints, or report nothing of a direction that is not in the interest.
    pub fn must_say(&self, expected: Readiness, asked: Interest) -> Readiness {
        match self.kind {
            SelectorKind::Kqueue => expected & VERDICT & asked.into(),
            _ => expected,
        }
    }
}

/// Prints the name of the selector, because not every assertion does.
struct NameOnPanic(String);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was the selector: {}", self.0);
        }
    }
}

/// Returns the readiness that poll(2) reports for `fd` now; None for none.
pub fn oracle(fd: RawFd, interest: Interest) -> Option<Readiness> {
    let mut asked = libc::pollfd { fd, events: events(interest), revents: 0 };
    // SAFETY: `asked` is one writable entry and outlives the call.
    let count = unsafe { libc::poll(&raw mut asked, 1, 0) };
    assert!(count >= 0, "poll: {}", io::Error::last_os_error());
    readiness(asked.revents)
}

/// Waits until poll(2) reports one of `events` (or an error or a hang-up) for `fd`.
pub fn wait_for(fd: &impl AsFd, events: libc::c_short) {
    let mut asked = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events, revents: 0 };
    // SAFETY: `asked` is one writable entry and outlives the call.
    let count = unsafe { libc::poll(&raw mut asked, 1, 60_000) };
    assert_eq!(count, 1, "poll: {}", io::Error::last_os_error());
}

fn events(interest: Interest) -> libc::c_short {
    let mut events = 0;
    if interest.contains(Interest::READABLE) {
        events |= libc::POLLIN;
    }
    #[cfg(has_poll_rdhup)]
    if interest.intersects(READ | Interest::READ_CLOSED) {
        events |= libc::POLLRDHUP;
    }
    if interest.contains(Interest::WRITABLE) {
        events |= libc::POLLOUT;
    }
    if interest.contains(Interest::PRIORITY) {
        events |= libc::POLLPRI;
    }
    events
}

/// Translation of poll(2)'s flags, written again so that the suite does not depend on the code that
/// it tests.
fn readiness(revents: libc::c_short) -> Option<Readiness> {
    const CLOSED: Readiness = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED);
    let mut meaning = vec![
        (libc::POLLIN, R),
        (libc::POLLOUT, W),
        (libc::POLLPRI, Readiness::PRIORITY),
        (libc::POLLERR, Readiness::ERROR | R | W | Readiness::WRITE_CLOSED),
        (libc::POLLHUP, Readiness::HANGUP | CLOSED | R | W),
        (libc::POLLNVAL, Readiness::INVALID),
    ];
    #[cfg(has_poll_rdhup)]
    meaning.push((libc::POLLRDHUP, Readiness::READ_CLOSED | R));
    meaning.retain(|(mark, _)| revents & mark != 0);
    meaning.into_iter().map(|(_, readiness)| readiness).reduce(|all, one| all | one)
}

/// Returns two connected stream sockets, both non-blocking.
pub fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// Returns a duplicate of `fd` with a number of at least `least`.
pub fn dup_from(fd: &impl AsFd, least: RawFd) -> OwnedFd {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and touches no memory of ours.
    let fd = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    assert!(fd >= least, "F_DUPFD_CLOEXEC: {}", io::Error::last_os_error());
    // SAFETY: the call succeeded, so `fd` is open, and no other code has the number yet.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Returns the numbers of all open descriptors below 1024.
pub fn census() -> BTreeSet<RawFd> {
    (0..1024).filter(|fd| mainspring_sys::fd::is_open(*fd)).collect()
}
