//! Tests of the states of a task: after each step, every slot is in a state of the table of states.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Tasks;
use crate::event_loop::EventLoop;
use crate::snapshot::EntryKind;
use crate::task::cancel_region::{Guard, OwnedRegion, RegionCall};
use crate::task::{Task, current, promise, spawn, yield_now};

fn tasks_of(el: &EventLoop) -> Rc<Tasks> {
    current::find(el.core().loop_id).expect("the loop is open")
}

fn verify(tasks: &Tasks) {
    tasks.slots.borrow().verify();
}

/// Runs tasks, and verifies all slots after each tick and within each poll of the main task.
fn run_verified<F: Future>(main: impl FnOnce() -> F) {
    let mut el = EventLoop::new().unwrap();
    let tasks = tasks_of(&el);
    let inside = tasks.clone();
    let mut main = Box::pin(main());
    let verified = poll_fn(|cx| {
        verify(&inside);
        let polled = main.as_mut().poll(cx);
        verify(&inside);
        polled
    });
    el.run_until_complete(verified).unwrap();
    for _ in 0..5 {
        el.tick(Some(std::time::Duration::ZERO)).unwrap();
        verify(&tasks);
    }
    el.close();
    verify(&tasks);
}

#[test]
fn states_of_tasks_that_end_by_their_output() {
    run_verified(|| async {
        let tasks: Vec<Task<i32>> = (0..3)
            .map(|n| {
                spawn(async move {
                    yield_now().await;
                    verify(&current::running().unwrap());
                    n
                })
            })
            .collect();
        yield_now().await;
        for (n, task) in (0..).zip(tasks) {
            task.add_done_callback(|_| verify(&current::running().unwrap()));
            assert_eq!(task.await.unwrap(), n);
        }
        spawn(yield_now()).detach();
        spawn(async { String::from("dropped") }).detach();
    });
}

#[test]
fn states_of_cancelled_tasks() {
    run_verified(|| async {
        let never_polled = spawn(pending::<()>());
        assert!(never_polled.cancel("before its first poll"));
        let waiting = spawn(pending::<()>());
        yield_now().await;
        assert!(waiting.cancel("while it waits"));
        let shielded = spawn(async {
            let call = RegionCall { kind: EntryKind::Shield, location: Location::caller() };
            let (region, mut polls) = (OwnedRegion::new(Guard::Shield, call), 0);
            let mut poll = |cx: &mut Context<'_>| {
                polls += 1;
                cx.waker().wake_by_ref();
                if polls < 4 { Poll::Pending } else { Poll::Ready(()) }
            };
            poll_fn(|cx| region.enter(|| poll(cx))).await;
        });
        yield_now().await;
        assert!(shielded.cancel("while a guard delays it"));
        yield_now().await;
        verify(&current::running().unwrap());
        assert!(never_polled.await.unwrap_err().is_cancelled());
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(shielded.await.is_ok());
    });
}

#[test]
fn states_of_tasks_that_panic_or_wait_for_a_promise() {
    run_verified(|| async {
        let task = spawn(poll_fn(|_| -> Poll<()> { panic!("a panic of a test") }));
        assert!(task.await.unwrap_err().is_panic());
        let (promise, promised) = promise();
        let task = spawn(async move { promised.await.unwrap() });
        yield_now().await;
        promise.set_result(7);
        assert_eq!(task.await.unwrap(), 7);
    });
}

/// A late wake of a task that is done sets a flag without effect.
#[test]
fn states_after_a_late_wake() {
    run_verified(|| async {
        let kept: Rc<Cell<Option<Waker>>> = Rc::default();
        let keeps = kept.clone();
        let task = spawn(poll_fn(move |cx| {
            keeps.set(Some(cx.waker().clone()));
            Poll::Ready(())
        }));
        yield_now().await;
        kept.take().unwrap().wake();
        assert!(task.is_finished());
        verify(&current::running().unwrap());
    });
}
