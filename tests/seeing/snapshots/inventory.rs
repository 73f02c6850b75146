//! Callbacks and their sources in a snapshot (docs/contract.md, O1, O2, O4).

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mainspring::net::Transport;
use mainspring::snapshot::{EntryKind, EntryState, FileType, Snapshot};
use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, Interest, LoopHandle, Signal};

use super::only;
use crate::support::blocking_jobs::{held, with_threads};
use crate::support::descriptors::{pair, readable};
use crate::support::network::{client, echo, listener};
use crate::support::registrations::one_of_each;
use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn o1_each_kind_of_callback_has_an_entry() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let alive = Rc::new(());
        let all = one_of_each(&el, &alive);
        let snapshot = el.snapshot();
        assert_eq!(snapshot.entries().len(), all.len(), "{snapshot}");
        for (name, handle, _peer) in &all {
            let entry = snapshot.get(*handle).unwrap_or_else(|| panic!("{name} in {snapshot}"));
            assert!(entry.location().is_some() && entry.is_foreground(), "{name}");
            assert_eq!(entry.keeps_alive(), el.keeps_running(*handle), "{name}");
            assert!(el.cancel(*handle));
        }
        el.run().unwrap();
        assert!(el.snapshot().entries().is_empty(), "{}", el.snapshot());
    });
}

#[test]
fn o1_an_entry_has_name_place_and_handle() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let here = line!() + 1;
        let timer = el.call_later(HOUR, |_, ()| {});
        el.set_name(timer, "session");
        el.set_background(timer);
        let snapshot = el.snapshot();
        let entry = only(&snapshot, EntryKind::Timer);
        let place = entry.location().unwrap();
        assert_eq!((place.file(), place.line()), (file!(), here));
        assert_eq!((entry.name(), entry.handle()), (Some("session"), Some(timer.into())));
        assert!(!entry.is_foreground() && !entry.keeps_alive());
    });
}

/// A clock that adds a timer to the loop with each reading of the time of day, if it has one.
#[derive(Debug, Default)]
struct Meddling(SimClock, Rc<RefCell<Option<LoopHandle>>>);

impl Clock for Meddling {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall_time(&self) -> SystemTime {
        if let Some(el) = &*self.1.borrow() {
            el.call_later(HOUR, |_, ()| {});
        }
        self.0.wall_time()
    }
}

#[test]
fn o1_a_clock_that_uses_the_loop_is_read_before_the_copies_are_made() {
    on_every_selector(|kind| {
        let handle = Rc::default();
        let clock = Meddling(SimClock::new(), Rc::clone(&handle));
        let el = EventLoop::builder().selector(kind).clock(clock).build().unwrap();
        let midnight = el.call_at_wall_time(el.wall_time() + HOUR, |_, ()| {}).unwrap();
        *handle.borrow_mut() = Some(el.handle().clone());
        let snapshot = el.snapshot();
        *handle.borrow_mut() = None;
        assert_eq!(snapshot.get(midnight).unwrap().due_in(), Some(HOUR));
        assert!(snapshot.entries().len() > 1, "{snapshot}");
    });
}

#[test]
fn o1_a_watcher_has_its_file_and_its_interest() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        let fd = ours.as_raw_fd();
        let both = Interest::READABLE | Interest::WRITABLE;
        let watcher = el.watch(ours, both, |_, (), _| Ok(())).unwrap();
        let snapshot = el.snapshot();
        let entry = only(&snapshot, EntryKind::Watcher);
        assert_eq!((entry.fd(), entry.file()), (Some(fd), Some(FileType::Socket)));
        assert_eq!((entry.interest(), entry.state()), (Some(both), EntryState::Waiting));
        assert_eq!((entry.address(), entry.peer()), (None, None));
        el.set_interest(watcher, Interest::empty()).unwrap();
        let snapshot = el.snapshot();
        let entry = only(&snapshot, EntryKind::Watcher);
        assert_eq!(entry.interest(), Some(Interest::empty()));
        assert_eq!((entry.state(), entry.keeps_alive()), (EntryState::Paused, false));
    });
}

#[test]
fn o1_a_timer_has_its_deadline_and_its_period() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let times = |el: &EventLoop| {
            let snapshot = el.snapshot();
            let entry = only(&snapshot, EntryKind::Timer);
            (entry.due_in(), entry.period(), entry.state())
        };
        let timer = el.add_timer(|_, ()| {}).unwrap();
        assert_eq!(times(&el), (None, None, EntryState::Paused));
        el.reset_after(timer, HOUR);
        clock.advance(HOUR / 4);
        assert_eq!(times(&el), (Some(HOUR / 4 * 3), None, EntryState::Waiting));
        el.reset_after(timer, Duration::MAX);
        assert_eq!(times(&el), (None, None, EntryState::Waiting)); // never due
        el.cancel(timer);
        el.call_every(HOUR, |_, ()| {}).unwrap();
        assert_eq!(times(&el), (Some(HOUR), Some(HOUR), EntryState::Waiting));
        el.tick(Some(Duration::ZERO)).unwrap();
    });
}

