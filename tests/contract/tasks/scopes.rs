//! Cancel scopes: deadlines, nesting, and which of several scopes ends (docs/contract.md, F5).

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use mainspring::{CancelScope, Error, current_loop, promise, sleep, spawn, timeout, yield_now};

use crate::support::task_log::{SECOND, cancel_after, loop_with_log};

#[test]
fn f5_a_deadline_ends_a_waiting_scope() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let scope = CancelScope::new().timeout(2 * SECOND);
        let _outside = log.end("outside");
        let inside = log.end("inside");
        let cancelled = scope
            .run(async move {
                let _inside = inside;
                pending::<()>().await
            })
            .await
            .unwrap_err();
        log.note("ended");
        assert!(cancelled.is_deadline() && scope.is_cancelled());
        assert_eq!(cancelled.to_string(), "cancelled: the deadline has passed");
        assert_eq!(Error::from(cancelled).to_string(), "cancelled: the deadline has passed");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(2, "inside"), (2, "ended"), (2, "outside")]);
}

#[test]
fn f5_a_result_in_the_tick_of_the_deadline_is_delivered() {
    let (mut el, _) = loop_with_log();
    let results = el.run_until_complete(async {
        let mut results = Vec::new();
        for late in [false, true] {
            let (promise, promised) = promise();
            let scope = CancelScope::new().timeout(SECOND);
            let setting = async move {
                // It runs after the deadline of the same instant, in the same tick.
                sleep(SECOND).await;
                if late {
                    yield_now().await;
                    yield_now().await;
                }
                promise.set_result(());
            };
            let run = scope.run(promised);
            let mut run = pin!(run);
            let begun = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_ready())).await;
            assert!(!begun);
            spawn(setting).detach();
            results.push(run.await.is_ok());
        }
        results
    });
    assert_eq!(results.unwrap(), [true, false]);
}

#[test]
fn f5_the_deadline_of_a_running_scope_can_be_moved() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let now = || current_loop().unwrap().now();
        let plans: [(u32, Option<u32>, u64); 4] =
            [(9, Some(2), 3), (2, Some(9), 10), (2, None, 20), (20, Some(0), 1)];
        for (first, second, ended) in plans {
            let began = log.1.elapsed();
            let scope = CancelScope::new().deadline(now() + first * SECOND);
            let other = scope.clone();
            let moving = async move {
                sleep(SECOND).await;
                other.set_deadline(second.map(|second| now() + second * SECOND));
            };
            spawn(moving).detach();
            let outcome = scope.run(sleep(20 * SECOND)).await;
            assert_eq!(outcome.is_ok(), second.is_none());
            assert_eq!((log.1.elapsed() - began).as_secs(), ended);
        }
    };
    el.run_until_complete(run).unwrap();
}

/// The deadline has passed and is moved in the same tick.
#[test]
fn f5_a_deadline_moved_in_the_same_tick_does_not_end_the_scope() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let scope = CancelScope::new().timeout(SECOND);
        let other = scope.clone();
        let run = spawn(async move { scope.run(sleep(5 * SECOND)).await });
        yield_now().await;
        sleep(SECOND).await;
        other.set_deadline(None);
        assert!(run.await.unwrap().is_ok());
        log.note("done");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(5, "done")]);
}

#[test]
fn f5_all_runs_of_a_scope_are_cancelled_with_the_first_reason() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let scope = CancelScope::new();
        cancel_after(3, &scope);
        let runs = [(); 3].map(|()| {
            let scope = scope.clone();
            spawn(async move { scope.run(pending::<()>()).await })
        });
        for run in runs {
            assert_eq!(run.await.unwrap().unwrap_err().reason().to_string(), "asked to");
        }
        assert_eq!(scope.reason().unwrap().to_string(), "asked to");
        log.note("over");
        // A cancelled scope stays cancelled: a run in it gets to its first wait.
        assert!(scope.run(async { log.note("no wait") }).await.is_ok());
        let first_wait = async {
            log.note("before the wait");
            yield_now().await;
            log.note("never");
        };
        assert!(!scope.run(first_wait).await.unwrap_err().is_deadline());
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(3, "over"), (3, "no wait"), (3, "before the wait")]);
}

#[test]
fn f5_code_that_cancels_its_own_scope_runs_on_to_the_next_wait() {
    let (mut el, log) = loop_with_log();
    let scope = CancelScope::new();
    let outcome = el.run_until_complete(scope.run(async {
        scope.cancel("enough");
        log.note("still here");
        std::future::ready(()).await;
        log.note("still here");
        yield_now().await;
        log.note("never");
    }));
    assert!(outcome.unwrap().is_err());
    log.check(&[(0, "still here"), (0, "still here")]);
}

/// Both scopes end at once: the outer one returns the error, and no code between them runs.
#[test]
fn f5_the_outer_scope_ends_if_both_are_cancelled() {
    let (mut el, log) = loop_with_log();
    let run = async {
        for by_deadline in [false, true] {
            let (outer, inner) = (CancelScope::new(), CancelScope::new());
            let (outer, inner) = match by_deadline {
                true => (outer.timeout(SECOND), inner.timeout(SECOND)),
                false => (outer, inner),
            };
            let both = (inner.clone(), outer.clone());
            let cancelling = async move {
                both.0.cancel("inner");
                both.1.cancel("outer");
            };
            let nested = async {
                inner.run(pending::<()>()).await.ok();
                log.note("the cancellation was swallowed");
            };
            if !by_deadline {
                spawn(cancelling).detach();
            }
            let cancelled = outer.run(nested).await.unwrap_err();
            assert_eq!(cancelled.is_deadline(), by_deadline);
        }
    };
    el.run_until_complete(run).unwrap();
    log.check(&[]);
}

#[test]
fn f5_an_inner_scope_that_ends_leaves_the_outer_one_running() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let outer = CancelScope::new().timeout(4 * SECOND);
        let nested = async {
            let inner = CancelScope::new().timeout(SECOND);
            assert!(inner.run(pending::<()>()).await.is_err());
            log.note("inner");
            assert!(timeout(SECOND, pending::<()>()).await.is_err());
            log.note("timeout");
            pending::<()>().await
        };
        assert!(outer.run(nested).await.is_err());
        log.note("outer");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "inner"), (2, "timeout"), (4, "outer")]);
}

#[test]
fn f5_a_scope_without_a_deadline_needs_no_loop() {
    let scope = CancelScope::new();
    let mut run = Box::pin(scope.run(pending::<()>()));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(run.as_mut().poll(&mut cx).is_pending());
    scope.cancel("by hand");
    assert!(run.as_mut().poll(&mut cx).is_ready());
    let timed = CancelScope::new().timeout(SECOND);
    let mut run = Box::pin(timed.run(pending::<()>()));
    assert!(catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut cx))).is_err());
    // The first run inside a loop starts the timeout.
    let (mut el, log) = loop_with_log();
    assert!(el.run_until_complete(timed.run(pending::<()>())).unwrap().is_err());
    log.note("over");
    log.check(&[(1, "over")]);
}

#[test]
fn f5_a_scope_drops_runs_that_have_ended() {
    let (mut el, _) = loop_with_log();
    let (scope, left) = (CancelScope::new(), Cell::new(0));
    let run = async {
        for _ in 0..10 {
            scope.run(yield_now()).await.unwrap();
            drop(scope.run(yield_now()));
            left.set(left.get() + 1);
        }
    };
    el.run_until_complete(run).unwrap();
    assert_eq!(left.get(), 10);
    assert!(format!("{scope:?}").contains("runs: 0"), "{scope:?}");
}
