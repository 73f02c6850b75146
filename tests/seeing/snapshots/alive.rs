//! Entries that keep a loop running (docs/contract.md, O3).

use std::net::UdpSocket;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use mainspring::snapshot::{EntryKind, EntryState, Snapshot};
use mainspring::{EventLoop, Interest, LoopHandle, sleep};

use super::only;
use crate::support::descriptors::{pair, readable};
use crate::support::process::alone_with_fault;
use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

/// Checks that the entries that keep the loop alive are exactly these, and that `run` agrees.
#[track_caller]
fn assert_alive<S>(el: &EventLoop<S>, kinds: &[EntryKind]) {
    let snapshot = el.snapshot();
    let alive: Vec<EntryKind> = snapshot.keeps_alive().map(|entry| entry.kind()).collect();
    assert_eq!(alive, kinds, "{snapshot}");
    assert_eq!(el.is_alive(), !kinds.is_empty(), "{snapshot}");
}

#[test]
fn o3_run_waits_for_the_entries_that_keep_the_loop_alive() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        assert_alive(&el, &[]);
        let idle = el.add_timer(|_, ()| {}).unwrap();
        assert_alive(&el, &[]);
        el.reset_after(idle, HOUR);
        assert_alive(&el, &[EntryKind::Timer]);
        el.set_background(idle);
        assert_alive(&el, &[]);
        let (ours, _theirs) = pair();
        let watcher = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        assert_alive(&el, &[EntryKind::Watcher]);
        el.set_interest(watcher, Interest::empty()).unwrap();
        assert_alive(&el, &[]);
        let soon = el.call_soon(|_, ()| {});
        assert_alive(&el, &[EntryKind::Closure]);
        el.cancel(soon);
        el.tick(Some(Duration::ZERO)).unwrap(); // its key was still queued
        assert_alive(&el, &[]);
        let task = el.spawn(sleep(HOUR));
        assert_alive(&el, &[EntryKind::Task]);
        el.set_background(task.handle());
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_alive(&el, &[]);
        let before = el.metrics().ticks();
        el.run().unwrap();
        assert!(el.metrics().ticks() <= before + 1);
    });
}

#[test]
fn o3_remotes_and_messages_keep_the_loop_alive() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let remote = el.remote();
        let more = remote.clone();
        assert_alive(&el, &[EntryKind::Remotes]);
        assert_eq!(only(&el.snapshot(), EntryKind::Remotes).count(), Some(2));
        let here = line!() + 2;
        let sender = thread::spawn(move || {
            remote.call_soon(|_, sum| *sum += 1).unwrap();
            remote.call_soon(|_, sum| *sum += 1).unwrap();
        });
        sender.join().unwrap();
        drop(more);
        let snapshot = el.snapshot();
        let messages = snapshot.entries().iter().filter(|it| it.kind() == EntryKind::Message);
        let lines: Vec<u32> = messages.map(|it| it.location().unwrap().line()).collect();
        assert_eq!(lines, [here, here + 1]);
        assert_alive(&el, &[EntryKind::Message, EntryKind::Message]);
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
        assert_alive(&el, &[]);
    });
}

/// Messages that were taken from the inbox are still listed, also while an earlier one runs.
#[test]
fn o3_messages_that_wait_in_a_batch_are_listed() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let remote = el.remote();
        for _ in 0..3 {
            remote
                .call_soon(|el, seen: &mut Vec<usize>| {
                    let snapshot = el.snapshot();
                    let is_message =
                        |it: &&mainspring::snapshot::Entry| it.kind() == EntryKind::Message;
                    seen.push(snapshot.entries().iter().filter(is_message).count());
                })
                .unwrap();
        }
        drop(remote);
        el.run().unwrap();
        assert_eq!(*el.state(), [2, 1, 0]);
    });
}

