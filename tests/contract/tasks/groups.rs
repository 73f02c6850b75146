//! Task groups: a group ends after all its children and returns all errors (docs/contract.md, F6).

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mainspring::{
    CancelScope, Error, GroupError, GroupTask, JoinError, Result, TaskGroup, race, sleep, timeout,
    yield_now,
};

use crate::support::task_log::{Log, SECOND, loop_with_log};

/// Never ends, and logs its drop.
async fn waiting(log: Log, name: &'static str) -> Result<()> {
    let _end = log.end(name);
    pending().await
}

/// Fails after `seconds`.
async fn failing(seconds: u32, words: &'static str) -> Result<()> {
    sleep(seconds * SECOND).await;
    Err(Error::other(words))
}

/// Cannot be cancelled for `seconds`, and logs its drop.
async fn shielded_child(log: Log, seconds: u32, name: &'static str) -> Result<()> {
    let _end = log.end(name);
    CancelScope::new().shielded().run(sleep(seconds * SECOND)).await?;
    pending().await
}

fn words<T>(outcome: Result<T, GroupError>) -> Vec<String> {
    let error = outcome.err().expect("a failure");
    error.errors().iter().map(ToString::to_string).collect()
}

#[test]
fn f6_an_empty_group_ends_at_once() {
    let (mut el, log) = loop_with_log();
    let run = async {
        assert_eq!(TaskGroup::run(async |_| Ok(7)).await.unwrap(), 7);
        let alone = TaskGroup::run(async |_| Err::<(), _>(Error::other("alone"))).await;
        assert_eq!(words(alone), ["alone"]);
        log.note("over");
    };
    assert_eq!(el.run_until_complete(run).unwrap(), ());
    log.check(&[(0, "over")]);
}

#[test]
fn f6_a_group_waits_for_its_children_and_their_siblings() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        let (siblings, own_log) = (group.clone(), log.clone());
        group.spawn(async move {
            sleep(2 * SECOND).await;
            let _end = own_log.end("child");
            let own_log = own_log.clone();
            siblings.spawn(async move {
                let _end = own_log.end("sibling");
                sleep(2 * SECOND).await;
                Ok(())
            })?;
            sleep(SECOND).await;
            assert_eq!(siblings.len(), 2);
            Ok(())
        })?;
        log.note("body");
        Ok(group.clone())
    });
    let group = el.run_until_complete(run).unwrap().unwrap();
    log.check(&[(0, "body"), (3, "child"), (4, "sibling")]);
    assert!(group.is_empty());
}

#[test]
fn f6_results_come_in_the_order_of_the_awaits() {
    let (mut el, _) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        let child = |seconds| async move {
            sleep(seconds * SECOND).await;
            Ok(seconds)
        };
        let children: Vec<GroupTask<u32>> =
            [3, 1, 2].into_iter().map(|n| group.spawn(child(n))).collect::<Result<_>>()?;
        let mut results = Vec::new();
        for child in children {
            results.push(child.named("counted").await?);
        }
        Ok(results)
    });
    assert_eq!(el.run_until_complete(run).unwrap().unwrap(), [3, 1, 2]);
}

/// One child fails in the tick in which it is cancelled. Another has a shield and fails later.
#[test]
fn f6_the_first_failure_cancels_the_rest_and_every_error_is_kept() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        let first = group.spawn(failing(1, "first"))?;
        group.spawn(failing(1, "in the same tick"))?;
        let shield = CancelScope::new().shielded();
        group.spawn(async move { shield.run(failing(2, "second")).await? })?;
        group.spawn(waiting(log.clone(), "child"))?;
        let _end = log.end("body");
        first.await?;
        log.note("the body went on");
        Ok(())
    });
    let error = el.run_until_complete(run).unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a task group failed, with 3 errors: first; in the same tick; second"
    );
    assert!(error.source().is_none(), "the message contains all causes");
    assert_eq!(Error::from(error).chain().matches("first").count(), 1);
    log.check(&[(1, "child"), (1, "body")]);
}

#[test]
fn f6_a_panic_of_a_child_or_of_its_drop_is_an_error() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        group.spawn(waiting(log.clone(), "child"))?;
        group.spawn(async {
            let _bomb = Bomb;
            pending::<Result<()>>().await
        })?;
        yield_now().await;
        group.spawn(async { if true { panic!("polled") } else { Ok(()) } })?;
        pending::<Result<()>>().await
    });
    let outcome = el.run_until_complete(run).unwrap();
    assert_eq!(words(outcome), ["panicked: polled", "panicked: dropped"]);
    log.check(&[(0, "child")]);
}