#[test]
fn o1_a_callback_that_takes_a_snapshot_is_running() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let (ours, _theirs) = readable();
        let timer = el.call_every(HOUR, |el, seen: &mut Vec<_>| seen.push(el.snapshot())).unwrap();
        el.add_reader(ours, |el, seen, source| {
            seen.push(el.snapshot());
            Ok(source.cancel())
        })
        .unwrap();
        let state = |snapshot: &Snapshot, kind| only(snapshot, kind).state();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.reset_after(timer, Duration::ZERO);
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(state(&el.state()[0], EntryKind::Watcher), EntryState::Running);
        assert_eq!(state(&el.state()[0], EntryKind::Timer), EntryState::Waiting);
        assert_eq!(state(&el.state()[1], EntryKind::Timer), EntryState::Running);
    });
}

#[test]
fn o1_a_server_and_a_connection_have_their_addresses() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (listener, address) = listener();
        let server = echo(&el, listener);
        let mut client = client(address);
        client.write_all(b"hello").unwrap();
        while server.connections() == 0 {
            el.tick(None).unwrap();
        }
        let snapshot = el.snapshot();
        let entry = only(&snapshot, EntryKind::Server);
        assert_eq!(entry.address().and_then(|it| it.as_inet()), Some(address));
        assert_eq!((entry.connections(), entry.peer()), (Some(1), None));
        let conn = only(&snapshot, EntryKind::Connection);
        assert_eq!(conn.peer().and_then(|it| it.as_inet()), client.local_addr().ok());
        assert_eq!((conn.queued(), conn.file()), (Some(0), Some(FileType::Socket)));
        assert_eq!(conn.location(), entry.location()); // the call of `serve`
    });
}

/// Its last turn is queued, and its registration may already belong to another callback.
#[test]
fn o1_a_closed_endpoint_has_no_descriptor() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let ((server, _), (ours, _theirs)) = (listener(), pair());
        let server = echo(&el, server);
        let conn = el.attach(ours, |_, (), _: &Transport, _| Ok(())).unwrap();
        let udp = el.bind_datagram("127.0.0.1:0", |_, (), _, _| Ok(())).unwrap();
        server.close();
        conn.abort();
        udp.abort();
        let readers = [readable(), readable(), readable()].map(|(reader, _writer)| {
            let fd = reader.as_raw_fd();
            el.add_reader(reader, |_, (), _| Ok(())).unwrap();
            Some(fd)
        });
        let snapshot = el.snapshot();
        let is_watcher = |kind| kind == EntryKind::Watcher;
        let (watchers, closed): (Vec<_>, Vec<_>) =
            snapshot.entries().iter().partition(|entry| is_watcher(entry.kind()));
        assert_eq!(watchers.iter().map(|entry| entry.fd()).collect::<Vec<_>>(), readers);
        assert_eq!(closed.len(), 3);
        for entry in closed {
            let facts = (entry.fd(), entry.file(), entry.peer(), entry.address());
            assert_eq!(facts, (None, None, None, None), "{entry}");
        }
    });
}

#[test]
fn o1_a_connection_has_the_length_of_its_queue() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let conn = el.attach(ours, |_, (), _: &Transport, _| Ok(())).unwrap();
        let bytes = vec![7; 1 << 20];
        conn.write(&bytes);
        let queued = only(&el.snapshot(), EntryKind::Connection).queued();
        assert!(queued.is_some_and(|queued| queued > 0));
        assert_eq!(queued, Some(conn.queued()));
        conn.pause_reading();
        assert_eq!(
            only(&el.snapshot(), EntryKind::Connection).interest(),
            Some(Interest::WRITABLE)
        );
        let reader = thread::spawn(move || theirs.read_exact(&mut vec![0; 1 << 20]));
        while conn.queued() > 0 {
            el.tick(None).unwrap();
        }
        reader.join().unwrap().unwrap();
        assert_eq!(only(&el.snapshot(), EntryKind::Connection).queued(), Some(0));
    });
}

