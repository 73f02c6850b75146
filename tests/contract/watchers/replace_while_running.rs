//! Replacing a watcher's callback while it runs, and what else may happen before it returns
//! (docs/contract.md, Q4 and Q9).

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use mainspring::{Interest, LoopHandle, Watched, Watcher};

use crate::support::selector::counted;
use crate::support::{Source, on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);

type Own = Rc<Cell<Option<Watcher<Source>>>>;

/// Adds a ready reader that replaces itself and then runs `last` with the handle of the
/// replacement.
fn replacing(
    el: &LoopHandle<Vec<&'static str>>,
    alive: &Rc<()>,
    last: impl Fn(&LoopHandle<Vec<&'static str>>, &mut Watched<Source>, Watcher<Source>) + 'static,
) -> (Own, UnixStream) {
    let (source, mut peer) = Source::pair(alive);
    peer.write_all(b"x").unwrap();
    let own = Own::default();
    let (slot, alive) = (own.clone(), alive.clone());
    let watcher = el.add_reader(source, move |el, ran, source| {
        ran.push("old");
        let kept = alive.clone();
        let replacement = el.replace(slot.get().unwrap(), move |_, ran, source| {
            let _ = &kept;
            ran.push("replacement");
            let _ = source.stream().read(&mut [0; 8])?;
            Ok(())
        })?;
        slot.set(Some(replacement));
        last(el, source, replacement);
        Ok(())
    });
    own.set(Some(watcher.unwrap()));
    (own, peer)
}

#[test]
fn q9_the_replacement_of_a_panicking_callback_is_removed_with_the_source() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let alive = Rc::new(());
        let (own, peer) = replacing(&el, &alive, |_, _, _| panic!("after the replacement"));
        assert!(catch_unwind(AssertUnwindSafe(|| el.tick(NOW))).is_err());
        assert_eq!(Rc::strong_count(&alive), 1);
        assert!(!el.cancel(own.get().unwrap()) && !el.is_alive());
        // The fd can be watched again.
        let (source, next) = Source::pair(&alive);
        (&next).write_all(b"x").unwrap();
        el.add_reader(source, |_, ran, _| Ok(ran.push("next"))).unwrap();
        el.tick(NOW).unwrap();
        assert_eq!(*el.state(), ["old", "next"]);
        drop(peer);
    });
}

#[test]
fn q9_a_source_removed_after_a_replacement_is_deregistered_first() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let builder = mainspring::EventLoop::builder().selector(selector);
        let mut el = builder.build_with(Vec::new()).unwrap();
        let alive = Rc::new(());
        let changes = calls.clone();
        let (own, _peer) = replacing(&el, &alive, move |_, source, _| {
            changes.take();
            source.cancel();
            assert_eq!(changes.take().1, 1, "the fd is still registered");
        });
        el.tick(NOW).unwrap();
        assert_eq!((Rc::strong_count(&alive), el.state().len()), (1, 1));
        assert!(!el.cancel(own.get().unwrap()) && !el.is_alive());
    });
}

#[test]
fn q9_all_replacements_of_a_removed_source_are_removed() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let alive = Rc::new(());
        let kept = Rc::downgrade(&alive);
        let (_, _peer) = replacing(&el, &alive, move |el, source, replacement| {
            let kept = kept.upgrade();
            el.replace(replacement, move |_, _, _| Ok(drop(kept.clone()))).unwrap();
            source.cancel();
        });
        el.tick(NOW).unwrap();
        assert_eq!(Rc::strong_count(&alive), 1);
    });
}

#[test]
fn q9_a_source_taken_out_after_a_replacement_belongs_to_the_caller() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let (alive, taken) = (Rc::new(()), Rc::new(RefCell::new(None)));
        let place = taken.clone();
        let (own, _peer) = replacing(&el, &alive, move |el, source, _| {
            *place.borrow_mut() = Some(Watched::into_inner(source));
            // The owner of the source may watch it at once.
            let again = place.borrow_mut().take().unwrap();
            el.add_reader(again, |_, ran, _| Ok(ran.push("again"))).unwrap();
        });
        el.tick(NOW).unwrap();
        el.tick(NOW).unwrap();
        assert_eq!(*el.state(), ["old", "again"]);
        assert!(!el.cancel(own.get().unwrap()));
    });
}

