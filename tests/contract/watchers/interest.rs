//! Interests of watchers: ends, hang-ups, pauses, oneshot and edge mode (docs/contract.md, W5).

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use mainspring::{EventLoop, Interest, LoopHandle, Readiness, SelectorKind, TriggerMode, Watched};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::support::descriptors::{
    fill, hang_up, pair, readable, reset_connection, tcp_pair, terminal, wait_for,
};
use crate::support::selector::{Call, logged};
use crate::support::ticks::{tick, wait_until};
use crate::support::{has_priority, loopback, on_every_selector, simulated};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

type Names = Vec<&'static str>;

fn records<T>(
    name: &'static str,
) -> impl FnMut(&LoopHandle<Names>, &mut Names, &mut Watched<T>) -> mainspring::Result<()> {
    move |_, names, _| Ok(names.push(name))
}

/// Returns the callbacks that run for `fd` when these interests are watched.
fn woken<T: AsFd + 'static>(kind: SelectorKind, fd: &Rc<T>, interest: Interest) -> Names {
    let mut el =
        EventLoop::builder().selector(loopback::selector(kind)).build_with(Names::new()).unwrap();
    if interest.contains(READ) {
        el.add_reader(fd.clone(), records("reader")).unwrap();
    }
    if interest.contains(WRITE) {
        el.add_writer(fd.clone(), records("writer")).unwrap();
    }
    tick(&mut el);
    el.state_mut().split_off(0)
}

/// An end or hang-up wakes every callback of the fd, whatever its interest is (P9).
#[test]
fn w5_an_end_wakes_all_callbacks_of_the_fd() {
    on_every_selector(|kind| {
        let (reader, writer) = std::io::pipe().unwrap();
        fill(&writer);
        let full = Rc::new(writer);
        assert_eq!(woken(kind, &full, WRITE), [] as [&str; 0]);
        drop(reader);
        wait_for(&full, PollFlags::OUT); // A child of another test may have a copy.
        assert_eq!(woken(kind, &full, WRITE), ["writer"]);
        assert_eq!(woken(kind, &full, READ), ["reader"]);

        let (reader, writer) = std::io::pipe().unwrap();
        let empty = Rc::new(reader);
        // Some systems have bidirectional pipes.
        assert_eq!(woken(kind, &empty, READ), [] as [&str; 0]);
        drop(writer);
        wait_for(&empty, PollFlags::IN);
        assert_eq!(woken(kind, &empty, READ | WRITE), ["reader", "writer"]);

        let (ours, theirs) = pair();
        fill(&ours);
        let full = Rc::new(ours);
        assert_eq!(woken(kind, &full, READ | WRITE), [] as [&str; 0]);
        hang_up(theirs);
        assert_eq!(woken(kind, &full, WRITE), ["writer"]);
        assert_eq!(woken(kind, &full, READ | WRITE), ["reader", "writer"]);
        for interest in [READ, WRITE, READ | WRITE] {
            let reset = Rc::new(reset_connection());
            assert_eq!(woken(kind, &reset, interest).len(), interest.iter().count());
        }
        if kind == SelectorKind::Kqueue {
            return; // A kqueue filter for priority data, where there is one, does not report ends.
        }
        let urgent = |_: &_, names: &mut Names, _: &mut _| Ok(names.push("urgent"));
        let mut el = EventLoop::builder()
            .selector(loopback::selector(kind))
            .build_with(Names::new())
            .unwrap();
        let (ours, theirs) = pair();
        el.watch(ours, Interest::PRIORITY, urgent).unwrap();
        assert_eq!(tick(&mut el), 0);
        crate::support::descriptors::hang_up(theirs);
        assert_eq!(tick(&mut el), 1, "a hang-up also wakes the watcher of priority data");
    });
}

