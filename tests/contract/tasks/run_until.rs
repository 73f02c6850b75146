//! Running futures: `run_until_complete`, `run_until_stalled`, and `run` with tasks
//! (docs/contract.md, Q6 to Q8).

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mainspring::{
    Error, EventLoop, LoopHandle, SelectorKind, TaskState, current_loop, sleep, spawn, yield_now,
};

use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn q7_run_until_complete_returns_the_output_and_keeps_the_rest() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        el.call_soon(|_, seen| seen.push("soon"));
        el.call_later(2 * HOUR, |_, seen| seen.push("later"));
        let rest = el.spawn(async { sleep(3 * HOUR).await });
        let (borrowed, handle) = (String::from("borrowed"), el.handle().clone());
        let output = el.run_until_complete(async {
            sleep(HOUR).await;
            handle.with(|_, seen| seen.push("with")).await.unwrap();
            handle.call_soon(|_, seen| seen.push("left"));
            borrowed.as_str()
        });
        assert_eq!(output.unwrap(), "borrowed");
        assert_eq!(clock.elapsed(), HOUR);
        assert_eq!(*el.state(), ["soon", "with"]);
        assert_eq!(rest.state(), TaskState::Waiting);
        el.run().unwrap();
        assert_eq!(*el.state(), ["soon", "with", "left", "later"]);
        assert_eq!(clock.elapsed(), 3 * HOUR);
        assert!(rest.is_finished());
    });
}

#[test]
fn q7_a_ready_future_takes_no_tick() {
    let (mut el, _) = simulated(SelectorKind::Poll, 0);
    el.call_soon(|_, ran| *ran += 1);
    assert_eq!(el.run_until_complete(async { 42 }).unwrap(), 42);
    assert_eq!(*el.state(), 0);
    el.run_until_complete(yield_now()).unwrap();
    assert_eq!(*el.state(), 1);
}

#[test]
fn q6_a_stop_ends_run_until_complete_after_the_batch() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        let dropped = Rc::new(());
        let inside = dropped.clone();
        el.call_later(HOUR, |el, _| {
            el.stop();
            el.call_soon(|_, ran| *ran += 10);
        });
        el.call_later(HOUR, |_, ran| *ran += 1);
        let stopped = el.run_until_complete(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert_eq!((*el.state(), clock.elapsed()), (1, HOUR));
        assert_eq!(Rc::strong_count(&dropped), 1);
        assert!(!el.is_stopping());
        // A stop requested before the run allows one tick that does not sleep.
        el.stop();
        let stopped = el.run_until_complete(sleep(HOUR));
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert_eq!((*el.state(), clock.elapsed()), (11, HOUR));
        let output = el.run_until_complete(async { current_loop().unwrap().stop() });
        assert!(output.is_ok() && !el.is_stopping(), "a completed future was not stopped");
        assert_eq!(el.run_until_complete(async { 42 }).unwrap(), 42);
    });
}

#[test]
fn q8_a_closed_loop_runs_no_future() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let before = el.spawn(pending::<()>());
    el.close();
    let polled = Cell::new(false);
    let output = el.run_until_complete(async { polled.set(true) });
    assert!(matches!(output, Err(Error::Closed)) && !polled.get());
    assert!(matches!(el.run_until_stalled(), Err(Error::Closed)));
    let alive = Rc::new(());
    let inside = alive.clone();
    let after = el.spawn(async move { drop(inside) });
    assert_eq!(Rc::strong_count(&alive), 1);
    assert!(before.is_finished() && after.is_finished() && !after.cancel("gone"));
    assert_eq!((before.location(), after.location()), (None, None));
    assert!(after.named("finished").name().is_none());
    let with = el.with(|_, ()| 42);
    let output = futures::executor::block_on(async { (with.await, before.await) });
    assert!(matches!(output.0, Err(Error::Closed)));
    assert_eq!(output.1.unwrap_err().to_string(), "the task was cancelled: the loop is closed");
}

