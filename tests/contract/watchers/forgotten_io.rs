//! An `Io` of a borrowed stream that was leaked with `mem::forget`. Safe code then closes the fd,
//! and its number gets another owner (docs/contract.md, W8 and W10).
//!
//! Callbacks own their sources, so only unsafe code can do this to them; those tests are in `sys`.

use std::io::{Read, Write};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;

use futures::poll;
use mainspring::{Error, EventLoop, Interest, Io, SelectorKind};

use crate::support::descriptors::{hang_up, pair};
use crate::support::on_every_selector;
use crate::support::process::alone;
use crate::support::selector::counted;
use crate::support::ticks::tick;

type Seen = Vec<String>;

const READ: Interest = Interest::READABLE;

/// Descriptor number that nothing else has in the process of the test.
const NUMBER: RawFd = 200;

/// Runs `check`, the body of the test called `name`, in its own process.
fn on_every_loop(name: &str, mut check: impl FnMut(SelectorKind, &mut EventLoop<Seen>)) {
    alone(&format!("watchers::forgotten_io::{name}"), || {
        on_every_selector(|kind| {
            let selector = crate::support::loopback::selector(kind);
            let mut el = EventLoop::builder().selector(selector).build_with(Seen::new()).unwrap();
            check(kind, &mut el);
        });
    });
}

/// Duplicates the stream to [`NUMBER`].
fn at_the_number(stream: &impl AsFd) -> UnixStream {
    let moved = rustix::io::fcntl_dupfd_cloexec(stream.as_fd(), NUMBER).unwrap();
    assert_eq!(moved.as_raw_fd(), NUMBER);
    moved.into()
}

/// Returns a stream with the number [`NUMBER`], and its peer.
fn owner() -> (UnixStream, UnixStream) {
    let (ours, theirs) = pair();
    (at_the_number(&ours), theirs)
}

/// Waits for `stream` with an `Io`, and leaks the `Io`.
fn forget_io<S>(el: &mut EventLoop<S>, stream: &UnixStream) {
    let waiting = async {
        let io = Io::new(stream).unwrap();
        assert!(poll!(pin!(io.ready(READ))).is_pending());
        mem::forget(io);
    };
    el.run_until_complete(waiting).unwrap();
}

fn read(mut stream: &UnixStream) -> std::io::Result<usize> {
    stream.read(&mut [0; 8])
}

fn add_reader(el: &EventLoop<Seen>, stream: Rc<UnixStream>) -> mainspring::Result<()> {
    let watcher = el.add_reader(stream, |_, seen: &mut Seen, stream| {
        seen.push(format!("read {}", read(stream)?));
        Ok(())
    });
    watcher.map(drop)
}

/// Ticks until nothing runs. Panics if that takes more than 20 ticks.
fn tick_until_idle(el: &mut EventLoop<Seen>) -> Seen {
    let ticks = (0..20).take_while(|_| tick(el) > 0).count();
    assert!(ticks < 20, "the loop spins: {:?}", el.state());
    mem::take(el.state_mut())
}

#[test]
fn w8_a_callback_replaces_a_leaked_io() {
    on_every_loop("w8_a_callback_replaces_a_leaked_io", |_, el| {
        let (old, _peer) = owner();
        forget_io(el, &old);
        drop(old);
        let (new, mut theirs) = owner();
        add_reader(el, Rc::new(new)).unwrap();
        assert_eq!(tick_until_idle(el), [""; 0]);
        theirs.write_all(b"123").unwrap();
        assert_eq!(tick_until_idle(el), ["read 3"]);
    });
}

/// The unused direction: the old entry would report events of the new file.
#[test]
fn w8_a_leaked_io_gets_no_event_of_the_next_owner() {
    on_every_loop("w8_a_leaked_io_gets_no_event_of_the_next_owner", |_, el| {
        let (old, _peer) = owner();
        el.run_until_complete(async {
            let io = Io::with_interest(&old, READ).unwrap();
            assert!(poll!(pin!(io.readable())).is_pending());
            mem::forget(io);
        })
        .unwrap();
        drop(old);
        let (new, mut theirs) = owner();
        theirs.write_all(b"12").unwrap();
        let called = |_: &_, seen: &mut Seen, me: &mut mainspring::Watched<UnixStream>| {
            seen.push("written".to_owned());
            me.cancel();
            Ok(())
        };
        el.add_writer(new, called).unwrap();
        assert_eq!(tick_until_idle(el), ["written"]);
    });
}

