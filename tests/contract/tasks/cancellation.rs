//! Cancellation of tasks, scopes, timeouts and groups: a result that is ready at the last poll is
//! delivered (docs/contract.md, F4 to F6).

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Waker;

use mainspring::{
    CancelScope, Error, Promised, Result, SelectorKind, TaskGroup, promise, sleep, spawn, timeout,
    yield_now,
};

use crate::support::simulated;
use crate::support::task_log::SECOND;

type Boxed = Pin<Box<dyn Future<Output = Option<u32>>>>;

async fn value_of(promised: Promised<u32>) -> u32 {
    promised.await.expect("the promise is set")
}

/// The value is set and the wait cancelled in the same callback, in both orders.
#[test]
fn f4_a_result_in_the_tick_of_the_cancellation_is_delivered() {
    type Cancelling = fn(Promised<u32>) -> (Boxed, Box<dyn FnOnce()>);
    let by_task: Cancelling = |promised| {
        let task = Rc::new(spawn(value_of(promised)));
        let cancel = task.clone();
        let output = async move {
            yield_now().await;
            Rc::into_inner(task).unwrap().await.ok()
        };
        (Box::pin(output), Box::new(move || assert!(cancel.cancel("too late"))))
    };
    let by_scope: Cancelling = |promised| {
        let scope = CancelScope::new();
        let task = spawn(scope.run(value_of(promised)));
        let output = async move { task.await.unwrap().ok() };
        (Box::pin(output), Box::new(move || assert!(scope.cancel("too late"))))
    };
    for (name, begin) in [("a task", by_task), ("a scope", by_scope)] {
        for sets_first in [true, false] {
            println!("{name}, set first: {sets_first}"); // Shown when the test fails.
            let (mut el, _) = simulated(SelectorKind::Poll, ());
            let output = el.run_until_complete(async move {
                let (promise, promised) = promise();
                let (output, cancel) = begin(promised);
                yield_now().await;
                if sets_first {
                    promise.set_result(42);
                    cancel();
                } else {
                    cancel();
                    promise.set_result(42);
                }
                output.await
            });
            assert_eq!(output.unwrap(), Some(42));
        }
    }
}

#[test]
fn f4_a_woken_task_is_polled_once_more_and_then_dropped() {
    for woken in [false, true] {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let (polls, waker) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let (counter, kept) = (polls.clone(), waker.clone());
        let task = el.spawn(async move {
            std::future::poll_fn(|cx| {
                counter.set(counter.get() + 1);
                kept.replace(Some(cx.waker().clone()));
                std::task::Poll::<()>::Pending
            })
            .await;
        });
        el.run_until_stalled().unwrap();
        if woken {
            waker.borrow().as_ref().map(Waker::wake_by_ref);
        }
        assert!(task.cancel("enough"));
        if woken {
            waker.borrow().as_ref().map(Waker::wake_by_ref);
        }
        let error = el.run_until_complete(task).unwrap().unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!((polls.get(), Rc::strong_count(&polls)), (1 + u32::from(woken), 1));
    }
}

/// The task runs on to its next wait, and no further.
#[test]
fn f4_a_cancelled_task_runs_on_to_its_next_wait() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let (promise, promised) = promise();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    let task = el.spawn(async move {
        let value = value_of(promised).await;
        log.borrow_mut().push(value);
        yield_now().await;
        log.borrow_mut().push(0);
    });
    el.run_until_stalled().unwrap();
    promise.set_result(42);
    task.cancel("enough");
    assert!(el.run_until_complete(task).unwrap().is_err());
    assert_eq!(*seen.borrow(), [42]);
}

/// A shield that begins in the last poll delays the cancellation.
#[test]
fn f4_a_shield_that_begins_in_the_last_poll_holds() {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let (promise, promised) = promise();
    let task = el.spawn(async move {
        value_of(promised).await;
        let shield = CancelScope::new().shielded();
        let _ = shield.run(sleep(SECOND)).await;
        pending::<()>().await;
    });
    el.run_until_stalled().unwrap();
    promise.set_result(42);
    task.cancel("enough");
    assert!(el.run_until_complete(task).unwrap().unwrap_err().is_cancelled());
    assert_eq!(clock.elapsed(), SECOND);
}

async fn fail_after(seconds: u32, words: &'static str) -> Result<()> {
    sleep(seconds * SECOND).await;
    Err(Error::other(words))
}

fn words(outcome: Result<(), mainspring::GroupError>) -> Vec<String> {
    outcome.unwrap_err().errors().iter().map(ToString::to_string).collect()
}

#[test]
fn f6_children_and_the_body_that_fail_in_one_tick_are_all_kept() {
    for late in [false, true] {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let outcome = el.run_until_complete(TaskGroup::run(async |group| {
            group.spawn(fail_after(1, "first"))?;
            group.spawn(fail_after(1, "second"))?;
            group.spawn(fail_after(2, "later"))?;
            fail_after(if late { 2 } else { 1 }, "body").await
        }));
        let mut words = words(outcome.unwrap());
        words.sort();
        let all = ["body", "first", "second"];
        assert_eq!(words, all[usize::from(late)..]);
    }
}

/// A child that awaits the failed child is cancelled, and does not count as a failure.
#[test]
fn f6_a_cancellation_caused_by_a_failure_is_not_an_error() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let outcome = el.run_until_complete(TaskGroup::run(async |group| {
        let failing = group.spawn(fail_after(1, "first"))?;
        group.spawn(async move {
            failing.await?;
            Ok(())
        })?;
        pending().await
    }));
    assert_eq!(words(outcome.unwrap()), ["first"]);
}

/// If two children panic in one tick, both panics are kept.
#[test]
fn f6_panics_in_one_tick_are_all_kept() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let outcome = el.run_until_complete(TaskGroup::run(async |group| {
        for number in 1..3 {
            group.spawn(async move {
                sleep(SECOND).await;
                if number > 0 {
                    panic!("number {number}");
                }
                Ok(())
            })?;
        }
        pending().await
    }));
    let words = words(outcome.unwrap());
    assert_eq!(words.len(), 2, "{words:?}");
}

/// A timeout inside the task does not swallow the cancellation of the task.
#[test]
fn f5_the_last_poll_swallows_no_cancellation() {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let task = el.spawn(async {
        let _ = timeout(SECOND, pending::<()>()).await;
        sleep(SECOND).await;
    });
    el.call_later(SECOND, {
        let handle = task.handle();
        move |el, ()| {
            el.cancel(handle);
        }
    });
    assert!(el.run_until_complete(task).unwrap().unwrap_err().is_cancelled());
    assert_eq!(clock.elapsed(), SECOND);
}