#[test]
fn q8_a_panic_of_the_main_future_leaves_the_loop_usable() {
    on_every_selector(|kind| {
        for late in [false, true] {
            let (mut el, clock) = simulated(kind, 0);
            el.call_soon(|_, ran| *ran += 1);
            let rest = el.spawn(async { sleep(2 * HOUR).await });
            let panics = AssertUnwindSafe(|| {
                el.run_until_complete(async {
                    if late {
                        sleep(HOUR).await;
                    }
                    panic!("on purpose");
                })
            });
            assert!(catch_unwind(panics).is_err());
            assert!(current_loop().is_err(), "no loop is running");
            el.run().unwrap();
            assert!(rest.is_finished());
            assert_eq!((*el.state(), clock.elapsed()), (1, 2 * HOUR));
            assert_eq!(el.run_until_complete(async { 42 }).unwrap(), 42);
        }
    });
}

#[test]
fn q7_run_until_stalled_runs_what_is_ready_without_sleeping() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        assert_eq!(el.run_until_stalled().unwrap(), 0);
        el.call_soon(|el, ran| {
            *ran += 1;
            el.call_soon(|_, ran| *ran += 1);
        });
        el.call_later(HOUR, |_, ran| *ran += 100);
        let task = el.spawn(async {
            for _ in 0..5 {
                yield_now().await;
            }
            sleep(HOUR).await;
        });
        assert_eq!(el.run_until_stalled().unwrap(), 2 + 6);
        assert_eq!((*el.state(), clock.elapsed()), (2, Duration::ZERO));
        assert_eq!(task.state(), TaskState::Waiting);
        clock.advance(HOUR);
        assert_eq!(el.run_until_stalled().unwrap(), 2);
        assert!(task.is_finished() && *el.state() == 102);
        el.call_soon(|el, _| {
            el.stop();
            el.call_soon(|_, ran| *ran += 1000);
        });
        assert_eq!(el.run_until_stalled().unwrap(), 1);
        assert!(!el.is_stopping() && *el.state() == 102);
    });
}

#[test]
fn q7_run_returns_when_the_tasks_are_done() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        el.spawn(async { sleep(HOUR).await }).detach();
        el.spawn(async { spawn(sleep(2 * HOUR)).await.unwrap() }).detach();
        let cancelled = el.spawn(pending::<()>());
        el.spawn(async move {
            sleep(3 * HOUR).await;
            cancelled.cancel("enough");
        })
        .detach();
        assert!(el.is_alive());
        el.run().unwrap();
        assert!(!el.is_alive());
        assert_eq!(clock.elapsed(), 3 * HOUR);
    });
}

#[test]
fn q7_a_background_task_does_not_keep_run_alive() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let task = el.spawn(async { sleep(HOUR).await });
        let handle = task.handle();
        el.run_until_stalled().unwrap();
        assert!(el.set_background(handle) && el.set_background(handle) && !el.is_alive());
        el.run().unwrap();
        assert_eq!(clock.elapsed(), Duration::ZERO);
        assert!(el.set_foreground(handle) && el.set_foreground(handle) && el.is_alive());
        el.run().unwrap();
        assert!(
            task.is_finished()
                && !el.is_alive()
                && !el.set_background(handle)
                && !el.set_foreground(handle)
        );
        assert_eq!(clock.elapsed(), HOUR);
        let ends = el.spawn(async {});
        assert!(el.set_background(ends.handle())); // It ends while it is in the background.
        el.run_until_stalled().unwrap();
        let last = el.spawn(async { sleep(HOUR).await });
        assert!(ends.is_finished() && el.is_alive());
        el.run().unwrap();
        assert!(last.is_finished() && !el.is_alive());
    });
}

/// The main future never keeps the loop alive, so there is no count to change.
#[test]
fn q7_the_main_future_can_be_in_the_background_but_not_cancelled() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let handle = el.handle().clone();
    el.run_until_complete(async {
        let this = current_loop().unwrap().task().unwrap();
        assert!(
            handle.set_background(this)
                && handle.set_background(this)
                && handle.set_foreground(this)
        );
        assert!(!handle.cancel(this) && handle.set_name(this, "main"));
        yield_now().await;
    })
    .unwrap();
    assert!(!el.is_alive());
}