#[test]
fn q4_a_cancelled_replacement_is_dropped_before_cancel_returns() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let alive = Rc::new(());
        let kept = Rc::downgrade(&alive);
        let (_, _peer) = replacing(&el, &alive, move |el, _, replacement| {
            // Clones of the test, the source, the running callback and the replacement.
            assert_eq!(kept.strong_count(), 4);
            assert!(el.cancel(replacement));
            assert_eq!(kept.strong_count(), 3);
            assert!(!el.cancel(replacement));
        });
        el.tick(NOW).unwrap();
        el.tick(NOW).unwrap();
        assert_eq!((Rc::strong_count(&alive), el.state().len()), (1, 1));
    });
}

#[test]
fn q9_a_replacement_is_paused_by_source_or_handle() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let alive = Rc::new(());
        let (own, _peer) = replacing(&el, &alive, |_, source, _| {
            assert_eq!(source.interest(), Interest::READABLE);
            source.set_interest(Interest::empty()).unwrap();
        });
        (0..3).for_each(|_| drop(el.tick(NOW)));
        assert_eq!(*el.state(), ["old"]);
        el.set_interest(own.get().unwrap(), Interest::READABLE).unwrap();
        el.tick(NOW).unwrap();
        assert_eq!(*el.state(), ["old", "replacement"]);
    });
}

#[test]
fn q7_a_replacement_stays_in_the_background() {
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let (stream, _peer) = UnixStream::pair().unwrap();
    let watcher = el.add_reader(stream, |_, (), _| Ok(())).unwrap();
    assert!(el.set_background(watcher));
    let replacement = el.replace(watcher, |_, (), _| Ok(())).unwrap();
    el.run().unwrap();
    assert!(el.set_foreground(replacement) && el.is_alive());
}

/// When the captures of a removed replacement are dropped, its handle must already be invalid.
#[test]
fn q9_a_replacement_without_a_source_is_removed_before_its_captures_are_dropped() {
    struct ChecksHandle(LoopHandle<()>, Rc<Cell<Option<Watcher<UnixStream>>>>);
    impl Drop for ChecksHandle {
        fn drop(&mut self) {
            assert!(!self.0.cancel(self.1.get().unwrap()), "the replacement is still registered");
        }
    }
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let (stream, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"x").unwrap();
    let own = Rc::new(Cell::new(None));
    let slot = own.clone();
    let watcher = el.add_reader(stream, move |el, (), source| {
        let checks_handle = ChecksHandle(el.clone(), slot.clone());
        let replacement =
            el.replace(slot.get().unwrap(), move |_, (), _| Ok(drop(checks_handle.1.clone())))?;
        slot.set(Some(replacement));
        source.cancel();
        Ok(())
    });
    own.set(Some(watcher.unwrap()));
    el.run().unwrap();
    assert_eq!(Rc::strong_count(&own), 1);
}

/// An exception handler replaces itself, and its drop sets another one. The last one set stays.
#[test]
fn q9_an_exception_handler_set_by_the_drop_of_another_stays() {
    struct Last(LoopHandle<Vec<&'static str>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.set_exception_handler(|_, seen, _| seen.push("third"));
        }
    }
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, Vec::new());
    let last = Last(el.handle().clone());
    el.set_exception_handler(move |_, seen, _| {
        seen.push("first");
        last.0.set_exception_handler(|_, seen, _| seen.push("second"));
    });
    for _ in 0..2 {
        el.call_soon(|_, _| Err(mainspring::Error::other("a failure")));
        el.run().unwrap();
    }
    assert_eq!(*el.state(), ["first", "third"]);
}
