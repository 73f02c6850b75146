//! Second watchers, replacing, and removing (docs/contract.md, W2 and W3).

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::{Error, Interest, LoopHandle, TriggerMode, Watched, Watcher};

use crate::support::descriptors::{pair, readable};
use crate::support::selector::{Call, Log, logged};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

type Names = Vec<&'static str>;
type Shared = Rc<UnixStream>;

/// Returns a callback that records its name.
fn records<T>(
    name: &'static str,
) -> impl FnMut(&LoopHandle<Names>, &mut Names, &mut Watched<T>) -> mainspring::Result<()> {
    move |_, names, _| {
        names.push(name);
        Ok(())
    }
}

#[test]
fn w2_a_second_callback_for_a_direction_is_refused() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let (ours, _theirs) = readable();
        let ours = Rc::new(ours);
        let taken = |result: mainspring::Result<Watcher<Shared>>, role: &str| {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::AlreadyWatched { .. }), "{error}");
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            let expected = format!("fd {} already has a {role} in this loop", ours.as_raw_fd());
            assert_eq!(error.to_string(), expected);
        };
        let reader = el.add_reader(ours.clone(), records("reader")).unwrap();
        taken(el.add_reader(ours.clone(), records("wrong")), "reader");
        taken(el.watch(ours.clone(), WRITE, records("wrong")), "reader");
        let writer = el.add_writer(ours.clone(), records("writer")).unwrap();
        taken(el.add_writer(ours.clone(), records("wrong")), "writer");
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["reader", "writer"]);
        assert!(el.cancel(reader) && el.cancel(writer));
        let both = el.watch(ours.clone(), READ, records("both")).unwrap();
        taken(el.add_reader(ours.clone(), records("wrong")), "watcher");
        taken(el.add_writer(ours.clone(), records("wrong")), "watcher");
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["both"]);
        assert!(el.cancel(both));
        assert_eq!(Rc::strong_count(&ours), 1, "a refused source was not dropped");
    });
}

/// A duplicated descriptor counts as another fd (P5).
#[test]
fn w2_a_duplicated_descriptor_has_its_own_reader() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let (ours, _theirs) = readable();
        let twin = ours.try_clone().unwrap();
        let first = el.add_reader(ours, records("first")).unwrap();
        el.add_reader(twin, records("second")).unwrap();
        tick(&mut el);
        el.state_mut().sort_unstable();
        assert_eq!(el.state_mut().split_off(0), ["first", "second"]);
        assert!(el.cancel(first));
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["second"]);
    });
}

/// The old callback and its captures are dropped at once. The new one has the source, the interest
/// and the name.
#[test]
fn w2_replace_works_for_a_queued_callback() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let (ours, _theirs) = pair();
        let capture = Rc::new(());
        let held = capture.clone();
        let old = el.add_writer(ours, move |_, names: &mut Names, _| {
            let _ = &held;
            names.push("old");
            Ok(())
        });
        let old = old.unwrap();
        // This handle was queued earlier, so it runs before the old callback of the same batch.
        el.call_soon(move |el, _| {
            el.replace(old, records("new")).unwrap();
            assert_eq!(Rc::strong_count(&capture), 1, "the old callback was not dropped");
            assert!(!el.cancel(old));
            assert!(matches!(el.replace(old, records("wrong")), Err(Error::Gone { .. })));
        });
        tick(&mut el);
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["new"]);
    });
}

/// A callback replaces itself several times while it runs. The last replacement gets the source
/// when it returns.
#[test]
fn w2_a_callback_may_replace_itself_several_times() {
    on_every_selector(|kind| {
        for times in 1..4 {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let me = Rc::new(Cell::new(None));
            let known = me.clone();
            let watcher = el.add_reader(ours, move |el, names: &mut Names, _| {
                names.push("old");
                let mut watcher: Watcher<UnixStream> = known.get().unwrap();
                for name in &["a", "b", "c"][..times] {
                    watcher = el.replace(watcher, records(name)).unwrap();
                }
                known.set(Some(watcher));
                Ok(())
            });
            me.set(Some(watcher.unwrap()));
            (0..3).for_each(|_| _ = tick(&mut el));
            let last = ["a", "b", "c"][times - 1];
            assert_eq!(el.state()[..], ["old", last, last]);
            assert!(el.cancel(me.get().unwrap()));
            el.run().unwrap(); // Nothing keeps the loop alive.
        }
    });
}

/// A callback replaces itself and then removes the replacement, or the watcher. Either ends the
/// registration.
#[test]
fn w2_a_replacement_may_be_removed_before_it_gets_the_source() {
    on_every_selector(|kind| {
        for whole in [false, true] {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let ours = Rc::new(ours);
            let me = Rc::new(Cell::new(None));
            let known = me.clone();
            let watcher = el.add_reader(ours.clone(), move |el, _, socket| {
                let new = el.replace(known.get().unwrap(), records("wrong")).unwrap();
                if whole {
                    socket.cancel();
                } else {
                    assert!(el.cancel(new));
                }
                Ok(())
            });
            me.set(Some(watcher.unwrap()));
            el.run().unwrap();
            assert_eq!(el.state()[..], [] as [&str; 0]);
            assert_eq!(Rc::strong_count(&ours), 1, "the source was not dropped");
        }
    });
}

/// In the modes that report once, a report that the old callback did not get goes to the new one.
#[test]
fn w2_replace_loses_no_event_in_any_mode() {
    on_every_selector(|kind| {
        for mode in [TriggerMode::Level, TriggerMode::Oneshot, TriggerMode::Edge] {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let old = el.watch_with_mode(ours, READ, mode, records("old")).unwrap();
            el.call_soon(move |el, _| el.replace(old, records("new")).map(drop));
            tick(&mut el);
            tick(&mut el);
            assert_eq!(el.state()[..], ["new"], "{mode:?}");
        }
    });
}

