//! Order of the ready deque, and cancelling (docs/contract.md, Q1 to Q4).

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::{Handle, LoopHandle, Signal};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::registrations::one_of_each;
use crate::support::selector::counted;
use crate::support::{on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);

#[test]
fn q1_queued_callbacks_run_in_order_and_once() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let handles: Vec<Handle> =
            (0..100).map(|i| el.call_soon(move |_, seen: &mut Vec<_>| seen.push(i))).collect();
        assert!(handles.iter().step_by(3).all(|handle| el.cancel(*handle)));
        el.run().unwrap();
        let expected: Vec<i32> = (0..100).filter(|i| i % 3 != 0).collect();
        assert_eq!(*el.state(), expected);
        assert!(!handles.iter().any(|handle| el.cancel(*handle)));
        el.run().unwrap();
        assert_eq!(el.state().len(), expected.len());
    });
}

#[test]
fn q1_a_million_handles_run_without_recursion() {
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, 0_u32);
    for i in 0..1_000_000 {
        el.call_soon(move |_, next| *next += u32::from(*next == i));
    }
    assert_eq!(el.tick(NOW).unwrap(), 1_000_000);
    assert_eq!(*el.state(), 1_000_000);
}

#[test]
fn q2_the_selector_is_called_between_two_batches() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = mainspring::EventLoop::builder().selector(selector).build().unwrap();
        let first = calls.clone();
        el.call_soon(move |el, ()| {
            let before = first.selects.get();
            // Callbacks of one batch see no select in between; a callback queued by them sees one.
            let (same, later) = (first.clone(), first);
            el.call_soon(move |el, ()| {
                assert_eq!(later.selects.get(), before + 1);
                el.call_soon(move |_, ()| assert_eq!(later.selects.get(), before + 2));
            });
            assert_eq!(same.selects.get(), before);
        });
        let same = calls.clone();
        el.call_soon(move |_, ()| assert_eq!(same.selects.get(), 1));
        assert_eq!(el.tick(None).unwrap(), 2);
        assert_eq!(el.tick(None).unwrap(), 1);
        assert_eq!(el.tick(None).unwrap(), 1);
        assert!(!el.is_alive());
        assert_eq!(calls.timeout.get(), NOW);
    });
}

#[test]
fn q3_a_tick_runs_its_sources_in_order() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        el.call_later(Duration::from_secs(1), |_, order| order.push("timer"));
        let remote = el.remote();
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let stream = Rc::new(stream);
        el.add_writer(stream.clone(), |_, order, _| Ok(order.push("writer"))).unwrap();
        el.add_reader(stream, |_, order, _| Ok(order.push("reader"))).unwrap();
        el.add_signal_handler(Signal::USR2, |_, order| order.push("signal")).unwrap();
        el.on_check(|_, order| order.push("check")).unwrap();
        el.on_prepare(|_, order| order.push("prepare")).unwrap();
        clock.advance(Duration::from_secs(1));
        std::thread::spawn(move || remote.call_soon(|_, order: &mut Vec<_>| order.push("remote")))
            .join()
            .unwrap()
            .unwrap();
        Signal::USR2.raise().unwrap();
        peer.write_all(b"x").unwrap();
        el.call_soon(|_, order| order.push("soon"));
        el.tick(NOW).unwrap();
        let sources = ["soon", "reader", "writer", "signal", "remote", "timer"];
        assert_eq!(*el.state(), [&["prepare", "check"][..], &sources].concat());
    });
}

#[test]
fn q4_captures_are_dropped_when_cancel_returns() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let alive = Rc::new(());
        let all = one_of_each(&el, &alive);
        let mut left = Rc::strong_count(&alive);
        for (name, handle, peer) in &all {
            assert!(el.cancel(*handle), "{name}");
            // A watcher drops its source too.
            left -= if peer.is_some() { 2 } else { 1 };
            assert_eq!(Rc::strong_count(&alive), left, "{name}");
            assert!(!el.cancel(*handle), "{name}");
        }
        assert_eq!(left, 1);
        assert!(
            !all.iter()
                .any(|(_, handle, _)| el.set_background(*handle) || el.set_name(*handle, "x"))
        );
        el.call_soon(|_, ()| {});
        el.run().unwrap();
    });
}

#[test]
fn q4_a_callback_that_cancels_itself_keeps_its_captures_until_it_returns() {
    let (mut el, clock) = simulated(mainspring::SelectorKind::Poll, None);
    let (alive, watch) = (Rc::new(()), Rc::new(Cell::new(0)));
    let (captured, seen) = (alive.clone(), watch.clone());
    let every = el
        .call_every(Duration::from_secs(1), move |el, own: &mut Option<Handle>| {
            assert!(el.cancel(own.unwrap()));
            assert!(!el.cancel(own.unwrap()));
            seen.set(Rc::strong_count(&captured));
        })
        .unwrap();
    *el.state_mut() = Some(every.into());
    el.run().unwrap();
    assert_eq!((watch.get(), Rc::strong_count(&alive)), (2, 1));
    assert_eq!(clock.elapsed(), Duration::from_secs(1));
}