#[test]
fn f6_a_failed_body_waits_for_its_children() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        group.spawn(waiting(log.clone(), "child"))?;
        group.spawn(shielded_child(log.clone(), 3, "shielded"))?;
        yield_now().await;
        Err::<(), _>(Error::other("body"))
    });
    let outcome = el.run_until_complete(run).unwrap();
    log.note("over");
    assert_eq!(words(outcome), ["body"]);
    log.check(&[(0, "child"), (3, "shielded"), (3, "over")]);
}

#[test]
fn f6_a_panic_of_the_body_propagates_after_the_children() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        group.spawn(waiting(log.clone(), "child"))?;
        group.spawn(shielded_child(log.clone(), 3, "shielded"))?;
        yield_now().await;
        if true { panic!("body") } else { Ok(()) }
    });
    let unwound = catch_unwind(AssertUnwindSafe(|| el.run_until_complete(run)));
    assert_eq!(*unwound.err().unwrap().downcast::<&str>().unwrap(), "body");
    log.check(&[(0, "child"), (3, "shielded")]);
}

/// The body is dropped, because a child failed or from outside, and that drop panics. The panic
/// propagates after the children have ended.
#[test]
fn f6_a_panicking_drop_of_the_body_waits_for_the_children() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    for (fails, limit) in [(1, 9), (9, 1)] {
        let (mut el, log) = loop_with_log();
        let run = TaskGroup::run(async |group| {
            group.spawn(shielded_child(log.clone(), 3, "shielded"))?;
            group.spawn(failing(fails, "first"))?;
            let _bomb = Bomb;
            pending::<Result<()>>().await
        });
        let run = async { timeout(limit * SECOND, run).await };
        let unwound = catch_unwind(AssertUnwindSafe(|| el.run_until_complete(run)));
        assert_eq!(*unwound.err().unwrap().downcast::<&str>().unwrap(), "dropped");
        log.check(&[(3, "shielded")]);
    }
}

#[test]
fn f6_an_inner_group_passes_its_failure_to_the_outer_one() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |outer| {
        outer.spawn(waiting(log.clone(), "outer child"))?;
        let own_log = log.clone();
        outer.spawn(async move {
            let _end = own_log.end("nest");
            TaskGroup::run(async |inner| {
                inner.spawn(waiting(own_log.clone(), "inner child"))?;
                inner.spawn(failing(1, "inner"))?;
                Ok(())
            })
            .await?;
            Ok(())
        })?;
        Ok(())
    });
    let outcome = el.run_until_complete(run).unwrap();
    assert_eq!(words(outcome), ["a task group failed: inner"]);
    log.check(&[(1, "inner child"), (1, "nest"), (1, "outer child")]);
}

#[test]
fn f6_spawning_in_a_group_that_ends_is_an_error() {
    let (mut el, _) = loop_with_log();
    let dropped = Rc::new(());
    let (held, refused) = (dropped.clone(), Rc::new(RefCell::new(Vec::new())));
    let (kept, noted) = (Rc::new(RefCell::new(None)), refused.clone());
    let run = TaskGroup::run(async |group| {
        *kept.borrow_mut() = Some(group.clone());
        let siblings = group.clone();
        group.spawn(async move {
            let again = || {
                let held = held.clone();
                let child = siblings.spawn(async move { Ok(drop(held)) });
                noted.borrow_mut().push(child.unwrap_err().to_string());
            };
            CancelScope::new().shielded().run(sleep(SECOND)).await?;
            again();
            Ok(again())
        })?;
        yield_now().await;
        assert!(group.cancel("enough"));
        assert!(!group.cancel("again"));
        Ok(())
    });
    let outcome = el.run_until_complete(run).unwrap();
    assert_eq!(words(outcome), ["cancelled: enough"]);
    let group: TaskGroup = kept.take().unwrap();
    let nowhere = group.spawn(async { Ok(()) });
    assert!(matches!(nowhere, Err(Error::NoLoop { .. })), "{nowhere:?}");
    let late = el.run_until_complete(async { group.spawn(async { Ok(()) }).map(drop) });
    assert!(matches!(late.unwrap(), Err(Error::GroupEnding)));
    assert_eq!(*refused.borrow(), ["cannot spawn: the task group is ending"; 2]);
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[test]
fn f6_a_child_that_never_waits_may_cancel_the_group() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        group.spawn(waiting(log.clone(), "waits"))?;
        let siblings = group.clone();
        group.spawn(async move { Ok(assert!(siblings.cancel("by a child"))) })?;
        group.spawn(waiting(log.clone(), "has not begun"))?;
        let _end = log.end("body");
        pending::<Result<()>>().await
    });
    assert_eq!(words(el.run_until_complete(run).unwrap()), ["cancelled: by a child"]);
    log.check(&[(0, "waits"), (0, "body")]);
}

