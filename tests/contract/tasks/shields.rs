//! Shields: when they delay a cancellation, and when not (docs/contract.md, F5).

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use mainspring::{
    CancelScope, JoinError, SelectorKind, Task, race, sleep, spawn, timeout, yield_now,
};

use crate::support::simulated;
use crate::support::task_log::{Log, SECOND, cancel_after, loop_with_log};

/// Runs something shielded for five seconds, and then something that is not shielded.
async fn half_shielded(log: Log) {
    let _end = log.end("dropped");
    CancelScope::new().shielded().run(sleep(5 * SECOND)).await.unwrap();
    log.note("shield over");
    std::future::ready(()).await;
    log.note("no wait yet");
    sleep(SECOND).await;
    log.note("never");
}

#[test]
fn f5_a_shield_delays_scopes_deadlines_timeouts_and_cancel() {
    let wanted = [(5, "shield over"), (5, "no wait yet"), (5, "dropped")];
    let check = |run: fn(Log) -> Pin<Box<dyn Future<Output = ()>>>| {
        let (mut el, log) = loop_with_log();
        el.run_until_complete(run(log.clone())).unwrap();
        log.check(&wanted);
    };
    check(|log| {
        Box::pin(async move {
            let scope = CancelScope::new();
            cancel_after(2, &scope);
            assert!(scope.run(half_shielded(log)).await.is_err());
        })
    });
    check(|log| {
        Box::pin(async move {
            let scope = CancelScope::new().timeout(2 * SECOND);
            // A plain scope between the two changes nothing.
            let between = CancelScope::new();
            assert!(scope.run(between.run(half_shielded(log))).await.is_err());
        })
    });
    check(|log| {
        Box::pin(async move {
            let outcome = timeout(2 * SECOND, half_shielded(log)).await;
            assert_eq!(outcome.unwrap_err().to_string(), "the time limit of 2s expired");
        })
    });
    check(|log| {
        Box::pin(async move {
            let task = spawn(half_shielded(log));
            sleep(2 * SECOND).await;
            assert!(task.cancel("asked to"));
            assert!(matches!(task.await, Err(JoinError::Cancelled(_))));
        })
    });
}

#[test]
fn f5_a_shielded_result_wins() {
    let (mut el, _) = loop_with_log();
    let run = async {
        let shielded = || CancelScope::new().shielded().run(sleep(2 * SECOND));
        assert!(timeout(SECOND, shielded()).await.is_ok());
        let scope = CancelScope::new().timeout(SECOND);
        assert!(scope.run(shielded()).await.is_ok());
        assert!(scope.is_cancelled());
        let task = spawn(shielded());
        yield_now().await;
        assert!(task.cancel("too late"));
        assert!(task.await.is_ok());
        // The task has not begun, so there is no shield.
        let task = spawn(shielded());
        assert!(task.cancel("in time"));
        assert!(task.await.is_err());
    };
    el.run_until_complete(run).unwrap();
}

#[test]
fn f5_a_shielded_scope_still_ends_for_its_own_reasons() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let outer = CancelScope::new();
        outer.cancel("before all");
        let nested = async {
            let shield = CancelScope::new().shielded().timeout(SECOND);
            assert!(shield.run(pending::<()>()).await.unwrap_err().is_deadline());
            log.note("deadline");
            let shield = CancelScope::new().shielded();
            cancel_after(1, &shield);
            assert!(shield.run(pending::<()>()).await.is_err());
            log.note("cancelled");
            yield_now().await;
            log.note("never");
        };
        assert!(outer.run(nested).await.is_err());
        log.note("outer");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "deadline"), (2, "cancelled"), (2, "outer")]);
}

/// Both a task and a scope in it are cancelled, and wait for a shield. When the shield ends, the
/// task ends.
#[test]
fn f5_the_task_ends_if_a_scope_in_it_is_cancelled_too() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let (scope, own_log) = (CancelScope::new(), log.clone());
        cancel_after(1, &scope);
        let task = spawn(async move {
            let inside = async {
                CancelScope::new().shielded().run(sleep(3 * SECOND)).await.unwrap();
                own_log.note("shield over");
                pending::<()>().await
            };
            scope.run(inside).await.ok();
            own_log.note("the cancellation was swallowed");
        });
        sleep(SECOND).await;
        assert!(task.cancel("asked to"));
        assert!(task.await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(3, "shield over"), (3, "over")]);
}

/// A shield that begins after the cancellation, in the same poll, holds. What follows it does not
/// run.
#[test]
fn f5_a_task_cancelled_before_its_shield_ends_after_it() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let own: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let (place, own_log) = (own.clone(), log.clone());
        let task = spawn(async move {
            assert!(place.borrow().as_ref().is_some_and(|task| task.cancel("by itself")));
            half_shielded(own_log).await
        });
        *own.borrow_mut() = Some(task);
        sleep(SECOND).await;
        let task = own.borrow_mut().take().unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(5, "shield over"), (5, "no wait yet"), (5, "dropped")]);
}

