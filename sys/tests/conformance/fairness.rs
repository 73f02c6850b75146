//! More that is ready than room for it: everyone has a turn before anyone has two.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mainspring_sys::{Events, SelectorKind, TriggerMode};

use crate::support::{READ, Subject, WRITE, dup_from, on_every_kind, pair, raise_limit};

/// Fills the buffer once, of the size it has.
fn turn(subject: &mut Subject) -> Vec<u32> {
    subject.selector.select(&mut subject.events, Some(Duration::ZERO)).unwrap();
    assert!(subject.events.len() <= subject.events.capacity());
    subject.events.into_iter().map(|event| event.token.slot()).collect()
}

fn watch_many(subject: &mut Subject, count: u32) -> Vec<OwnedFd> {
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let many: Vec<_> = (0..count).map(|_| dup_from(&ours, 0)).collect();
    for (slot, fd) in (0..).zip(&many) {
        subject.watch(fd, slot, READ, TriggerMode::Level);
    }
    many
}

#[test]
fn w10_three_share_a_room_for_one() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(1);
        let _open = watch_many(subject, 3);
        for round in 0..5 {
            let mut seen: Vec<_> = (0..3).flat_map(|_| turn(subject)).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2], "{}, round {round}", subject.name);
        }
    });
}

/// P19
#[test]
fn w10_each_of_many_is_served_before_any_is_served_twice() {
    raise_limit();
    on_every_kind(|subject| {
        let (count, room) = match subject.kind {
            SelectorKind::Select => (libc::FD_SETSIZE as u32 / 2, 60),
            _ => (3_000, 256),
        };
        subject.events = Events::with_capacity(room);
        let _open = watch_many(subject, count);
        for round in 0..2 {
            let mut served = HashSet::new();
            let mut calls = 0;
            while served.len() < count as usize {
                let (seen, left) = (turn(subject), count as usize - served.len());
                let new = seen.iter().filter(|slot| served.insert(**slot)).count();
                assert_eq!(seen.len(), room, "{}: half-empty", subject.name);
                assert_eq!(new, left.min(room), "{}: round {round}, call {calls}", subject.name);
                calls += 1;
            }
        }
    });
}

/// Removing one moves others about in our tables; nobody may lose or gain a turn by that.
#[test]
fn w10_removals_do_not_change_whose_turn_it_is() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(3);
        let open = watch_many(subject, 30);
        let mut served = HashSet::new();
        let mut removed = 0;
        while served.len() < 30 - removed {
            for slot in turn(subject) {
                assert!(served.insert(slot), "{}: {slot} twice", subject.name);
            }
            let gone = *served.iter().min().unwrap();
            served.remove(&gone);
            subject.unwatch(&open[gone as usize]);
            removed += 1;
        }
        assert!(removed >= 10, "{}: {removed} calls", subject.name);
    });
}

/// Who comes later goes behind: a stream of newcomers must not starve those who wait.
#[test]
fn w10_newcomers_do_not_overtake() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(1);
        let waiting = watch_many(subject, 4);
        let first: HashSet<_> = (0..4).flat_map(|_| turn(subject)).collect();
        let mut newcomers = Vec::new();
        let mut second = HashSet::new();
        for slot in 100..104 {
            newcomers.push(dup_from(&waiting[0], 0));
            subject.watch(newcomers.last().unwrap(), slot, READ, TriggerMode::Level);
            second.extend(turn(subject));
        }
        assert_eq!((first.len(), second), (4, first), "{}", subject.name);
    });
}

/// W6: files that are always ready neither starve the others nor are starved, even in a room for
/// one.
#[test]
fn w6_files_and_sockets_share_the_room() {
    on_every_kind(|subject| {
        let files: Vec<_> = (0..3).map(|_| File::open("/dev/null").unwrap()).collect();
        for (slot, file) in (100..).zip(&files) {
            subject.watch(file, slot, READ, TriggerMode::Level);
        }
        let _open = watch_many(subject, 3);
        for room in [1, 2, 3, 5] {
            subject.events = Events::with_capacity(room);
            let mut seen = HashSet::new();
            for _ in 0..12 {
                let now = turn(subject);
                assert_eq!(now.len(), room, "{}: half-empty", subject.name);
                seen.extend(now);
            }
            assert_eq!(seen.len(), 6, "{}: room {room}, seen {seen:?}", subject.name);
        }
    });
}

/// A room for one whose turn is the sockets', and no socket is ready.
#[test]
fn w6_a_turn_that_nobody_takes_is_the_files() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(1);
        let file = File::open("/dev/null").unwrap();
        let (ours, _theirs) = pair();
        subject.watch(&file, 1, WRITE, TriggerMode::Level);
        subject.watch(&ours, 2, READ, TriggerMode::Level);
        for _ in 0..4 {
            assert_eq!(turn(subject), [1], "{}", subject.name);
        }
    });
}
