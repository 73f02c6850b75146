//! Events of a closed file lead to a new kernel object, which cannot be created, or has no room
//! for all registrations (docs/contract.md, W8).

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::selector::{Event, Events, Selector, Token};
use mainspring::{EventLoop, Io, Readiness, SelectorKind};
use rustix::io::Errno;

use crate::support::loopback;
use crate::support::on_every_selector;
use crate::support::selector::{Call, Wrapped, Wrapper};
use crate::support::ticks::tick;

/// A token that no callback has.
const UNKNOWN: Token = Token::new(12_345, 7);

#[derive(Debug, Default)]
struct Faults {
    /// True while the kernel reports events of a closed file.
    is_stale: Cell<bool>,
    /// Number of kernel objects that cannot be created.
    refused_resets: Cell<usize>,
    /// Number of registrations that succeed in a new kernel object before one is refused.
    room: Cell<Option<usize>>,
    is_new: Cell<bool>,
    resets: Cell<usize>,
}

/// Selector that keeps reporting events of a closed file until it is reset.
#[derive(Debug)]
struct Stale {
    real: Box<dyn Selector>,
    faults: Rc<Faults>,
}

impl Wrapper for Stale {
    fn real(&self) -> &dyn Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.real
    }

    fn on_change(&mut self, change: Call, _: Option<Token>) -> io::Result<()> {
        if !matches!(change, Call::Register(..)) || !self.faults.is_new.get() {
            return Ok(());
        }
        match self.faults.room.get() {
            Some(0) => {
                self.faults.room.set(None);
                Err(Errno::NOMEM.into())
            }
            room => {
                self.faults.room.set(room.map(|room| room - 1));
                Ok(())
            }
        }
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let is_stale = self.faults.is_stale.get();
        self.real.select(events, if is_stale { Some(Duration::ZERO) } else { timeout })?;
        if is_stale {
            events.push(Event { token: UNKNOWN, readiness: Readiness::READABLE });
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        let Faults { is_stale, refused_resets, is_new, resets, .. } = &*self.faults;
        if let Some(left) = refused_resets.get().checked_sub(1) {
            refused_resets.set(left);
            return Err(Errno::MFILE.into());
        }
        self.real.reset()?;
        resets.set(resets.get() + 1);
        is_stale.set(false);
        is_new.set(true);
        Ok(())
    }
}

/// Returns a loop with a selector that reports events of a closed file.
fn stale_loop(kind: SelectorKind) -> (EventLoop<usize>, Rc<Faults>) {
    let faults = Rc::<Faults>::default();
    let selector = Stale { real: loopback::open(kind), faults: faults.clone() };
    let selector: Box<dyn Selector> = Box::new(Wrapped(selector));
    let mut el = EventLoop::builder().selector(selector).build_with(0).unwrap();
    el.set_exception_handler(|_, _, report| panic!("reported: {report}"));
    tick(&mut el);
    faults.is_stale.set(true);
    (el, faults)
}

/// Adds a reader with input, which it leaves in its buffer.
fn add_reader(el: &EventLoop<usize>) -> UnixStream {
    let (ours, peer) = UnixStream::pair().unwrap();
    io::Write::write_all(&mut &peer, b"input").unwrap();
    let count = |_: &_, calls: &mut usize, _: &mut _| {
        *calls += 1;
        Ok(())
    };
    el.add_reader(ours, count).unwrap();
    peer
}

#[test]
fn w8_without_a_free_descriptor_a_closed_file_disturbs_no_other_watcher() {
    on_every_selector(|kind| {
        let (mut el, faults) = stale_loop(kind);
        let _peer = add_reader(&el);
        faults.refused_resets.set(3);
        for served in 1..10 {
            tick(&mut el);
            assert_eq!(*el.state(), served, "once in each tick");
        }
        assert_eq!((faults.refused_resets.get(), faults.resets.get()), (0, 1));
        assert!(!faults.is_stale.get(), "a free descriptor ends the events");
    });
}

/// The kernel has no room for one of the registrations: of a wakeup, a watcher, or a task.
#[test]
fn w8_a_rebuild_that_fails_halfway_loses_no_registration() {
    on_every_selector(|kind| {
        for room in 0.. {
            let (mut el, faults) = stale_loop(kind);
            let _peer = add_reader(&el);
            let (ours, peer) = UnixStream::pair().unwrap();
            let ours = Io::new(ours).unwrap();
            let reader = el.spawn(async move { ours.read(&mut [0; 9]).await });
            faults.room.set(Some(room));
            let failures = RefCell::new(Vec::new());
            let attempt = |el: &mut EventLoop<usize>| {
                let failed = el.tick(Some(Duration::ZERO)).err();
                failures.borrow_mut().extend(failed.map(|error| error.kind()));
            };
            (0..2).for_each(|_| attempt(&mut el));
            if faults.room.get().is_some() {
                assert!(room > 1, "no registration was refused");
                return;
            }
            assert_eq!(*failures.borrow(), [io::ErrorKind::OutOfMemory]);
            let is_due = el.next_deadline().is_some_and(|deadline| deadline <= el.now());
            assert!(is_due, "the next tick must not sleep");
            // Meanwhile a registration changes the table only.
            let _late = add_reader(&el);
            io::Write::write_all(&mut &peer, b"answer").unwrap();
            el.remote().call_soon(|_, calls| *calls += 100).unwrap();
            (0..3).for_each(|_| attempt(&mut el));
            assert_eq!((failures.borrow().len(), faults.resets.get()), (1, 2));
            assert!(reader.is_finished(), "the event of the task was lost, room {room}");
            assert!(*el.state() > 100, "the message was lost, room {room}");
            let before = *el.state();
            attempt(&mut el);
            assert_eq!(*el.state(), before + 2, "both readers are called, room {room}");
        }
    });
}
