//! Timeouts, sleeps and intervals of tasks (docs/contract.md, F5, T1 and T5).

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{FutureExt, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use mainspring::testing::SimClock;
use mainspring::{
    Error, EventLoop, LoopHandle, SelectorKind, Task, current_loop, interval, promise, sleep,
    sleep_until, spawn, timeout, timeout_at, yield_now,
};

use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

fn any_loop() -> (EventLoop<()>, SimClock) {
    simulated(SelectorKind::Poll, ())
}

/// Polls with a no-op waker. Returns true if the future is pending.
fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn f5_a_result_in_the_tick_of_the_timeout_is_delivered() {
    type Wait = Pin<Box<dyn Future<Output = ()>>>;
    // Futures that become ready one second from now, in the tick in which the limit is over.
    let waits: [fn(&EventLoop<()>) -> Wait; 6] = [
        |_| Box::pin(async { sleep(SECOND).await }),
        |el| {
            let (promise, promised) = promise();
            el.call_later(SECOND, |_, ()| promise.set_result(()));
            Box::pin(async { promised.await.unwrap() })
        },
        |el| {
            // Registered after the limit, so that it runs after it.
            let ((promise, promised), at) = (promise(), el.now() + SECOND);
            let set = move |el: &LoopHandle, (): &mut ()| {
                el.call_at(at, |_, ()| promise.set_result(()));
            };
            el.call_soon(|el, ()| {
                el.call_soon(|el, ()| {
                    el.call_soon(set);
                });
            });
            Box::pin(async { promised.await.unwrap() })
        },
        |el| {
            let task = el.spawn(async { sleep(SECOND).await });
            Box::pin(async { task.await.unwrap() })
        },
        |_| Box::pin(async { drop(join_all([async { sleep(SECOND).await }]).await) }),
        |_| {
            // Queued after the limit: it is the last of 40 futures, which have their own wakers.
            let many = (0..40).map(|_| async { sleep(SECOND).await });
            Box::pin(async { drop(join_all(many.collect::<Vec<_>>()).await) })
        },
    ];
    on_every_selector(|kind| {
        for (i, wait) in waits.into_iter().enumerate() {
            for alone in [false, true] {
                let (mut el, clock) = simulated(kind, ());
                let future = wait(&el);
                let limited = timeout(SECOND, future);
                let output = match alone {
                    true => el.run_until_complete(limited),
                    false => el.run_until_complete(async { spawn(limited).await.unwrap() }),
                };
                assert!(output.unwrap().is_ok(), "wait {i}, alone: {alone}");
                assert_eq!(clock.elapsed(), SECOND);
            }
        }
    });
}

#[test]
fn f5_a_result_a_nanosecond_late_is_not_delivered() {
    let (mut el, clock) = any_loop();
    let late = SECOND + Duration::from_nanos(1);
    let dropped = Rc::new(());
    let inside = dropped.clone();
    el.run_until_complete(async {
        let limited = timeout(SECOND, async move {
            let _inside = inside;
            sleep(late).await;
        });
        let error = limited.await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(SECOND)));
        let at = current_loop().unwrap().now() + SECOND;
        assert!(timeout_at(at, sleep_until(at)).await.is_ok());
        assert!(timeout_at(at, pending::<()>()).await.is_err(), "the deadline has passed");
        assert!(timeout_at(at, ready(())).await.is_ok());
        assert!(timeout(Duration::ZERO, ready(())).await.is_ok());
        assert!(timeout(Duration::MAX, sleep(SECOND)).await.is_ok());
    })
    .unwrap();
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!(clock.elapsed(), 3 * SECOND);
}

#[test]
fn f5_timeouts_nest() {
    let (mut el, clock) = any_loop();
    el.run_until_complete(async {
        let inner = timeout(SECOND, timeout(2 * SECOND, pending::<()>())).await;
        assert!(matches!(inner, Err(Error::TimedOut(SECOND))));
        let outer = timeout(2 * SECOND, timeout(SECOND, pending::<()>())).await;
        assert!(matches!(outer, Ok(Err(Error::TimedOut(SECOND)))));
        let both = timeout(SECOND, timeout(SECOND, pending::<()>())).await;
        assert!(
            matches!(both, Err(Error::TimedOut(SECOND))),
            "the outermost timeout that is due ends"
        );
        let result = timeout(SECOND, timeout(SECOND, sleep(SECOND))).await;
        assert!(matches!(result, Ok(Ok(()))));
    })
    .unwrap();
    assert_eq!(clock.elapsed(), 4 * SECOND);
}