/// An end implies both directions; each callback gets only the direction of its interest.
#[test]
fn w5_an_end_reports_only_the_watched_direction() {
    type Received = Vec<(Interest, Readiness)>;
    fn records_readiness<T>(
        asked: Interest,
    ) -> impl FnMut(&LoopHandle<Received>, &mut Received, &mut Watched<T>) -> mainspring::Result<()>
    {
        move |_, received, me| Ok(received.push((asked, me.readiness())))
    }
    const BOTH: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);
    on_every_selector(|kind| {
        let mut el = EventLoop::builder()
            .selector(loopback::selector(kind))
            .build_with(Received::new())
            .unwrap();
        el.watch(reset_connection(), READ, records_readiness(READ)).unwrap();
        el.watch(reset_connection(), WRITE, records_readiness(WRITE)).unwrap();
        let shared = Rc::new(reset_connection());
        el.add_reader(shared.clone(), records_readiness(READ)).unwrap();
        el.add_writer(shared, records_readiness(WRITE)).unwrap();
        assert_eq!(tick(&mut el), 4);
        for (asked, received) in el.state() {
            assert_eq!(received.intersection(BOTH), Readiness::from(*asked));
        }
    });
}

/// Only the watcher with an interest in priority data gets TCP's urgent byte (P14). The next normal
/// byte wakes the reader.
#[test]
fn w5_priority_data_wakes_only_its_watcher() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        if !has_priority(kind) {
            return;
        }
        let (ours, theirs) = tcp_pair();
        let twin = ours.try_clone().unwrap();
        el.add_reader(ours, records("reader")).unwrap();
        let urgent = el.watch(twin, Interest::PRIORITY, |_, names: &mut Names, socket| {
            assert!(socket.readiness().contains(Readiness::PRIORITY));
            Ok(names.push("urgent"))
        });
        rustix::net::send(&theirs, b"!", SendFlags::OOB).unwrap();
        wait_until(&mut el, |el| !el.state().is_empty()); // The byte has arrived.
        assert_eq!(el.state_mut().split_off(0), ["urgent"]);
        assert!(el.cancel(urgent.unwrap()));
        assert_eq!(tick(&mut el), 0);
        (&theirs).write_all(b"x").unwrap();
        wait_until(&mut el, |el| !el.state().is_empty());
        assert_eq!(el.state()[..], ["reader"]);
    });
}

/// A paused watcher is not registered, so not even a hang-up wakes the loop.
#[test]
fn w5_a_paused_watcher_is_not_registered() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, Names::new());
        let (ours, theirs) = readable();
        let fd = ours.as_raw_fd();
        let watcher = el.watch(ours, Interest::empty(), records("paused")).unwrap();
        assert_eq!(log.take(), []);
        el.run().unwrap(); // It can never be called, so nothing keeps the loop alive.
        el.set_interest(watcher, READ).unwrap();
        assert_eq!(log.take(), [Call::Register(fd, READ)]);
        assert_eq!(tick(&mut el), 1);
        el.set_interest(watcher, Interest::empty()).unwrap();
        assert_eq!(log.take(), [Call::Deregister(fd)]);
        crate::support::descriptors::hang_up(theirs);
        (0..3).for_each(|_| assert_eq!(tick(&mut el), 0));
        assert!(el.cancel(watcher));
        assert_eq!(log.take(), []);
        assert_eq!(el.state().len(), 1);
    });
}

/// A change of interest costs one control call, and no call if nothing changes.
#[test]
fn w5_a_change_of_interest_costs_at_most_one_call() {
    on_every_selector(|kind| {
        let (el, log) = logged(kind, Names::new());
        let (ours, _theirs) = pair();
        let (fd, source) = (ours.as_raw_fd(), Rc::new(ours));
        let reader = el.add_reader(source.clone(), records("reader")).unwrap();
        let writer = el.add_writer(source, records("writer")).unwrap();
        assert_eq!(log.take(), [Call::Register(fd, READ), Call::Reregister(fd, READ | WRITE)]);
        let steps = [
            (reader, READ, None),
            (writer, READ, Some(Call::Reregister(fd, READ))),
            (reader, Interest::empty(), None),
            (writer, Interest::empty(), Some(Call::Deregister(fd))),
            (writer, Interest::empty(), None),
            (reader, READ | WRITE, Some(Call::Register(fd, READ | WRITE))),
            (writer, WRITE, None),
            (reader, Interest::empty(), Some(Call::Reregister(fd, WRITE))),
        ];
        for (watcher, interest, expected) in steps {
            el.set_interest(watcher, interest).unwrap();
            assert_eq!(log.take(), Vec::from_iter(expected), "after {interest:?}");
        }
        assert!(el.cancel(reader));
        assert_eq!(log.take(), []);
        drop(el);
        assert_eq!(log.take()[0], Call::Deregister(fd));
    });
}

