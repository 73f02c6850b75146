//! Graceful shutdown: drain, then cancel (docs/contract.md, F11).

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use mainspring::{CancelScope, Shutdown, ShutdownEnding, race, sleep, spawn, yield_now};

use crate::support::task_log::{SECOND, loop_with_log};

#[test]
fn f11_a_shutdown_without_work_ends_at_once() {
    let (mut el, log) = loop_with_log();
    let shutdown = Shutdown::new();
    shutdown.begin(10 * SECOND);
    assert_eq!(el.run_until_complete(shutdown.finish()).unwrap(), ShutdownEnding::Drained);
    log.note("over");
    log.check(&[(0, "over")]);
}

#[test]
fn f11_work_that_ends_during_the_drain_is_not_cancelled() {
    let (mut el, log) = loop_with_log();
    let shutdown = Shutdown::new();
    for seconds in [1, 7] {
        let (log, work) = (log.clone(), sleep(seconds * SECOND));
        let tracked = shutdown.track(async move {
            work.await;
            log.note("done");
        });
        el.spawn(tracked).detach();
    }
    let guard = shutdown.guard();
    el.call_later(9 * SECOND, |_, ()| drop(guard));
    let beginning = shutdown.clone();
    el.call_later(3 * SECOND, move |_, ()| {
        assert!(!beginning.is_started());
        assert_eq!(beginning.remaining(), 2);
        beginning.begin(7 * SECOND);
    });
    assert_eq!(el.run_until_complete(shutdown.finish()).unwrap(), ShutdownEnding::Drained);
    log.note("over");
    log.check(&[(1, "done"), (7, "done"), (9, "over")]);
}

#[test]
fn f11_work_left_after_the_drain_is_cancelled_with_a_reason() {
    let (mut el, log) = loop_with_log();
    let shutdown = Shutdown::new();
    for seconds in [0, 3] {
        let own_log = log.clone();
        let tracked = shutdown.track(async move {
            let _end = own_log.end("dropped");
            // The second task needs time to end, and gets it.
            CancelScope::new().shielded().run(sleep(seconds * SECOND)).await.ok();
            pending::<()>().await
        });
        let own_log = log.clone();
        el.spawn(async move {
            let cancelled = tracked.await.unwrap_err();
            assert_eq!(cancelled.reason().to_string(), "the shutdown's time to drain is over");
            own_log.note("cancelled");
        })
        .detach();
    }
    let guard = shutdown.guard();
    let not_polled = shutdown.track(pending::<()>());
    shutdown.begin(2 * SECOND);
    el.call_later(2 * SECOND, |_, ()| drop(not_polled));
    assert_eq!(el.run_until_complete(shutdown.finish()).unwrap(), ShutdownEnding::Cancelled(3));
    log.note("over");
    drop(guard);
    assert_eq!(shutdown.remaining(), 0);
    log.check(&[(2, "dropped"), (2, "cancelled"), (3, "dropped"), (3, "cancelled"), (3, "over")]);
}

/// A second signal ends the drain at once.
#[test]
fn f11_a_second_begin_sets_a_new_drain_time() {
    let (mut el, log) = loop_with_log();
    let shutdown = Shutdown::new();
    el.spawn(shutdown.track(pending::<()>())).detach();
    for (second, drain) in [(1, 60 * SECOND), (2, Duration::ZERO)] {
        let shutdown = shutdown.clone();
        el.call_later(second * SECOND, move |_, ()| shutdown.begin(drain));
    }
    assert_eq!(el.run_until_complete(shutdown.finish()).unwrap(), ShutdownEnding::Cancelled(1));
    log.note("over");
    log.check(&[(2, "over")]);
}

#[test]
fn f11_until_started_ends_when_the_shutdown_begins() {
    let (mut el, log) = loop_with_log();
    let shutdown = Shutdown::new();
    let run = async {
        let (beginning, seen) = (shutdown.clone(), log.clone());
        let accepting = spawn(async move {
            // Work that is always ready does not hide the start of the shutdown.
            while beginning.until_started(async {}).await.is_some() {
                yield_now().await;
            }
            assert!(beginning.until_started(pending::<()>()).await.is_none());
            seen.note("stopped");
        });
        yield_now().await;
        let watching = spawn(shutdown.started());
        sleep(SECOND).await;
        assert!(!watching.is_finished());
        shutdown.begin(SECOND);
        accepting.await.unwrap();
        watching.await.unwrap();
        assert!(shutdown.is_started());
        assert_eq!(shutdown.finish().await, ShutdownEnding::Drained);
    };
    let ticking = async {
        // While a task is ready, nothing advances the simulated clock.
        loop {
            log.1.advance(SECOND / 4);
            yield_now().await;
        }
    };
    el.run_until_complete(race(run, ticking)).unwrap();
    log.check(&[(1, "stopped")]);
}

#[test]
fn f11_dropped_waits_leave_nothing_behind() {
    let (mut el, _) = loop_with_log();
    let (shutdown, alive) = (Shutdown::new(), Rc::new(()));
    let run = async {
        for _ in 0..3 {
            assert!(race(async { Some(shutdown.started().await) }, async { None }).await.is_none());
        }
        let held = alive.clone();
        let tracked = shutdown.track(async move {
            let _held = held;
            pending::<()>().await
        });
        assert_eq!(shutdown.remaining(), 1);
        drop(tracked);
        assert_eq!((shutdown.remaining(), Rc::strong_count(&alive)), (0, 1));
        let task = spawn(shutdown.track(pending::<()>()));
        yield_now().await;
        task.cancel("by hand");
        assert!(task.await.is_err());
        shutdown.begin(SECOND);
        // The task was cancelled, but not by the shutdown.
        assert_eq!(shutdown.finish().await, ShutdownEnding::Drained);
    };
    el.run_until_complete(run).unwrap();
}