/// A task is cancelled in the tick in which a limit inside it is over, before and after the limit.
#[test]
fn f5_a_cancellation_from_outside_is_not_swallowed() {
    for cancels_first in [false, true] {
        let (mut el, _) = any_loop();
        let outcome = Rc::new(Cell::new("none"));
        let (inside, spawner) = (outcome.clone(), el.handle().clone());
        let spawn = move || -> Task<()> {
            spawner.spawn(async move {
                let limited = timeout(SECOND, pending::<()>()).await;
                inside.set(if limited.is_err() { "timed out" } else { "done" });
                pending::<()>().await;
            })
        };
        let slot = Rc::new(RefCell::new(None::<Task<()>>));
        let cancel = || {
            let slot = slot.clone();
            move |_: &mainspring::LoopHandle, (): &mut ()| {
                assert!(slot.borrow().as_ref().unwrap().cancel("outside"));
            }
        };
        if cancels_first {
            el.call_later(SECOND, cancel());
        }
        *slot.borrow_mut() = Some(spawn());
        el.tick(None).unwrap();
        if !cancels_first {
            el.call_later(SECOND, cancel());
        }
        el.run_until_complete(sleep(2 * SECOND)).unwrap();
        let task = slot.borrow_mut().take().unwrap();
        let output = el.run_until_complete(task).unwrap();
        assert_eq!(output.unwrap_err().to_string(), "the task was cancelled: outside");
        assert_eq!(outcome.get(), "none", "first: {cancels_first}");
    }
}

#[test]
fn t1_a_sleep_is_never_early_and_counts_from_the_call() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let inside = clock.clone();
        el.run_until_complete(async move {
            let one = sleep(SECOND);
            inside.advance(SECOND / 2); // The sleep counts from the call, not from the first poll.
            assert!(!one.is_elapsed());
            one.await;
            assert_eq!(inside.elapsed(), SECOND);
            sleep(Duration::from_nanos(1)).await;
            assert_eq!(inside.elapsed(), SECOND + Duration::from_nanos(1));
            let now = current_loop().unwrap().now();
            sleep_until(now + SECOND).await;
            sleep_until(now).await; // A past deadline takes a tick, but no time.
            assert_eq!(current_loop().unwrap().now(), now + SECOND);
        })
        .unwrap();
        let late = sleep(SECOND); // Outside a loop it counts from the first poll.
        clock.advance(SECOND);
        let before = clock.elapsed();
        el.run_until_complete(late).unwrap();
        assert_eq!(clock.elapsed(), before + SECOND);
    });
}

#[test]
fn t2_equal_sleeps_end_in_order() {
    let (mut el, _) = any_loop();
    let seen = Rc::new(RefCell::new(Vec::new()));
    for i in 0..10 {
        let seen = seen.clone();
        el.spawn(async move {
            sleep(SECOND).await;
            seen.borrow_mut().push(i);
        })
        .detach();
    }
    el.run().unwrap();
    assert_eq!(*seen.borrow(), (0..10).collect::<Vec<_>>());
}

#[test]
fn t4_an_endless_sleep_neither_ends_nor_spins() {
    let (mut el, clock) = any_loop();
    let endless = el.spawn(sleep(Duration::MAX));
    assert!(el.set_background(endless.handle()));
    el.run_until_complete(sleep(SECOND)).unwrap();
    assert_eq!(clock.elapsed(), SECOND);
    assert_eq!(el.run_until_stalled().unwrap(), 0);
    assert!(!endless.is_finished());
}

#[test]
fn t1_a_sleep_can_be_reset() {
    let (mut el, clock) = any_loop();
    let time = clock.clone();
    el.run_until_complete(async move {
        let now = || current_loop().unwrap().now();
        let mut sleep = sleep(10 * SECOND);
        sleep.reset(now() + SECOND); // Before its first poll,
        (&mut sleep).await;
        assert!(sleep.is_elapsed());
        assert_eq!(time.elapsed(), SECOND);
        sleep.reset(now() + SECOND); // when it is over,
        assert!(!sleep.is_elapsed());
        (&mut sleep).await;
        assert_eq!(time.elapsed(), 2 * SECOND);
        sleep.reset(now() + 10 * SECOND);
        assert!(is_pending(&mut sleep));
        sleep.reset(now() + SECOND); // while it waits, to an earlier time,
        (&mut sleep).await;
        assert_eq!(time.elapsed(), 3 * SECOND);
        sleep.reset(now() + SECOND);
        let (resets, waits) = (Rc::new(RefCell::new(sleep)), now() + 3 * SECOND);
        let later = resets.clone();
        let resetting = spawn(async move {
            yield_now().await;
            later.borrow_mut().reset(waits); // or to a later one, by another task.
        });
        poll_fn(|cx| Pin::new(&mut *resets.borrow_mut()).poll(cx)).await;
        resetting.await.unwrap();
        assert_eq!(time.elapsed(), 6 * SECOND);
    })
    .unwrap();
}