/// A cancellation that arrives during a shield takes effect when the shield is lifted. A shield
/// raised in a running scope counts too. The owner of a cancellation is determined when
/// it is delivered.
#[test]
fn f5_a_shield_can_be_lifted_and_raised_while_it_runs() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let (outer, shield) = (CancelScope::new(), CancelScope::new().shielded());
        cancel_after(1, &outer);
        let lifting = shield.clone();
        let lift = async move {
            sleep(3 * SECOND).await;
            lifting.set_shielded(false);
        };
        spawn(lift).detach();
        let inside = async {
            shield.run(pending::<()>()).await.ok();
            log.note("never");
        };
        assert!(outer.run(inside).await.is_err());
        log.note("lifted");

        let (outer, shield) = (CancelScope::new(), CancelScope::new());
        cancel_after(2, &outer);
        let raising = shield.clone();
        let raise = async move {
            sleep(SECOND).await;
            raising.set_shielded(true);
        };
        spawn(raise).detach();
        assert!(outer.run(shield.run(sleep(5 * SECOND))).await.is_ok());
        log.note("raised");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(3, "lifted"), (8, "raised")]);
}

/// Polls both futures each time. Completes when both are complete.
async fn both<A: Future, B: Future>(a: A, b: B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (false, false);
    poll_fn(|cx| {
        a_done = a_done || a.as_mut().poll(cx).is_ready();
        b_done = b_done || b.as_mut().poll(cx).is_ready();
        if a_done && b_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

#[test]
fn f5_a_scope_waits_for_all_its_shields() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let shield = |seconds| CancelScope::new().shielded().run(sleep(seconds * SECOND));
        let first = async {
            shield(2).await.unwrap();
            log.note("first");
            sleep(SECOND).await;
            log.note("the other shield holds the task");
            pending::<()>().await
        };
        let second = async {
            shield(4).await.unwrap();
            log.note("second");
            yield_now().await;
            log.note("never");
        };
        assert!(timeout(SECOND, both(first, second)).await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(2, "first"), (3, "the other shield holds the task"), (4, "second"), (4, "over")]);
}

#[test]
fn f5_dropping_a_shield_ends_it() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let scope = CancelScope::new();
        cancel_after(1, &scope);
        let inside = async {
            let shield = CancelScope::new().shielded();
            race(shield.run(pending::<()>()), async { Ok(sleep(3 * SECOND).await) }).await.ok();
            log.note("raced");
            yield_now().await;
            log.note("never");
        };
        assert!(scope.run(inside).await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(3, "raced"), (3, "over")]);
}

#[test]
fn f5_a_panic_inside_leaves_no_scope_behind() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let outer = CancelScope::new();
        let inside = async {
            let shield = CancelScope::new().shielded();
            let mut broken = Box::pin(shield.run(async { panic!("on purpose") }));
            let poll = poll_fn(|cx| {
                let poll = catch_unwind(AssertUnwindSafe(|| broken.as_mut().poll(cx)));
                Poll::Ready(poll.is_err())
            });
            assert!(poll.await);
            // The current region must be the outer one; otherwise this shield would protect
            // nothing.
            CancelScope::new().shielded().run(sleep(2 * SECOND)).await.unwrap();
            log.note("shielded");
            yield_now().await;
            log.note("never");
        };
        cancel_after(1, &outer);
        assert!(outer.run(inside).await.is_err());
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(2, "shielded")]);
}

/// A run belongs to the task that polls it now: its shield protects that task and no other.
#[test]
fn f5_a_shield_moves_with_its_future() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let shield = CancelScope::new().shielded();
        let own_log = log.clone();
        let shielded = async move {
            sleep(5 * SECOND).await;
            own_log.note("shielded");
        };
        let mut moved = Box::pin(CancelScope::new().run(shield.run(shielded)));
        let place = Rc::new(RefCell::new(None));
        let giving = place.clone();
        let scope = CancelScope::new();
        let giver: Task<()> = spawn(async move {
            let mut first = true;
            let give = poll_fn(|cx| {
                if first {
                    first = false;
                    assert!(moved.as_mut().poll(cx).is_pending());
                }
                Poll::Ready(())
            });
            scope.run(give).await.unwrap();
            *giving.borrow_mut() = Some(moved);
            pending().await
        });
        yield_now().await;
        let taken = place.borrow_mut().take().unwrap();
        let taker = spawn(taken);
        yield_now().await;
        assert!(giver.cancel("holds nothing") && taker.cancel("holds a shield"));
        assert!(giver.await.is_err());
        log.note("giver");
        assert!(taker.await.is_ok());
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(0, "giver"), (5, "shielded")]);
}

#[test]
fn f5_a_loop_inside_a_task_has_its_own_scopes() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let outer = CancelScope::new();
        let inside = async {
            let (mut nested, _) = simulated(SelectorKind::available()[0], ());
            // Left behind while shielded and not complete.
            let left = nested.spawn(CancelScope::new().shielded().run(pending::<()>()));
            nested.run_until_stalled().unwrap();
            outer.cancel("now");
            yield_now().await;
            log.note("never");
            drop((left, nested));
        };
        assert!(outer.run(inside).await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(0, "over")]);
}
