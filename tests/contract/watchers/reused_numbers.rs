//! W4: one number of an fd, many owners.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use mainspring::{Interest, Watcher};

use crate::support::files::{pair, readable, tick};
use crate::support::on_every_selector;
use crate::support::spy::{Call, spied};

const READ: Interest = Interest::READABLE;

/// P3: the number goes round and round, and each owner hears only of itself.
#[test]
fn w4_ten_thousand_owners_of_one_number() {
    on_every_selector(|kind| {
        let (mut el, log) = spied(kind, 0);
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

/// Within one batch: whoever comes first closes the other's fd and watches a new one of the same
/// number, which is silent.
#[test]
fn w4_an_event_of_the_old_owner_does_not_reach_the_new_one() {
    on_every_selector(|kind| {
        type State = Vec<Watcher<UnixStream>>;
        let (mut el, log) = spied(kind, State::new());
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
                    panic!("woken by the event of another, with {peer:?}: {new:?}")
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
        println!("fd {old}, then {new}"); // Other tests open descriptors too, so it may be another one.
        (0..3).for_each(|_| assert_eq!(tick(&mut el), 0));
        // The event that has found nobody is no reason to ask the kernel for anything.
        assert_eq!(log.take(), []);
    });
}