/// A sleep that is dropped early leaves no timer behind (Q10).
#[test]
fn t6_a_dropped_sleep_leaves_no_timer() {
    let (mut el, clock) = any_loop();
    el.run_until_complete(async {
        let mut sleeps: Vec<_> = (1..=1000).map(|i| sleep(i * SECOND)).collect();
        assert!(sleeps.iter_mut().all(is_pending));
        drop(sleeps);
        let task = spawn(async { drop(timeout(SECOND, sleep(SECOND)).await) });
        yield_now().await;
        task.cancel("enough");
        assert!(timeout(SECOND, ready(())).await.is_ok());
        futures::select_biased! {
            () = ready(()).fuse() => {}
            () = sleep(SECOND).fuse() => unreachable!(),
        }
    })
    .unwrap();
    el.run().unwrap();
    assert_eq!(el.next_deadline(), None);
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

#[test]
fn q5_zero_sleeps_do_not_block_other_tasks() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let ran = Rc::new(Cell::new(0));
        for _ in 0..3 {
            el.spawn(async {
                loop {
                    sleep(Duration::ZERO).await;
                }
            })
            .detach();
        }
        let count = ran.clone();
        el.spawn(async move {
            for _ in 0..100 {
                yield_now().await;
                count.set(count.get() + 1);
            }
        })
        .detach();
        for _ in 0..102 {
            el.tick(None).unwrap();
        }
        assert_eq!(ran.get(), 100);
    });
}

#[test]
fn t5_an_interval_stays_on_its_grid_and_counts_missed_ticks() {
    let (mut el, clock) = any_loop();
    let time = clock.clone();
    el.run_until_complete(async move {
        assert!(matches!(interval(Duration::ZERO), Err(Error::ZeroInterval)));
        let mut ticks = interval(10 * SECOND).unwrap();
        assert_eq!((ticks.tick().await, time.elapsed()), (0, 10 * SECOND));
        time.advance(7 * SECOND);
        assert_eq!((ticks.tick().await, time.elapsed()), (0, 20 * SECOND));
        time.advance(35 * SECOND); // At 55 s: the ticks of 30, 40 and 50 s were due.
        assert_eq!((ticks.tick().await, time.elapsed()), (2, 55 * SECOND));
        assert_eq!((ticks.tick().await, time.elapsed()), (0, 60 * SECOND));
        for _ in 0..3 {
            let given_up = timeout(SECOND, ticks.tick()).await;
            assert!(given_up.is_err(), "the tick is not lost");
        }
        assert_eq!((ticks.tick().await, time.elapsed()), (0, 70 * SECOND));
    })
    .unwrap();
}

#[test]
fn t1_sleeps_work_inside_foreign_futures() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        el.run_until_complete(async {
            let mut order = Vec::new();
            let mut some: FuturesUnordered<_> = [3, 1, 2]
                .map(|i| async move { sleep(i * SECOND).await.then_some(i) })
                .into_iter()
                .collect();
            while let Some(i) = some.next().await {
                order.push(i);
            }
            assert_eq!(order, [1, 2, 3].map(Some));
            let all = join_all((1..=50).map(|i| sleep(i * SECOND / 50))).await;
            assert_eq!(all.len(), 50);
            let (mut long, mut short) = (sleep(9 * SECOND).fuse(), sleep(SECOND).fuse());
            futures::select! {
                () = long => unreachable!(),
                () = short => {}
            }
        })
        .unwrap();
        assert_eq!(clock.elapsed(), 5 * SECOND);
    });
}

trait ThenSome {
    fn then_some<T>(self, value: T) -> Option<T>;
}

impl ThenSome for () {
    fn then_some<T>(self, value: T) -> Option<T> {
        Some(value)
    }
}

/// A sleep that is awaited on another executor completes when its loop ends.
#[test]
fn q8_a_sleep_completes_when_its_loop_ends() {
    let (mut el, _) = any_loop();
    let mut sleep = sleep_until(el.now() + SECOND);
    el.run_until_complete(async { assert!(is_pending(&mut sleep)) }).unwrap();
    assert!(!sleep.is_elapsed() && is_pending(&mut sleep));
    let closes = async move { drop(el) };
    block_on(futures::future::join(&mut sleep, closes));
    assert!(sleep.is_elapsed());
}

#[test]
fn q7_calls_that_need_a_loop_fail_without_one() {
    let message = |call: fn()| {
        let panic = std::panic::catch_unwind(call).unwrap_err();
        panic.downcast_ref::<String>().expect("a String message").clone()
    };
    let needs = |call| {
        format!("`mainspring::{call}` needs a running loop: call it from a callback or a task")
    };
    assert_eq!(message(|| spawn(ready(())).detach()), needs("spawn"));
    assert_eq!(message(|| block_on(sleep(SECOND))), needs("sleep"));
    let late = message(|| drop(block_on(timeout(SECOND, pending::<()>()))));
    assert!(late.starts_with(&needs("timeout")), "{late}");
    assert_eq!(current_loop().unwrap_err().to_string(), needs("current_loop"));
    assert_eq!(interval(SECOND).unwrap_err().to_string(), needs("interval"));
    let (mut el, _) = any_loop();
    el.call_soon(|_, ()| assert!(current_loop().unwrap().task().is_none()));
    el.run().unwrap();
    assert!(current_loop().is_err());
    block_on(yield_now());
    let _ready: Poll<()> = Poll::Ready(());
}