#[test]
fn o3_a_timer_that_is_due_is_pending() {
    type Seen = Option<Snapshot>;
    type Add = fn(&LoopHandle<Seen>, fn(&LoopHandle<Seen>, &mut Seen));
    let adds: [Add; 3] = [
        |el, call| _ = el.call_later(Duration::ZERO, call),
        |el, call| _ = el.call_later_in_boot_time(Duration::ZERO, call).unwrap(),
        |el, call| _ = el.call_at_wall_time(el.wall_time(), call).unwrap(),
    ];
    on_every_selector(|kind| {
        for add in adds {
            let (mut el, _clock) = simulated(kind, None);
            add(&el, |el, seen| *seen = Some(el.snapshot()));
            add(&el, |_, _| {});
            el.run().unwrap();
            let snapshot = el.state().as_ref().unwrap();
            // The first one has left its slot, because it runs only once.
            assert_eq!(only(snapshot, EntryKind::Timer).state(), EntryState::Pending);
        }
    });
}

/// A callback in the background keeps the loop running from its event to its call.
#[test]
fn o3_a_background_callback_that_is_queued_keeps_the_loop_alive() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let (ours, _theirs) = readable();
        let watcher = el.add_reader(ours, |_, _, _| Ok(())).unwrap();
        el.set_background(watcher);
        el.on_check(move |el, seen| {
            let snapshot = el.snapshot();
            let entry = snapshot.get(watcher).unwrap();
            seen.push((entry.state(), entry.keeps_alive()));
        })
        .unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(*el.state(), [(EntryState::Pending, true)]);
        assert!(!el.is_alive() && el.snapshot().keeps_alive().next().is_none());
    });
}

/// An interval is armed again when it runs, a schedule too: until then `run` waits for them.
#[test]
fn o3_an_interval_and_a_schedule_that_are_due_keep_the_loop_alive() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let first = el.call_later(HOUR, |el, seen: &mut Vec<_>| {
            seen.extend(el.snapshot().keeps_alive().map(|entry| (entry.kind(), entry.state())));
            el.stop();
        });
        let interval = el.call_every(HOUR, |_, _| {}).unwrap();
        let hourly = |now: SystemTime| Some(now + HOUR);
        let schedule = el.call_on_wall_schedule(hourly, |_, _| {}).unwrap();
        el.run_until_stalled().unwrap();
        clock.advance(HOUR);
        el.call_soon(move |el, _| {
            assert!(el.keeps_running(interval) && el.keeps_running(schedule));
            assert!(!el.set_name(first, "") || el.keeps_running(first));
        });
        el.run().unwrap();
        let due = (EntryKind::Timer, EntryState::Pending);
        assert_eq!(*el.state(), [due, due]);
    });
}

#[test]
fn o3_a_thread_that_uses_a_snapshot_needs_no_loop() {
    let el = EventLoop::new().unwrap();
    el.call_later(HOUR, |_, ()| {});
    let (send, receive) = mpsc::channel();
    send.send(el.snapshot()).unwrap();
    let alive = thread::spawn(move || receive.recv().unwrap().keeps_alive().count());
    assert_eq!(alive.join().unwrap(), 1);
}

const BACKS_OFF: &str = "snapshots::alive::o3_an_endpoint_that_backs_off_keeps_the_loop_alive";

/// An endpoint in the background that cannot receive continues when its timer is due.
#[test]
fn o3_an_endpoint_that_backs_off_keeps_the_loop_alive() {
    alone_with_fault(BACKS_OFF, "recvmmsg:error=ENOMEM", || {
        on_every_selector(|kind| {
            let (mut el, _clock) = simulated(kind, ());
            el.set_exception_handler(|_, (), _| {});
            let endpoint = el.bind_datagram("127.0.0.1:0", |_, (), _, _| Ok(())).unwrap();
            let address = endpoint.local_addr().unwrap().as_inet().unwrap();
            el.set_background(endpoint.handle());
            assert!(!el.is_alive());
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
            (0..3).for_each(|_| _ = el.tick(Some(Duration::ZERO)).unwrap());
            let snapshot = el.snapshot();
            let entry = only(&snapshot, EntryKind::Datagrams);
            assert!(entry.keeps_alive() && el.is_alive(), "{snapshot}");
        });
    });
}
