//! System calls for setting the same interest again, for owned and for borrowed sources
//! (docs/contract.md, Q10 and W10).
//!
//! Replacing the file behind a borrowed descriptor number needs unsafe code; those tests are in
//! `sys`.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use mainspring::{EventLoop, Interest, Io, SelectorKind, Watched};

use crate::support::descriptors::pair;
use crate::support::selector::counted;
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{Source, on_every_selector};

const READ: Interest = Interest::READABLE;

/// Returns the number of registration changes when the same interest is set three times.
fn changes<T: AsFd + 'static>(kind: SelectorKind, source: T) -> usize {
    let (mut el, log) = logged(kind, ());
    let set = |_: &_, _: &mut (), me: &mut Watched<T>| me.set_interest(READ);
    let watcher = el.watch(source, READ, set).unwrap();
    log.take();
    for _ in 0..3 {
        el.set_interest(watcher, READ).unwrap();
    }
    tick(&mut el);
    log.take().len()
}

#[test]
fn q10_setting_the_same_interest_of_an_owned_source_costs_no_call() {
    on_every_selector(|kind| {
        let (a, b, c, _peers) = sources();
        assert_eq!(changes(kind, a), 0);
        assert_eq!(changes(kind, Rc::new(b)), 0);
        assert_eq!(changes(kind, Arc::new(c)), 0);
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(changes(kind, reader), 0);
    });
}

#[test]
fn w10_setting_the_same_interest_of_a_borrowed_source_costs_a_call() {
    on_every_selector(|kind| {
        let (source, _peer) = Source::pair(&Rc::new(()));
        assert_eq!(changes(kind, source), 3);
        let (ours, _theirs) = pair();
        // Leaks one descriptor for each kind, until the test process ends.
        let lent: &'static UnixStream = Box::leak(Box::new(ours));
        let fd = lent.as_fd();
        assert_eq!(changes(kind, fd), 3);
        let (mut el, log) = logged(kind, ());
        let watcher = el.watch(fd, READ, |_, _, _| Ok(())).unwrap();
        log.take();
        tick(&mut el);
        assert_eq!(log.take(), [], "ticks make no calls");
        el.set_interest(watcher, READ).unwrap();
        let calls = log.take();
        assert!(matches!(calls[..], [Call::Reregister(_, READ)]), "{calls:?}");
    });
}

fn sources() -> (UnixStream, UnixStream, UnixStream, [UnixStream; 3]) {
    let ((a, d), (b, e), (c, f)) = (pair(), pair(), pair());
    (a, b, c, [d, e, f])
}

/// A task pays one call for each wait on a borrowed descriptor, and none for an owned one.
#[test]
fn q10_a_wait_of_an_owned_source_costs_no_call() {
    on_every_selector(|kind| {
        for borrows in [false, true] {
            let (selector, calls) = counted(kind);
            let builder = EventLoop::builder().selector(selector);
            let mut el = builder.build_with(()).unwrap();
            let (ours, mut theirs) = pair();
            ours.set_nonblocking(true).unwrap();
            let shared = Rc::new(ours);
            let reads = |el: &EventLoop<()>| {
                let stream = shared.clone();
                let read = |stream: &UnixStream| {
                    let mut stream: &UnixStream = stream;
                    stream.read(&mut [0; 8])
                };
                el.spawn(async move {
                    if borrows {
                        let io = Io::new(stream.as_fd()).unwrap();
                        for _ in 0..5 {
                            io.read_with(|_| read(&stream)).await.unwrap();
                        }
                    } else {
                        let io = Io::new(stream).unwrap();
                        for _ in 0..5 {
                            io.read_with(|stream| read(stream)).await.unwrap();
                        }
                    }
                })
            };
            let reading = reads(&el);
            tick(&mut el);
            for round in 0..5 {
                calls.take();
                theirs.write_all(b"x").unwrap();
                tick(&mut el);
                tick(&mut el);
                if round < 4 {
                    assert_eq!(calls.take().1, usize::from(borrows), "changes in {round}");
                }
            }
            assert!(reading.is_finished());
        }
    });
}
