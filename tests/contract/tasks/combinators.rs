//! Combinators over several tasks: `gather`, `race`, `wait`, `as_completed` and `shield`
//! (docs/contract.md, F5 and F10).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use mainspring::{
    CancelScope, Error, EventLoop, JoinError, Result, Task, WaitUntil, as_completed, gather,
    gather_all, race, race_all, shield, sleep, spawn, timeout, wait, yield_now,
};

use crate::support::task_log::{Log, SECOND, loop_with_log};

/// Spawns a task that sleeps for `seconds` and returns that number.
fn taking(seconds: u32) -> Task<Result<u32>> {
    spawn(async move {
        sleep(seconds * SECOND).await;
        Ok(seconds)
    })
}

fn failing(seconds: u32, words: &'static str) -> Task<Result<u32>> {
    spawn(async move {
        sleep(seconds * SECOND).await;
        Err(Error::other(words))
    })
}

fn panicking(seconds: u32) -> Task<Result<u32>> {
    spawn(async move {
        sleep(seconds * SECOND).await;
        panic!("on purpose")
    })
}

/// Spawns a task that never ends and logs its drop. A shield delays its cancellation for `seconds`.
fn waiting(log: &Log, seconds: u32) -> Task<Result<u32>> {
    let end = log.end("dropped");
    spawn(async move {
        let _end = end;
        CancelScope::new().shielded().run(sleep(seconds * SECOND)).await?;
        pending().await
    })
}

/// Returns the list that the exception handler appends to.
fn reports(el: &mut EventLoop<()>) -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let noted = reports.clone();
    el.set_exception_handler(move |_, (), report| {
        noted.borrow_mut().push(report.error.to_string());
    });
    reports
}

#[test]
fn f10_gather_returns_results_in_the_order_of_the_tasks() {
    let (mut el, _) = loop_with_log();
    let run = async {
        assert_eq!(gather([taking(3), taking(1), taking(2)]).await.unwrap(), [3, 1, 2]);
        assert!(gather(Vec::<Task<Result<()>>>::new()).await.unwrap().is_empty());
        let done = taking(0);
        sleep(SECOND).await;
        assert_eq!(gather([done]).await.unwrap(), [0]);
    };
    el.run_until_complete(run).unwrap();
}