#[test]
fn q4_a_callback_cancels_the_next_one_of_its_batch() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let alive = Rc::new(());
        let second = Duration::from_secs(1);
        let cancelled = Rc::new(Cell::new(None::<Handle>));
        let (target, captured, kept) = (cancelled.clone(), alive.clone(), alive.clone());
        el.call_later(second, move |el, seen: &mut Vec<_>| {
            assert!(el.cancel(target.get().unwrap()));
            assert_eq!(Rc::strong_count(&kept), 2);
            seen.push("canceller");
        });
        let timer = el.call_later(second, move |_, seen| {
            let _ = &captured;
            seen.push("cancelled");
        });
        cancelled.set(Some(timer.into()));
        el.call_later(second, |_, seen| seen.push("bystander"));
        clock.advance(second);
        el.tick(NOW).unwrap();
        assert_eq!(*el.state(), ["canceller", "bystander"]);
    });
}

#[test]
fn q4_a_handle_of_another_loop_names_nothing() {
    on_every_selector(|kind| {
        let (mut here, _) = simulated(kind, 0);
        let (there, _) = simulated(kind, 0);
        let alive = Rc::new(());
        let own = one_of_each(&here, &alive);
        let foreign = one_of_each(&there, &Rc::new(()));
        let before = Rc::strong_count(&alive);
        for (name, handle, _) in &foreign {
            assert!(!here.cancel(*handle), "{name}");
            assert!(!here.set_background(*handle) && !here.set_foreground(*handle), "{name}");
            assert!(!here.set_name(*handle, "x") && !here.cancel(*handle));
        }
        let timer = there.call_later(Duration::ZERO, |_, _| {});
        assert!(!here.reset_after(timer, Duration::ZERO) && !here.disarm(timer));
        let (stream, _peer) = UnixStream::pair().unwrap();
        let watcher = there.add_reader(stream, |_, _, _| Ok(())).unwrap();
        assert!(!here.cancel(watcher) && !here.cancel(watcher));
        assert!(here.set_interest(watcher, mainspring::Interest::READABLE).is_err());
        assert!(here.replace(watcher, |_, _, _| Ok(())).is_err());
        assert_eq!(Rc::strong_count(&alive), before);
        own.iter().for_each(|(name, handle, _)| assert!(here.cancel(*handle), "{name}"));
        here.run().unwrap();
    });
}

/// Expected queue, and the script of its callbacks.
#[derive(Debug, Default)]
struct Twin {
    queue: Vec<(usize, Handle)>,
    all: Vec<Handle>,
    script: Vec<(u8, prop::sample::Index)>,
}

fn step(el: &LoopHandle<Twin>, twin: &mut Twin) {
    let Some((kind, at)) = twin.script.pop() else { return };
    if kind < 3 {
        let id = twin.all.len();
        let handle = el.call_soon(move |el, twin: &mut Twin| {
            assert_eq!(twin.queue.remove(0).0, id, "out of order, or cancelled");
            (0..id % 3).for_each(|_| step(el, twin));
        });
        twin.queue.push((id, handle));
        twin.all.push(handle);
    } else if !twin.all.is_empty() {
        let handle = twin.all[at.index(twin.all.len())];
        let place = twin.queue.iter().position(|(_, other)| *other == handle);
        assert_eq!(el.cancel(handle), place.is_some());
        place.map(|place| twin.queue.remove(place));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn q1_random_calls_match_a_naive_deque(
        script in vec((0..4_u8, any::<prop::sample::Index>()), 0..300),
        ticks in vec(0..4_usize, 0..100),
    ) {
        let twin = Twin { script, ..Twin::default() };
        let (mut el, _) = simulated(mainspring::SelectorKind::available()[0], twin);
        for outside in ticks {
            let handle = el.handle().clone();
            (0..outside).for_each(|_| step(&handle, el.state_mut()));
            let last = el.state().queue.last().map(|(id, _)| *id);
            el.tick(NOW).unwrap();
            // Everything queued before the tick has run, and nothing that was queued during it.
            let next = el.state().queue.first().map(|(id, _)| *id);
            prop_assert!(last.is_none() || next.is_none() || next > last);
        }
        el.run().unwrap();
        prop_assert!(el.state().queue.is_empty());
    }
}