#[test]
fn f6_a_child_cancelled_alone_is_not_an_error() {
    let (mut el, log) = loop_with_log();
    let run = TaskGroup::run(async |group| {
        let child = group.spawn(waiting(log.clone(), "child"))?;
        yield_now().await;
        assert!(child.cancel("only this"));
        let error = child.await.unwrap_err();
        assert!(matches!(error, JoinError::Cancelled(reason) if reason.to_string() == "only this"));
        Ok(group.len())
    });
    assert_eq!(el.run_until_complete(run).unwrap().unwrap(), 0);
}

/// A dropped group cannot wait. Its children are cancelled in the next tick, and their failures go
/// to the exception handler.
#[test]
fn f6_dropping_a_group_cancels_its_children() {
    let (mut el, log) = loop_with_log();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let noted = reports.clone();
    el.set_exception_handler(move |_, (), report| {
        noted.borrow_mut().push(report.error.to_string());
    });
    let left = Rc::new(Cell::new(None));
    let place = left.clone();
    let run = async {
        let group = TaskGroup::run(async |group| {
            group.spawn(waiting(log.clone(), "child"))?;
            group.spawn(async {
                let shield = CancelScope::new().shielded();
                shield.run(failing(3, "late")).await?
            })?;
            place.set(Some(group.clone()));
            pending::<Result<()>>().await
        });
        let out = race(async { group.await.err().map(drop) }, async {
            yield_now().await;
            None
        });
        assert!(out.await.is_none());
        log.note("dropped");
        yield_now().await;
        log.note("a tick later");
        sleep(4 * SECOND).await;
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(0, "dropped"), (0, "child"), (0, "a tick later")]);
    assert_eq!(*reports.borrow(), ["late"]);
    assert!(left.take().unwrap().is_empty());
}

/// The group has failed, and is dropped while it waits for the other children.
#[test]
fn f6_errors_of_a_dropped_group_are_reported() {
    let (mut el, log) = loop_with_log();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let noted = reports.clone();
    el.set_exception_handler(move |_, (), report| {
        noted.borrow_mut().push(report.error.to_string());
    });
    let run = async {
        let group = TaskGroup::run(async |group| {
            group.spawn(shielded_child(log.clone(), 3, "shielded"))?;
            group.spawn(failing(1, "after the outcome"))?;
            Ok(())
        });
        race(async { drop(group.await) }, sleep(2 * SECOND)).await;
        sleep(2 * SECOND).await;
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(3, "shielded")]);
    assert_eq!(*reports.borrow(), ["after the outcome"]);
}

#[test]
fn f6_no_child_of_ten_thousand_outlives_its_group() {
    let (mut el, _) = loop_with_log();
    let alive = Rc::new(());
    let held = alive.clone();
    let run = TaskGroup::run(async |group| {
        for n in 0..10_000_u32 {
            let held = held.clone();
            group.spawn(async move {
                let _held = held;
                sleep(n % 7 * SECOND).await;
                if n == 5_000 { Err(Error::other("one")) } else { Ok(()) }
            })?;
        }
        drop(held);
        Ok(())
    });
    assert_eq!(words(el.run_until_complete(run).unwrap()), ["one"]);
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn f6_a_callback_spawns_into_a_group() {
    let (mut el, log) = loop_with_log();
    let handle = el.handle().clone();
    let run = TaskGroup::run(async |group| {
        let (group, own_log) = (group.clone(), log.clone());
        group.clone().spawn(async move {
            let spawned = handle.with(move |_, ()| {
                group.spawn(async move {
                    sleep(SECOND).await;
                    Ok(own_log.note("spawned by a callback"))
                })
            });
            spawned.await??;
            Ok(())
        })?;
        Ok(())
    });
    el.run_until_complete(run).unwrap().unwrap();
    log.check(&[(1, "spawned by a callback")]);
}
