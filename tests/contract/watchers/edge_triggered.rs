//! Edge-triggered watchers and `Io` get ends, hang-ups and new data on every selector, even if they
//! stop before their call would block (docs/contract.md, W10).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use mainspring::{Interest, Io, Readiness, TriggerMode};

use crate::support::descriptors::pair;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;

/// Returns true if the selector reports an end behind unread data. A kqueue reports it with the
/// last byte.
fn is_not_kqueue(kind: mainspring::SelectorKind) -> bool {
    kind != mainspring::SelectorKind::Kqueue
}

/// The reader takes one byte a call, so it never gets `WouldBlock`.
#[test]
fn w10_an_edge_reader_that_stops_short_gets_the_next_byte_and_the_end() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let (ours, mut theirs) = pair();
        el.watch_with_mode(ours, READ, TriggerMode::Edge, |_, seen: &mut Vec<usize>, socket| {
            let count = socket.read(&mut [0; 1])?;
            if count == 0 {
                socket.cancel();
            }
            Ok(seen.push(count))
        })
        .unwrap();
        for round in 1..=3 {
            theirs.write_all(b"x").unwrap();
            assert_eq!((tick(&mut el), tick(&mut el)), (1, 0));
            assert_eq!(el.state()[..], vec![1; round]);
        }
        crate::support::descriptors::hang_up(theirs);
        assert_eq!(tick(&mut el), 1);
        assert_eq!(el.state()[..], [1, 1, 1, 0]);
        assert!(!el.is_alive());
    });
}

/// The end is reported beside data that stays unread.
#[test]
fn w10_io_reports_the_end_beside_unread_data() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let io = Rc::new(Io::new(ours).unwrap());
        theirs.write_all(b"unread").unwrap();
        let ready = el.run_until_complete({
            let io = io.clone();
            async move { io.ready(READ).await }
        });
        let ready = ready.unwrap().unwrap();
        assert!(ready.contains(Readiness::READABLE) && !ready.contains(Readiness::READ_CLOSED));
        theirs.shutdown(Shutdown::Write).unwrap();
        (0..3).for_each(|_| _ = tick(&mut el));
        let ready = el.run_until_complete(async move { io.ready(READ).await }).unwrap().unwrap();
        if is_not_kqueue(kind) {
            assert!(ready.contains(Readiness::READ_CLOSED), "{ready:?}");
        }
    });
}

/// After a call on the source itself the cached readiness remains, so the next wait returns.
#[test]
fn w10_io_reports_data_after_calls_on_the_source() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, mut theirs) = pair();
        let io = Rc::new(Io::new(ours).unwrap());
        let seen = Rc::new(std::cell::Cell::new(0));
        let count = seen.clone();
        el.spawn(async move {
            loop {
                io.readable().await.unwrap();
                // Such calls come from other futures, from a library, or from user code.
                match io.get_ref().read(&mut [0; 1]) {
                    Ok(read) => count.set(count.get() + read),
                    Err(_) => io.clear_readiness(READ),
                }
            }
        })
        .detach();
        for round in 1..=3 {
            theirs.write_all(b"x").unwrap();
            (0..4).for_each(|_| _ = tick(&mut el));
            assert_eq!(seen.get(), round);
        }
    });
}
