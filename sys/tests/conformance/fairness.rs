//! Fairness if more fds are ready than fit: every fd is reported before any is reported twice.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mainspring_sys::{Events, SelectorKind, TriggerMode};

use crate::fd_limit::has_room_for;
use crate::support::{READ, Subject, WRITE, dup_from, on_every_kind, pair};

/// Calls select once, with the buffer of the subject.
fn select(subject: &mut Subject) -> Vec<u32> {
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
fn w10_three_share_room_for_one() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(1);
        let _open = watch_many(subject, 3);
        for round in 0..5 {
            let mut seen: Vec<_> = (0..3).flat_map(|_| select(subject)).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2], "{}, round {round}", subject.name);
        }
    });
}

/// P19
#[test]
fn w10_each_of_many_is_served_before_any_is_served_twice() {
    if !has_room_for(3_100) {
        return;
    }
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
                let (seen, left) = (select(subject), count as usize - served.len());
                let new = seen.iter().filter(|slot| served.insert(**slot)).count();
                assert_eq!(seen.len(), room, "{}: the buffer must be full", subject.name);
                assert_eq!(new, left.min(room), "{}: round {round}, call {calls}", subject.name);
                calls += 1;
            }
        }
    });
}

/// Removing an entry moves others in our tables, which must not change the order of service.
#[test]
fn w10_removals_do_not_change_the_order() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(3);
        let open = watch_many(subject, 30);
        let mut served = HashSet::new();
        let mut removed = 0;
        while served.len() < 30 - removed {
            for slot in select(subject) {
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

/// New registrations are served after those that are waiting, so a stream of them starves none.
#[test]
fn w10_newcomers_do_not_overtake() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(1);
        let waiting = watch_many(subject, 4);
        let first: HashSet<_> = (0..4).flat_map(|_| select(subject)).collect();
        let mut newcomers = Vec::new();
        let mut second = HashSet::new();
        for slot in 100..104 {
            newcomers.push(dup_from(&waiting[0], 0));
            subject.watch(newcomers.last().unwrap(), slot, READ, TriggerMode::Level);
            second.extend(select(subject));
        }
        assert_eq!((first.len(), second), (4, first), "{}", subject.name);
    });
}

/// W6: files that are always ready neither starve the others nor are starved, even with room for
/// one event.
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
                let now = select(subject);
                assert_eq!(now.len(), room, "{}: the buffer must be full", subject.name);
                seen.extend(now);
            }
            assert_eq!(seen.len(), 6, "{}: room {room}, seen {seen:?}", subject.name);
        }
    });
}

/// With room for one event, which is left to the sockets although none is ready.
#[test]
fn w6_room_that_no_socket_uses_goes_to_files() {
    on_every_kind(|subject| {
        subject.events = Events::with_capacity(1);
        let file = File::open("/dev/null").unwrap();
        let (ours, _theirs) = pair();
        subject.watch(&file, 1, WRITE, TriggerMode::Level);
        subject.watch(&ours, 2, READ, TriggerMode::Level);
        for _ in 0..4 {
            assert_eq!(select(subject), [1], "{}", subject.name);
        }
    });
}
