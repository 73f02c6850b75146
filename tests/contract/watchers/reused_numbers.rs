//! One descriptor number with many owners (docs/contract.md, W4).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use mainspring::{Interest, Watcher};

use crate::support::descriptors::{pair, readable};
use crate::support::on_every_selector;
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;

const READ: Interest = Interest::READABLE;

/// The same number is used ten thousand times, and each owner gets only its own events (P3).
#[test]
fn w4_ten_thousand_owners_share_one_number() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, 0);
        for round in 1..=10_000 {
            let (ours, mut theirs) = pair();
            el.add_reader(ours, move |_, served, socket| {
                socket.read_exact(&mut [0])?;
                *served += 1;
                assert_eq!(*served, round);
                socket.cancel();
                Ok(())
            })
            .unwrap();
            theirs.write_all(b"x").unwrap();
            assert_eq!(tick(&mut el), 1);
            if round % 1000 == 0 {
                assert_eq!(tick(&mut el), 0);
            }
        }
        assert_eq!(*el.state(), 10_000);
        assert_eq!(log.greatest_slot(), 0, "the table has grown");
    });
}

/// Within one batch a callback closes the other's fd, and watches a new, silent one with the same
/// number.
#[test]
fn w4_an_old_event_does_not_reach_the_new_owner() {
    on_every_selector(|kind| {
        type State = Vec<Watcher<UnixStream>>;
        let (mut el, log) = logged(kind, State::new());
        let mut peers = Vec::new();
        for index in 0..2 {
            let (ours, theirs) = readable();
            peers.push(theirs);
            let watcher = el.add_reader(ours, move |el, watchers: &mut State, me| {
                if watchers.len() < 3 {
                    return Ok(());
                }
                assert!(el.cancel(watchers[1 - index]));
                let (new, peer) = pair();
                el.add_reader(new, move |_, _, new| {
                    panic!("called for an event of another source, with {peer:?}: {new:?}")
                })?;
                me.cancel();
                Ok(())
            });
            el.state_mut().push(watcher.unwrap());
        }
        log.take();
        assert_eq!(tick(&mut el), 2, "both are ready");
        let third = el.state()[0];
        el.state_mut().push(third);
        assert_eq!(tick(&mut el), 1);
        let calls = log.take();
        let [Call::Deregister(old), Call::Register(new, READ), Call::Deregister(_)] = calls[..]
        else {
            panic!("{calls:?}")
        };
        // Other tests open descriptors too, so the number may differ.
        println!("fd {old}, then {new}");
        (0..3).for_each(|_| assert_eq!(tick(&mut el), 0));
        // An unknown key in the batch causes no system call.
        assert_eq!(log.take(), []);
    });
}
