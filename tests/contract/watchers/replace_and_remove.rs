//! W2 and W3: who has an fd, who follows whom, and that what is over is over.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::{Error, Interest, LoopHandle, TriggerMode, Watched, Watcher};

use crate::support::files::{pair, readable, tick};
use crate::support::spy::{Call, Log, spied};
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

type Names = Vec<&'static str>;
type Shared = Rc<UnixStream>;

/// A callback that only leaves its name.
fn says<T>(
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
        let reader = el.add_reader(ours.clone(), says("reader")).unwrap();
        taken(el.add_reader(ours.clone(), says("wrong")), "reader");
        taken(el.watch(ours.clone(), WRITE, says("wrong")), "reader");
        let writer = el.add_writer(ours.clone(), says("writer")).unwrap();
        taken(el.add_writer(ours.clone(), says("wrong")), "writer");
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["reader", "writer"]);
        assert!(el.cancel(reader) && el.cancel(writer));
        let both = el.watch(ours.clone(), READ, says("both")).unwrap();
        taken(el.add_reader(ours.clone(), says("wrong")), "watcher");
        taken(el.add_writer(ours.clone(), says("wrong")), "watcher");
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["both"]);
        assert!(el.cancel(both));
        assert_eq!(Rc::strong_count(&ours), 1, "a refused source was kept");
    });
}

/// P5: another number is another fd, even if it is the same file.
#[test]
fn w2_a_dup_has_a_reader_of_its_own() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let (ours, _theirs) = readable();
        let twin = ours.try_clone().unwrap();
        let first = el.add_reader(ours, says("first")).unwrap();
        el.add_reader(twin, says("second")).unwrap();
        tick(&mut el);
        el.state_mut().sort_unstable();
        assert_eq!(el.state_mut().split_off(0), ["first", "second"]);
        assert!(el.cancel(first));
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["second"]);
    });
}

/// The old callback is gone at once, with its captures, and the new one has the source, the
/// direction and the name.
#[test]
fn w2_replace_swaps_the_callback_even_if_it_was_queued() {
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
        // A handle that was queued before runs before it, in the batch in which the old callback is
        // queued too.
        el.call_soon(move |el, _| {
            let new = el.replace(old, says("new")).unwrap();
            assert_eq!(Rc::strong_count(&capture), 1, "the old callback lives on");
            assert!(!el.cancel(old));
            assert!(matches!(el.replace(old, says("wrong")), Err(Error::Gone { .. })));
        });
        tick(&mut el);
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["new"]);
    });
}

/// From inside the callback that is replaced, twice: the last one gets the source, when the first
/// has returned.
#[test]
fn w2_a_callback_may_replace_itself_again_and_again() {
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
                    watcher = el.replace(watcher, says(name)).unwrap();
                }
                known.set(Some(watcher));
                Ok(())
            });
            me.set(Some(watcher.unwrap()));
            (0..3).for_each(|_| _ = tick(&mut el));
            let last = ["a", "b", "c"][times - 1];
            assert_eq!(el.state()[..], ["old", last, last]);
            assert!(el.cancel(me.get().unwrap()));
            el.run().unwrap(); // Nothing is left.
        }
    });
}

/// A callback that replaces itself and then removes the successor, or the watcher as a whole, ends
/// it all.
#[test]
fn w2_a_replacement_may_be_removed_before_it_has_the_source() {
    on_every_selector(|kind| {
        for whole in [false, true] {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let ours = Rc::new(ours);
            let me = Rc::new(Cell::new(None));
            let known = me.clone();
            let watcher = el.add_reader(ours.clone(), move |el, _, socket| {
                let new = el.replace(known.get().unwrap(), says("wrong")).unwrap();
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
            assert_eq!(Rc::strong_count(&ours), 1, "the source was kept");
        }
    });
}

/// In the modes that report once, the report that the old callback did not get any more is not
/// lost.
#[test]
fn w2_replace_loses_no_event_in_any_mode() {
    on_every_selector(|kind| {
        for mode in [TriggerMode::Level, TriggerMode::Oneshot, TriggerMode::Edge] {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (ours, _theirs) = readable();
            let old = el.watch_with_mode(ours, READ, mode, says("old")).unwrap();
            el.call_soon(move |el, _| el.replace(old, says("new")).map(drop));
            tick(&mut el);
            tick(&mut el);
            assert_eq!(el.state()[..], ["new"], "{mode:?}");
        }
    });
}

/// Between the question to the selector and the batch, in a hook: the answer is for nobody any
/// more, and no news about the kernel.
#[test]
fn w3_a_watcher_removed_by_a_hook_does_not_run() {
    on_every_selector(|kind| {
        let (mut el, log) = spied(kind, Names::new());
        let (ours, _theirs) = readable();
        let watcher = el.add_reader(ours, says("wrong")).unwrap();
        let (silent, _peer) = pair();
        let mut silent = Some(silent);
        el.on_check(move |el, _| match silent.take() {
            Some(silent) => {
                assert!(el.cancel(watcher));
                el.add_reader(silent, says("wrong")).map(drop)
            }
            None => Ok(()),
        })
        .unwrap();
        (0..3).for_each(|_| _ = tick(&mut el));
        assert_eq!(el.state()[..], [] as [&str; 0]);
        assert!(!log.take().contains(&Call::Reset), "taken for a stranger");
    });
}

/// Two are ready in one tick and whoever comes first removes the other.
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

/// One event for both: the reader, which runs first, removes the writer.
#[test]
fn w3_the_reader_removes_the_writer_of_the_same_event() {
    on_every_selector(|kind| {
        let (mut el, log) = spied(kind, Names::new());
        let (ours, _theirs) = readable();
        let ours = Rc::new(ours);
        let writer = el.add_writer(ours.clone(), says("writer")).unwrap();
        el.add_reader(ours.clone(), move |el, names: &mut Names, socket| {
            names.push("reader");
            if names.len() == 1 {
                return Ok(());
            }
            assert!(el.cancel(writer));
            assert_eq!(Rc::strong_count(socket), 2, "the writer's source was kept");
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

/// P48: it ends itself and begins again on the same fd. The new one has a full life of its own.
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
                known.set(Some(el.add_reader(again.clone(), says("new"))?));
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

/// A source that looks, when it goes, whether the kernel has forgotten it.
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

/// In whatever way a watcher ends.
#[test]
fn w3_the_kernel_has_forgotten_the_fd_before_the_source_is_closed() {
    on_every_selector(|kind| {
        const WAYS: usize = 6;
        let drops = Rc::new(Cell::new(0));
        for way in 0..WAYS {
            let (mut el, log) = spied(kind, ());
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