#[test]
fn f10_gather_returns_the_first_error_after_the_rest_has_ended() {
    let (mut el, log) = loop_with_log();
    let reports = reports(&mut el);
    let run = async {
        let tasks = [waiting(&log, 0), failing(2, "second"), failing(1, "first"), waiting(&log, 3)];
        let error = gather(tasks).await.unwrap_err();
        assert_eq!(error.to_string(), "first");
        log.note("first");
        let error = gather([waiting(&log, 0), panicking(1)]).await.unwrap_err();
        assert_eq!(error.to_string(), "panicked: on purpose");
        log.note("panicked");
        let cancelled = waiting(&log, 0);
        cancelled.cancel("not this one");
        let error = gather([cancelled]).await.unwrap_err();
        assert_eq!(error.to_string(), "cancelled: not this one");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[
        (1, "dropped"),
        (3, "dropped"),
        (3, "first"),
        (4, "dropped"),
        (4, "panicked"),
        (4, "dropped"),
    ]);
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

/// A panic after the first error is reported, because no caller awaits it.
#[test]
fn f10_a_panic_after_the_error_of_a_gather_is_reported() {
    let (mut el, _) = loop_with_log();
    let reports = reports(&mut el);
    let run = async {
        let late = spawn(async {
            let shield = CancelScope::new().shielded();
            let late = async {
                sleep(2 * SECOND).await;
                panic!("late")
            };
            shield.run(late).await?
        });
        assert!(gather([late, failing(1, "first")]).await.is_err());
        yield_now().await;
    };
    el.run_until_complete(run).unwrap();
    assert_eq!(*reports.borrow(), ["panicked: late"]);
}

#[test]
fn f10_dropping_a_gather_or_a_race_cancels_its_tasks() {
    let (mut el, log) = loop_with_log();
    let run = async {
        assert!(timeout(SECOND, gather([waiting(&log, 0)])).await.is_err());
        yield_now().await;
        log.note("gather");
        assert!(timeout(SECOND, gather_all([waiting(&log, 0), taking(1)])).await.is_err());
        yield_now().await;
        log.note("all");
        assert!(timeout(SECOND, race_all([waiting(&log, 0)])).await.is_err());
        yield_now().await;
        log.note("race");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[
        (1, "dropped"),
        (1, "gather"),
        (2, "dropped"),
        (2, "all"),
        (3, "dropped"),
        (3, "race"),
    ]);
}

#[test]
fn f10_gather_all_returns_every_result() {
    let (mut el, _) = loop_with_log();
    let run = async {
        let cancelled = taking(9);
        cancelled.cancel("not needed");
        let tasks = [panicking(2), taking(3), cancelled, failing(1, "failed")];
        let outcomes = gather_all(tasks).await;
        assert!(
            matches!(&outcomes[0], Err(JoinError::Panicked(it)) if it.message() == "on purpose")
        );
        assert!(matches!(&outcomes[1], Ok(Ok(3))));
        assert!(matches!(&outcomes[2], Err(JoinError::Cancelled(_))));
        assert!(matches!(&outcomes[3], Ok(Err(error)) if error.to_string() == "failed"));
        assert_eq!(outcomes.len(), 4);
    };
    el.run_until_complete(run).unwrap();
}

#[test]
fn f10_as_completed_returns_tasks_in_the_order_of_their_ends() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let tasks = [taking(3), taking(1), failing(2, "failed"), taking(1)];
        let mut done = as_completed(tasks);
        let mut order = Vec::new();
        // A wait that times out loses nothing.
        assert!(timeout(SECOND / 2, done.next()).await.is_err());
        while let Some((i, outcome)) = done.next().await {
            order.push((i, outcome.unwrap().ok()));
        }
        assert_eq!(order, [(1, Some(1)), (3, Some(1)), (2, None), (0, Some(3))]);
        assert!(done.next().await.is_none());
        drop(as_completed([taking(5)]));
        log.note("detached");
    };
    el.run_until_complete(run).unwrap();
    el.run().unwrap();
    log.note("went on");
    log.check(&[(3, "detached"), (8, "went on")]);
}

/// All done-callbacks run before the output is returned.
#[test]
fn f10_as_completed_returns_after_the_done_callbacks() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let task = taking(1);
        let seen = log.clone();
        let mut done = {
            task.add_done_callback(move |outcome| {
                assert!(outcome.is_ok());
                seen.note("callback");
            });
            as_completed([task])
        };
        done.next().await.unwrap().1.unwrap().unwrap();
        log.note("given");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "callback"), (1, "given")]);
}

#[test]
fn f10_tasks_of_a_dropped_loop_are_done() {
    let (mut el, _) = loop_with_log();
    let (gone, _) = loop_with_log();
    let tasks = [(); 3].map(|()| gone.spawn(pending::<Result<()>>()));
    let mut watched = as_completed(tasks);
    drop(gone);
    let (again, _) = loop_with_log();
    let late = again.spawn(pending::<Result<()>>());
    drop(again);
    let run = async {
        let mut cancelled = 0;
        while let Some((_, outcome)) = watched.next().await {
            assert!(outcome.unwrap_err().is_cancelled());
            cancelled += 1;
        }
        assert_eq!(cancelled, 3);
        let (done, pending) = wait([late], WaitUntil::All).await;
        assert_eq!((done.len(), pending.len()), (1, 0));
        assert!(gather(done).await.unwrap_err().to_string().contains("closed"));
    };
    el.run_until_complete(run).unwrap();
}

#[test]
fn f10_race_drops_the_loser_and_prefers_the_first() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let loser = async {
            let _end = log.end("loser");
            sleep(2 * SECOND).await;
            "loser"
        };
        let winner = async {
            sleep(SECOND).await;
            "winner"
        };
        assert_eq!(race(loser, winner).await, "winner");
        log.note("over");
        assert_eq!(race(async { 1 }, async { 2 }).await, 1);
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "loser"), (1, "over")]);
}