#[test]
fn o1_signal_handlers_and_hooks_have_their_reasons() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        el.add_signal_handler(Signal::USR2, |_, ()| {}).unwrap();
        el.on_prepare(|_, ()| {}).unwrap();
        el.on_check(|_, ()| {}).unwrap();
        el.on_idle(|_, ()| {}).unwrap();
        let snapshot = el.snapshot();
        assert_eq!(only(&snapshot, EntryKind::Signal).signal(), Some(Signal::USR2));
        let hooks = snapshot.entries().iter().filter(|entry| entry.kind() == EntryKind::Hook);
        let hooks: Vec<_> =
            hooks.map(|it| (it.stage().unwrap(), it.state(), it.keeps_alive())).collect();
        let waits = EntryState::Waiting;
        let expected = [("prepare", waits, false), ("check", waits, false), ("idle", waits, true)];
        assert_eq!(hooks, expected);
    });
}

#[test]
fn o1_jobs_that_run_and_wait_have_entries() {
    let pool = with_threads(1);
    let mut el = EventLoop::builder().blocking_pool(pool).build().unwrap();
    let (job, hold) = held(el.blocking_pool().job().name("backup"));
    let waiting = el.blocking_pool().submit(|| ()).unwrap();
    let snapshot = el.snapshot();
    let jobs: Vec<_> =
        snapshot.entries().iter().filter(|entry| entry.kind() == EntryKind::Job).collect();
    assert_eq!(jobs.len(), 2, "{snapshot}");
    assert_eq!((jobs[0].name(), jobs[0].state()), (Some("backup"), EntryState::Running));
    assert!(jobs[0].running_for().is_some() && jobs[1].running_for().is_none());
    assert_eq!((jobs[1].name(), jobs[1].state()), (None, EntryState::Pending));
    assert_eq!(jobs[1].location().unwrap().file(), file!());
    drop(hold);
    job.wait().unwrap();
    waiting.wait().unwrap();
    el.close();
}

#[test]
fn o2_a_snapshot_is_values_and_survives_its_loop() {
    let (text, place) = {
        let el = EventLoop::new().unwrap();
        let handle = el.call_soon(|_, ()| {});
        el.set_name(handle, "short-lived");
        let snapshot = el.snapshot();
        drop(el);
        let kept = snapshot.clone();
        let text = thread::spawn(move || kept.to_string()).join().unwrap();
        assert_eq!(text, snapshot.to_string());
        (text, snapshot.entries()[0].location().unwrap())
    };
    assert!(text.contains("\"short-lived\"") && text.contains(&place.to_string()), "{text}");
}

#[test]
fn o2_a_closed_loop_has_no_entries() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let alive = Rc::new(());
        one_of_each(&el, &alive);
        el.spawn(std::future::pending::<()>()).detach();
        el.close();
        assert!(el.snapshot().entries().is_empty(), "{}", el.snapshot());
    });
}

/// The `Drop` of a value that the loop drops can take a snapshot: nothing is borrowed.
#[test]
fn o2_a_destructor_can_take_a_snapshot() {
    struct Watch(mainspring::LoopHandle<()>, Rc<RefCell<Vec<Snapshot>>>);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0.snapshot());
        }
    }
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let watch = || Watch(el.handle().clone(), seen.clone());
        let (in_timer, in_task, in_soon) = (watch(), watch(), watch());
        let timer = el.call_later(HOUR, move |_, ()| drop(in_timer));
        let task = el.spawn(async move {
            let _in_task = in_task;
            std::future::pending::<()>().await;
        });
        el.call_soon(move |_, ()| drop(in_soon));
        el.tick(Some(Duration::ZERO)).unwrap();
        el.cancel(timer);
        task.cancel("enough");
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(seen.borrow().len(), 3);
        drop(task);
    });
}

#[test]
fn o4_runs_are_counted_and_ages_are_in_ticks() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = readable();
        let watcher = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        let hook = el.on_check(|_, ()| {}).unwrap();
        let of = |el: &EventLoop, handle: mainspring::Handle| {
            let snapshot = el.snapshot();
            let entry = snapshot.get(handle).unwrap();
            (entry.age().unwrap(), entry.runs().unwrap())
        };
        for ticks in 0..5 {
            assert_eq!(of(&el, watcher.into()), (ticks, ticks));
            assert_eq!(of(&el, hook), (ticks, ticks));
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        let late = el.call_later(HOUR, |_, ()| {});
        assert_eq!(of(&el, late.into()), (0, 0));
        el.set_background(late); // the flag is stored next to the age
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(of(&el, late.into()), (1, 0));
        assert!(!el.is_foreground(late));
        el.set_interest(watcher, Interest::empty()).unwrap();
        let before = of(&el, watcher.into());
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(of(&el, watcher.into()), (before.0 + 1, before.1));
    });
}