/// Each owner leaks its `Io`, and the next one waits for its own stream.
#[test]
fn w8_an_io_replaces_a_leaked_io() {
    on_every_loop("w8_an_io_replaces_a_leaked_io", |_, el| {
        for round in 1..=5 {
            let (new, mut theirs) = owner();
            let io = Io::new(&new).unwrap();
            let reading = async {
                let mut reading = pin!(io.read_with(|stream| read(stream)));
                assert!(poll!(reading.as_mut()).is_pending(), "round {round}");
                theirs.write_all(b"12").unwrap();
                reading.await
            };
            assert_eq!(el.run_until_complete(reading).unwrap().unwrap(), 2, "round {round}");
            mem::forget(io);
        }
    });
}

/// A type with a destructor may still be a borrow.
#[test]
fn w8_a_leaked_io_of_a_boxed_reference_is_replaced() {
    on_every_loop("w8_a_leaked_io_of_a_boxed_reference_is_replaced", |_, el| {
        let (old, _peer) = owner();
        el.run_until_complete(async {
            let io = Io::new(Box::new(&old)).unwrap();
            assert!(poll!(pin!(io.ready(READ))).is_pending());
            mem::forget(io);
        })
        .unwrap();
        drop(old);
        let (new, mut theirs) = owner();
        add_reader(el, Rc::new(new)).unwrap();
        theirs.write_all(b"1").unwrap();
        assert_eq!(tick_until_idle(el), ["read 1"]);
    });
}

/// A duplicate keeps the old file open. Its events must neither call the new owner nor end each
/// wait.
#[test]
fn w8_a_duplicate_of_the_leaked_file_causes_no_event() {
    on_every_loop("w8_a_duplicate_of_the_leaked_file_causes_no_event", |_, el| {
        let (old, mut old_peer) = owner();
        forget_io(el, &old);
        let copy = old.try_clone().unwrap();
        drop(old);
        let (new, mut theirs) = owner();
        add_reader(el, Rc::new(new)).unwrap();
        old_peer.write_all(b"old").unwrap();
        assert_eq!(tick_until_idle(el), [""; 0]);
        theirs.write_all(b"1").unwrap();
        assert_eq!(tick_until_idle(el), ["read 1"]);
        hang_up(copy);
        assert_eq!(tick_until_idle(el), [""; 0]);
    });
}

/// If the same file gets the number again, the leaked `Io` still watches it. A kqueue drops the
/// registration when the first descriptor closes.
#[test]
fn w10_a_leaked_io_still_watches_the_same_file() {
    on_every_loop("w10_a_leaked_io_still_watches_the_same_file", |kind, el| {
        let (old, _peer) = owner();
        forget_io(el, &old);
        let copy = old.try_clone().unwrap();
        drop(old);
        let again = add_reader(el, Rc::new(at_the_number(&copy)));
        match kind {
            SelectorKind::Kqueue => again.unwrap(),
            _ => {
                let error = again.unwrap_err();
                assert!(matches!(error, Error::AlreadyWatched { fd: NUMBER, .. }), "{error}");
            }
        }
    });
}

/// A source that the loop owns costs one registration and one deregistration.
#[test]
fn q10_an_owned_source_is_registered_once() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = EventLoop::builder().selector(selector).build_with(()).unwrap();
        let (ours, mut theirs) = pair();
        calls.take();
        let reader =
            el.add_reader(ours, |_, (), stream| read(stream).map(drop).map_err(Into::into));
        theirs.write_all(b"x").unwrap();
        tick(&mut el);
        assert_eq!(calls.take().1, 1);
        assert!(el.cancel(reader.unwrap()));
        assert_eq!(calls.take().1, 1);
    });
}