/// A hook runs between select and the batch. If it removes the callback of an event, the loop must
/// not rebuild its selector.
#[test]
fn w3_a_watcher_removed_by_a_hook_does_not_run() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, Names::new());
        let (ours, _theirs) = readable();
        let watcher = el.add_reader(ours, records("wrong")).unwrap();
        let (silent, _peer) = pair();
        let mut silent = Some(silent);
        el.on_check(move |el, _| match silent.take() {
            Some(silent) => {
                assert!(el.cancel(watcher));
                el.add_reader(silent, records("wrong")).map(drop)
            }
            None => Ok(()),
        })
        .unwrap();
        (0..3).for_each(|_| _ = tick(&mut el));
        assert_eq!(el.state()[..], [] as [&str; 0]);
        assert!(!log.take().contains(&Call::Reset), "the selector was rebuilt");
    });
}

/// Two callbacks are ready in one tick, and the first one removes the other.
#[test]
fn w3_a_callback_removed_within_its_batch_does_not_run() {
    on_every_selector(|kind| {
        type State = (Vec<Watcher<UnixStream>>, usize);
        let (mut el, _clock) = simulated(kind, State::default());
        let mut peers = Vec::new();
        for index in 0..2 {
            let (ours, theirs) = readable();
            peers.push(theirs);
            let watcher = el.add_reader(ours, move |el, (watchers, calls): &mut State, _| {
                *calls += 1;
                if *calls > 2 {
                    assert!(el.cancel(watchers[1 - index]));
                }
                Ok(())
            });
            el.state_mut().0.push(watcher.unwrap());
        }
        assert_eq!(tick(&mut el), 2, "both are ready");
        assert_eq!(tick(&mut el), 1);
        assert_eq!(el.state().1, 3);
    });
}

/// The reader, which runs first, removes the writer of the same event.
#[test]
fn w3_the_reader_removes_the_writer_of_the_same_event() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, Names::new());
        let (ours, _theirs) = readable();
        let ours = Rc::new(ours);
        let writer = el.add_writer(ours.clone(), records("writer")).unwrap();
        el.add_reader(ours.clone(), move |el, names: &mut Names, socket| {
            names.push("reader");
            if names.len() == 1 {
                return Ok(());
            }
            assert!(el.cancel(writer));
            assert_eq!(Rc::strong_count(socket), 2, "the writer's source was not dropped");
            socket.cancel();
            Ok(())
        })
        .unwrap();
        log.take();
        assert_eq!(tick(&mut el), 2, "both are ready");
        assert_eq!(tick(&mut el), 1);
        assert_eq!(el.state()[..], ["reader", "writer", "reader"]);
        let fd = ours.as_raw_fd();
        assert_eq!(log.take(), [Call::Reregister(fd, READ), Call::Deregister(fd)]);
        assert_eq!(Rc::strong_count(&ours), 1);
        el.run().unwrap();
    });
}

/// A callback removes itself and watches the same fd again (P48). The new watcher is complete.
#[test]
fn w3_a_callback_removes_itself_and_adds_another() {
    on_every_selector(|kind| {
        for by_handle in [false, true] {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let (ours, me) = (Rc::new(ours), Rc::new(Cell::new(None)));
            let (again, known) = (ours.clone(), me.clone());
            let watcher = el.add_reader(ours, move |el, names: &mut Names, socket| {
                names.push("old");
                if by_handle {
                    assert!(el.cancel(known.get().unwrap()));
                } else {
                    socket.cancel();
                }
                assert_eq!(socket.interest(), Interest::empty());
                assert!(matches!(socket.set_interest(READ), Err(Error::Gone { .. })));
                known.set(Some(el.add_reader(again.clone(), records("new"))?));
                Ok(())
            });
            me.set(Some(watcher.unwrap()));
            (0..3).for_each(|_| _ = tick(&mut el));
            assert_eq!(el.state()[..], ["old", "new", "new"]);
            assert!(el.cancel(me.get().unwrap()));
            el.run().unwrap();
        }
    });
}

/// Source that checks, when it is dropped, that its fd was deregistered.
struct Forgotten {
    stream: UnixStream,
    log: Log,
    drops: Rc<Cell<usize>>,
}

impl AsFd for Forgotten {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        let calls = self.log.calls();
        assert_eq!(calls.last(), Some(&Call::Deregister(self.stream.as_raw_fd())), "{calls:?}");
    }
}

/// The fd is deregistered before the source is closed, in whatever way the watcher ends.
#[test]
fn w3_the_fd_is_deregistered_before_the_source_is_closed() {
    on_every_selector(|kind| {
        const WAYS: usize = 6;
        let drops = Rc::new(Cell::new(0));
        for way in 0..WAYS {
            let (mut el, log) = logged(kind, ());
            el.set_exception_handler(|_, (), _| {});
            let (stream, _theirs) = readable();
            let source = Forgotten { stream, log, drops: drops.clone() };
            let me = Rc::new(Cell::new(None));
            let known = me.clone();
            let watcher = el.add_reader(source, move |el, (), source| match way {
                0 => Ok(source.cancel()),
                1 => Err(Error::other("enough")),
                2 => Ok(drop(Watched::into_inner(source))),
                3 => Ok(assert!(el.cancel(known.get().unwrap()))),
                _ => Ok(()),
            });
            me.set(watcher.ok());
            tick(&mut el);
            if way == 4 {
                el.cancel(me.get().unwrap());
            }
            drop(el);
            assert_eq!(drops.get(), way + 1);
        }
    });
}
