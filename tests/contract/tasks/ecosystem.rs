//! Other crates on this loop: async-lock, async-channel and futures work unchanged (P106;
//! docs/contract.md, F3 to F5).

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_lock::{Mutex, Semaphore};
use futures::future::{self, Either, FutureExt, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use mainspring::{Task, promise, race, sleep, spawn, timeout, yield_now};

use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

/// Events, in order.
type Seen = Rc<RefCell<Vec<&'static str>>>;

/// Three tasks wait for one thing. The first is woken, and its future is dropped before its next
/// poll. Then the second gets the thing, and after that the third.
fn three_waiters<F: Future<Output = ()> + 'static>(
    take: impl Fn(Seen, &'static str) -> F,
    give: impl FnOnce() + 'static,
) {
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let seen = Seen::default();
    let (stop, stopped) = promise();
    let [first, second, third] = ["first", "second", "third"].map(|name| take(seen.clone(), name));
    let first = el.spawn(race(async { stopped.await.unwrap() }, first));
    let waiters = [first, el.spawn(second), el.spawn(third)];
    el.run_until_stalled().unwrap();
    assert!(seen.borrow().is_empty());
    el.call_soon(move |_, ()| {
        give();
        stop.set_result(());
    });
    el.run().unwrap();
    assert_eq!(*seen.borrow(), ["second", "third"]);
    assert!(waiters.iter().all(Task::is_finished));
}

/// A task that is cancelled after it was woken keeps what it was given.
#[test]
fn f4_a_cancelled_waiter_keeps_a_message_that_has_arrived() {
    let (send, receive) = async_channel::bounded(1);
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let task = el.spawn(async move { receive.recv().await.unwrap() });
    el.run_until_stalled().unwrap();
    send.try_send(42).unwrap();
    assert!(task.cancel("too late"));
    assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 42);
}

#[test]
fn f4_p106_a_cancelled_waiter_passes_a_permit_on() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.try_acquire_arc().unwrap();
    let take = |seen: Seen, name| {
        let semaphore = semaphore.clone();
        async move {
            let _permit = semaphore.acquire().await;
            seen.borrow_mut().push(name);
            yield_now().await;
        }
    };
    three_waiters(take, move || drop(held));
    assert!(semaphore.try_acquire().is_some());
}

#[test]
fn f4_p106_a_cancelled_waiter_passes_a_lock_on() {
    let mutex = Arc::new(Mutex::new(0));
    let held = mutex.try_lock_arc().unwrap();
    let take = |seen: Seen, name| {
        let mutex = mutex.clone();
        async move {
            *mutex.lock().await += 1;
            seen.borrow_mut().push(name);
        }
    };
    three_waiters(take, move || drop(held));
    assert_eq!(*mutex.try_lock().unwrap(), 2);
}

#[test]
fn f4_p106_a_cancelled_waiter_passes_a_message_on() {
    let (send, receive) = async_channel::bounded::<()>(2);
    let take = |seen: Seen, name| {
        let receive = receive.clone();
        async move {
            receive.recv().await.unwrap();
            seen.borrow_mut().push(name);
        }
    };
    three_waiters(take, move || (0..2).for_each(|_| send.try_send(()).unwrap()));
    assert!(receive.is_empty());
}

/// A pipeline of this loop, another thread, and this loop again.
#[test]
fn f3_channels_connect_tasks_and_threads() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (there, takes) = async_channel::bounded::<u32>(4);
        let (back, gives) = async_channel::bounded::<u32>(4);
        let echo = thread::spawn(move || {
            futures::executor::block_on(async {
                while let Ok(number) = takes.recv().await {
                    back.send(2 * number).await.unwrap();
                }
            });
        });
        let sum = el.run_until_complete(async move {
            let sender = spawn(async move {
                for number in 0..200 {
                    there.send(number).await.unwrap();
                }
            });
            let mut sum = 0;
            while let Ok(number) = gives.recv().await {
                sum += number;
            }
            sender.await.unwrap();
            sum
        });
        assert_eq!(sum.unwrap(), 2 * 199 * 200 / 2);
        echo.join().unwrap();
    });
}

#[test]
fn f3_a_lock_passes_from_task_to_task() {
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let lock = Rc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..4)
        .map(|i| {
            let lock = lock.clone();
            el.spawn(async move {
                for _ in 0..10 {
                    let mut guard = lock.lock().await;
                    yield_now().await;
                    guard.push(i);
                }
            })
        })
        .collect();
    el.run_until_complete(join_all(tasks)).unwrap();
    let order = lock.try_lock().unwrap();
    assert!((0..4).all(|i| order.iter().filter(|one| **one == i).count() == 10));
}

#[test]
fn f3_select_join_and_unordered_work_over_tasks() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        el.run_until_complete(async {
            let (mut slow, mut quick) =
                (spawn(sleep(3 * SECOND)).fuse(), spawn(sleep(SECOND)).fuse());
            futures::select! {
                output = slow => panic!("{output:?}"),
                output = quick => output.unwrap(),
            }
            slow.await.unwrap();
            let mut tasks: FuturesUnordered<_> =
                (0..100).map(|i| spawn(async move { sleep(SECOND * (100 - i)).await })).collect();
            while let Some(output) = tasks.next().await {
                output.unwrap();
            }
            let first = future::select(spawn(pending::<()>()), spawn(ready(())));
            assert!(matches!(first.await, Either::Right(_)));
            let (one, two) = future::join(spawn(yield_now()), sleep(SECOND)).await;
            one.unwrap();
            two
        })
        .unwrap();
        assert_eq!(clock.elapsed(), 104 * SECOND);
    });
}

#[test]
fn f5_a_timeout_around_foreign_futures_loses_nothing() {
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let (send, receive) = async_channel::unbounded();
    let kept = Cell::new(0);
    el.run_until_complete(async {
        assert!(timeout(SECOND, receive.recv()).await.is_err());
        send.send(42).await.unwrap();
        kept.set(timeout(SECOND, receive.recv()).await.unwrap().unwrap());
        let semaphore = Semaphore::new(0);
        assert!(timeout(SECOND, semaphore.acquire()).await.is_err());
        semaphore.add_permits(1);
        assert!(timeout(SECOND, semaphore.acquire()).await.is_ok(), "no permit was lost");
    })
    .unwrap();
    assert_eq!(kept.get(), 42);
}