#[test]
fn f10_race_all_returns_when_the_losers_have_ended() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let tasks = [waiting(&log, 4), failing(1, "failed"), waiting(&log, 0), taking(2)];
        let first = race_all(tasks).await.unwrap();
        assert_eq!(first.unwrap_err().to_string(), "failed");
        log.note("over");
        assert!(race_all([panicking(1), taking(2)]).await.unwrap_err().is_panic());
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "dropped"), (4, "dropped"), (4, "over")]);
}

#[test]
#[should_panic = "`race_all` needs at least one task"]
fn f10_race_all_of_nothing_panics() {
    let (mut el, _) = loop_with_log();
    let _ = el.run_until_complete(race_all(Vec::<Task<()>>::new()));
}

#[test]
fn f10_wait_separates_done_and_pending_tasks() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let counts = async |when| {
            let tasks = [taking(4), failing(3, "failed"), taking(1), taking(1), taking(2)];
            let (done, pending) = wait(tasks, when).await;
            let mut results = Vec::new();
            for task in done {
                results.push(task.await.unwrap().ok());
            }
            for task in &pending {
                task.cancel("enough");
            }
            (results, pending.len())
        };
        assert_eq!(counts(WaitUntil::FirstCompleted).await, (vec![Some(1), Some(1)], 3));
        log.note("first completed");
        let done = vec![None, Some(1), Some(1), Some(2)];
        assert_eq!(counts(WaitUntil::FirstError).await, (done, 1));
        log.note("first error");
        let done = vec![Some(4), None, Some(1), Some(1), Some(2)];
        assert_eq!(counts(WaitUntil::All).await, (done, 0));
        log.note("all");
        let (done, pending) = wait(Vec::<Task<Result<()>>>::new(), WaitUntil::FirstCompleted).await;
        assert!(done.is_empty() && pending.is_empty());
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "first completed"), (4, "first error"), (8, "all")]);
}

#[test]
fn f10_wait_counts_panics_and_cancellations_as_errors() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let (done, pending) = wait([taking(2), panicking(1)], WaitUntil::FirstError).await;
        assert_eq!((done.len(), pending.len()), (1, 1));
        assert!(gather(done).await.is_err());
        let cancelled = taking(5);
        cancelled.cancel("at once");
        let (done, _pending) = wait([taking(2), cancelled], WaitUntil::FirstError).await;
        assert!(gather_all(done).await.remove(0).unwrap_err().is_cancelled());
        log.note("over");
        // If no task fails, `wait` returns when all are done.
        let (done, pending) = wait([taking(2), taking(1)], WaitUntil::FirstError).await;
        assert_eq!((done.len(), pending.len()), (2, 0));
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "over")]);
}

/// Classifying an output leaves it to done-callbacks and to the joiner.
#[test]
fn f10_wait_leaves_the_output_to_callbacks_and_joiner() {
    let (mut el, _) = loop_with_log();
    let run = async {
        let seen = Rc::new(Cell::new(0));
        let task = taking(1);
        for _ in 0..2 {
            let seen = seen.clone();
            task.add_done_callback(move |outcome| {
                assert!(matches!(outcome, Ok(Ok(1))));
                seen.set(seen.get() + 1);
            });
        }
        let (mut done, _) = wait([task], WaitUntil::FirstError).await;
        assert_eq!(done.remove(0).await.unwrap().unwrap(), 1);
        assert_eq!(seen.get(), 2);
    };
    el.run_until_complete(run).unwrap();
}

#[test]
fn f5_a_shielded_future_goes_on_without_its_waiter() {
    let (mut el, log) = loop_with_log();
    let reports = reports(&mut el);
    let run = async {
        let (done, failed) = (log.clone(), log.clone());
        let fine = async move {
            sleep(2 * SECOND).await;
            done.note("done");
        };
        assert!(timeout(SECOND, shield(fine)).await.is_err());
        let broken = async move {
            sleep(3 * SECOND).await;
            failed.note("failed");
            Err::<(), _>(Error::other("after the outcome"))
        };
        let scope = CancelScope::new().timeout(SECOND);
        assert!(scope.run(shield(broken)).await.is_err());
        log.note("left");
        assert_eq!(shield(async { 7 }).await.unwrap(), 7);
    };
    el.run_until_complete(run).unwrap();
    el.run().unwrap();
    log.check(&[(2, "done"), (2, "left"), (4, "failed")]);
    assert_eq!(*reports.borrow(), ["after the outcome"]);
}