/// A steady connection costs no control call, whatever its callbacks return.
#[test]
fn w5_a_steady_connection_costs_no_control_call() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, 0);
        let (ours, _theirs) = readable();
        el.add_reader(ours, |_, calls: &mut usize, socket| {
            *calls += 1;
            socket.set_interest(READ)?;
            if *calls == 3 { socket.read_exact(&mut [0; 2]).map_err(Into::into) } else { Ok(()) }
        })
        .unwrap();
        log.take();
        while tick(&mut el) > 0 {}
        assert_eq!((*el.state(), log.take()), (3, Vec::new()));
    });
}

/// A watcher paused within its batch is not called, even if it was queued. If it is resumed, it is
/// called.
#[test]
fn w5_a_watcher_paused_within_its_batch_is_not_called() {
    on_every_selector(|kind| {
        for resumes in [false, true] {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let watcher = el.add_reader(ours, records("reader")).unwrap();
            el.call_soon(move |el, _| {
                el.set_interest(watcher, Interest::empty())?;
                if resumes { el.set_interest(watcher, READ) } else { Ok(()) }
            });
            tick(&mut el);
            assert_eq!(el.state().len(), usize::from(resumes));
        }
    });
}

/// A oneshot watcher is called once after each change of its interest. A refused second watcher is
/// no change.
#[test]
fn w5_oneshot_is_called_once_for_each_change() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let (ours, _theirs) = readable();
        let source = Rc::new(ours);
        let once = el
            .watch_with_mode(source.clone(), READ, TriggerMode::Oneshot, records("once"))
            .unwrap();
        let calls = |el: &mut EventLoop<Names>| {
            (0..3).for_each(|_| _ = tick(el));
            el.state_mut().split_off(0).len()
        };
        assert_eq!(calls(&mut el), 1);
        el.add_reader(source.clone(), records("wrong")).unwrap_err();
        assert_eq!(calls(&mut el), 0, "a refused watcher re-armed it");
        el.set_interest(once, READ).unwrap();
        assert_eq!(calls(&mut el), 1);
        el.set_interest(once, WRITE).unwrap();
        assert_eq!(calls(&mut el), 1);
        el.set_interest(once, Interest::empty()).unwrap();
        el.set_interest(once, READ | WRITE).unwrap();
        assert_eq!(calls(&mut el), 1);
    });
}

/// An edge-triggered watcher is called when readiness begins. `WouldBlock` from the callback means
/// that it is over.
#[test]
fn w5_an_edge_watcher_is_called_when_readiness_begins() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, (0, 0));
        let (ours, theirs) = readable();
        el.watch_with_mode(
            ours,
            READ,
            TriggerMode::Edge,
            |_, (calls, bytes): &mut (u32, u32), socket| {
                *calls += 1;
                loop {
                    socket.read_exact(&mut [0])?; // Returns `WouldBlock` in the end.
                    *bytes += 1;
                }
            },
        )
        .unwrap();
        for rounds in 1..=5 {
            (0..3).for_each(|_| _ = tick(&mut el));
            assert_eq!(*el.state(), (rounds, 2 * rounds - 1));
            (&theirs).write_all(b"xy").unwrap();
        }
    });
}

/// All bytes written to a pseudo terminal before its end was closed are read before the end (P11).
#[test]
fn w5_a_hang_up_of_a_terminal_hides_no_byte() {
    on_every_selector(|kind| {
        const BYTES: usize = 64 * 1024;
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, theirs) = terminal();
        let writer = std::thread::spawn(move || {
            (&theirs).write_all(&[b'x'; BYTES]).unwrap();
        });
        el.add_reader(ours, |_, sum: &mut usize, terminal| {
            let mut buffer = [0; 700];
            match terminal.read(&mut buffer) {
                Ok(0) => Ok(terminal.cancel()),
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    Ok(terminal.cancel())
                }
                result => Ok(*sum += result?),
            }
        })
        .unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), BYTES);
        writer.join().unwrap();
    });
}