#[test]
fn q9_with_runs_a_closure_with_the_state() {
    let (mut el, _) = simulated(SelectorKind::Poll, Vec::new());
    let handle: LoopHandle<Vec<u32>> = el.handle().clone();
    let output = el.run_until_complete(async {
        handle.call_soon(|_, seen| seen.push(1));
        let queued = handle.with(|el, seen| {
            el.call_soon(|_, seen| seen.push(3));
            seen.push(2);
            seen.len()
        });
        drop(handle.with(|_, seen| seen.push(100))); // Dropped before it ran, so it does not run.
        queued.await.unwrap()
    });
    assert_eq!(output.unwrap(), 2);
    el.run().unwrap();
    assert_eq!(*el.state(), [1, 2, 3]);
    let never = el.with(|_, _| 42);
    drop(el);
    assert!(matches!(futures::executor::block_on(never), Err(Error::Closed)));
}

/// A task of one loop runs another loop, and `current_loop` is right in each.
#[test]
fn q7_a_task_may_run_another_loop() {
    on_every_selector(|kind| {
        let (mut outer, clock) = simulated(kind, ());
        let (mut inner, inner_clock) = simulated(kind, ());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (order, handle) = (seen.clone(), outer.handle().clone());
        let woken = outer.spawn(poll_fn(|_| Poll::Ready(())));
        let nested = outer.spawn(async move {
            let before = current_loop().unwrap().task().unwrap();
            let (noted, spawned) = (order.clone(), handle.clone());
            let output = inner.run_until_complete(async move {
                assert_ne!(current_loop().unwrap().task().unwrap(), before);
                let here = spawn(async { sleep(HOUR).await });
                let there = spawned.spawn(async move { noted.borrow_mut().push("outer") });
                here.await.unwrap();
                (there, woken)
            });
            order.borrow_mut().push("inner");
            assert_eq!(current_loop().unwrap().task(), Some(before));
            sleep(HOUR).await;
            let (there, woken) = output.unwrap();
            there.await.unwrap();
            woken.await.unwrap();
        });
        outer.run_until_complete(nested).unwrap().unwrap();
        assert_eq!(*seen.borrow(), ["inner", "outer"]);
        assert_eq!((clock.elapsed(), inner_clock.elapsed()), (HOUR, HOUR));
    });
}

/// A task of one loop awaits a task of another, which a later run completes.
#[test]
fn f3_a_task_of_one_loop_wakes_one_of_another() {
    on_every_selector(|kind| {
        let (mut one, _) = simulated(kind, ());
        let (mut two, _) = simulated(kind, ());
        let produces = one.spawn(async {
            yield_now().await;
            42
        });
        let consumes = two.spawn(async { produces.await.unwrap() });
        two.run_until_stalled().unwrap();
        assert_eq!(consumes.state(), TaskState::Waiting);
        one.run().unwrap();
        two.run().unwrap();
        assert_eq!(two.run_until_complete(consumes).unwrap().unwrap(), 42);
    });
}

/// Several loops on one thread, dropped in any order.
#[test]
fn q8_loops_of_one_thread_are_independent() {
    let alive = Rc::new(());
    let mut loops: Vec<EventLoop<()>> =
        (0..4).map(|_| simulated(SelectorKind::Poll, ()).0).collect();
    let tasks: Vec<_> = (loops.iter())
        .map(|el| {
            let inside = alive.clone();
            el.spawn(async move {
                let _inside = inside;
                pending::<()>().await;
            })
        })
        .collect();
    for at in [1, 2, 0, 0] {
        loops.iter_mut().for_each(|el| _ = el.run_until_stalled().unwrap());
        drop(loops.remove(at));
        assert_eq!(Rc::strong_count(&alive), 1 + loops.len());
    }
    assert!(tasks.iter().all(|task| task.is_finished()));
}
