//! Wakers: however often a task is woken, it is queued once, and `wake` never polls
//! (docs/contract.md, F3).

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use mainspring::{EventLoop, SelectorKind, Task, promise, sleep, yield_now};

use crate::support::{on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Latest waker and number of polls of a task.
#[derive(Clone, Default)]
struct Probe {
    waker: Rc<RefCell<Option<Waker>>>,
    polls: Rc<Cell<usize>>,
    /// Number of polls after which the task ends.
    ends: Rc<Cell<usize>>,
}

impl Probe {
    fn spawn(el: &EventLoop<()>) -> (Probe, Task<()>) {
        let probe = Probe::default();
        probe.ends.set(usize::MAX);
        let inside = probe.clone();
        let task = el.spawn(poll_fn(move |cx| {
            inside.polls.set(inside.polls.get() + 1);
            *inside.waker.borrow_mut() = Some(cx.waker().clone());
            match inside.polls.get() >= inside.ends.get() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        (probe, task)
    }

    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("the task was polled")
    }
}

/// Waker that counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Counter>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    fn new() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (counter.clone(), Waker::from(counter))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ticks until nothing is left to run.
fn tick_until_idle(el: &mut EventLoop<()>) {
    el.run_until_stalled().unwrap();
}

#[test]
fn f3_wakes_of_this_thread_queue_a_task_once_and_do_not_poll() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (probe, _task) = Probe::spawn(&el);
        tick_until_idle(&mut el);
        assert_eq!(probe.polls.get(), 1);
        for round in 2..5 {
            for _ in 0..10 {
                probe.waker().wake(); // Between two runs,
            }
            let (again, polls) = (probe.waker(), probe.polls.clone());
            el.call_soon(move |_, ()| {
                let before = polls.get();
                (0..10).for_each(|_| again.wake_by_ref()); // and in a callback.
                assert_eq!(polls.get(), before);
            });
            assert_eq!(probe.polls.get(), round - 1);
            tick_until_idle(&mut el);
            assert_eq!(probe.polls.get(), round, "one poll for all wakes");
        }
    });
}

#[test]
fn f3_a_cancellation_queues_no_task_twice() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let new: Vec<_> = (0..100).map(|_| Probe::spawn(&el)).collect();
        new.iter().for_each(|(_, task)| _ = task.cancel("while it is queued"));
        tick_until_idle(&mut el);
        assert_eq!(el.metrics().ready_peak(), 100);
        assert!(new.iter().all(|(probe, _)| probe.polls.get() == 0));
        let waiting: Vec<_> = (0..100).map(|_| Probe::spawn(&el)).collect();
        tick_until_idle(&mut el);
        waiting.iter().for_each(|(_, task)| _ = task.cancel("while it waits"));
        waiting.iter().for_each(|(probe, _)| probe.waker().wake());
        tick_until_idle(&mut el);
        assert_eq!(el.metrics().ready_peak(), 100);
        assert!(waiting.iter().all(|(probe, _)| probe.polls.get() == 2), "one last poll");
    });
}

#[test]
fn f3_wakes_of_other_threads_queue_a_task_once() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (probe, _task) = Probe::spawn(&el);
        tick_until_idle(&mut el);
        let threads = [0; 4].map(|_| {
            let waker = probe.waker();
            thread::spawn(move || (0..100).for_each(|_| waker.wake_by_ref()))
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(probe.polls.get(), 1);
        tick_until_idle(&mut el);
        assert_eq!(probe.polls.get(), 2);
    });
}

#[test]
fn f3_a_wake_of_another_thread_wakes_the_loop() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (send, wakers) = mpsc::channel::<Waker>();
        let waking = thread::spawn(move || {
            for waker in wakers {
                waker.wake();
            }
        });
        let mut left = 50;
        el.run_until_complete(poll_fn(move |cx| {
            left -= 1;
            send.send(cx.waker().clone()).unwrap();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }))
        .unwrap();
        waking.join().unwrap();
    });
}

#[test]
fn f3_a_wake_inside_the_tasks_own_poll_causes_one_more() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let polls = Rc::new(Cell::new(0));
    let inside = polls.clone();
    el.spawn(poll_fn(move |cx| {
        inside.set(inside.get() + 1);
        (0..10).for_each(|_| cx.waker().wake_by_ref());
        if inside.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }))
    .detach();
    for tick in 1..=3 {
        assert_eq!(el.tick(NOW).unwrap(), 1);
        assert_eq!(polls.get(), tick);
    }
    tick_until_idle(&mut el);
    assert_eq!(polls.get(), 3);
    // The same from another thread, which wakes the task before the poll returns.
    let (polls, inside) = (Rc::new(Cell::new(0)), polls);
    inside.set(0);
    let count = polls.clone();
    el.spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        let waker = cx.waker().clone();
        thread::spawn(move || waker.wake()).join().unwrap();
        if count.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }))
    .detach();
    tick_until_idle(&mut el);
    assert_eq!(polls.get(), 3);
}

#[test]
fn f3_a_wake_after_the_end_does_nothing() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (probe, task) = Probe::spawn(&el);
        probe.ends.set(2);
        tick_until_idle(&mut el);
        probe.waker().wake();
        tick_until_idle(&mut el);
        assert!(task.is_finished());
        let (here, there) = (probe.waker(), probe.waker());
        here.wake_by_ref();
        let inside = here.clone();
        el.call_soon(move |_, ()| inside.wake());
        thread::spawn(move || there.wake()).join().unwrap();
        tick_until_idle(&mut el);
        drop(task);
        here.wake_by_ref();
        tick_until_idle(&mut el);
        assert_eq!(probe.polls.get(), 2);
        drop(el);
        here.wake_by_ref();
        thread::spawn(move || here.wake()).join().unwrap();
    });
}

/// A waker that outlives its task does not wake the next task in the same slot. The waker of the
/// next task comes from the same store.
#[test]
fn f3_a_stale_waker_does_not_wake_the_next_task() {
    on_every_selector(|kind| {
        for keeps in [false, true] {
            let (mut el, _) = simulated(kind, ());
            let (old, task) = Probe::spawn(&el);
            tick_until_idle(&mut el);
            let stale = old.waker();
            if !keeps {
                old.waker.borrow_mut().take(); // Only `stale` is left.
            }
            task.cancel("makes room");
            tick_until_idle(&mut el);
            drop(task);
            let (newcomer, _task) = Probe::spawn(&el);
            tick_until_idle(&mut el);
            assert_eq!(newcomer.polls.get(), 1);
            stale.wake_by_ref();
            let inside = stale.clone();
            el.call_soon(move |_, ()| inside.wake());
            thread::spawn(move || stale.wake()).join().unwrap();
            tick_until_idle(&mut el);
            assert_eq!((newcomer.polls.get(), old.polls.get()), (1, 1));
            newcomer.waker().wake();
            tick_until_idle(&mut el);
            assert_eq!(newcomer.polls.get(), 2);
        }
    });
}

/// A task that keeps no waker borrows the shared one. A task that keeps its waker gets its own.
#[test]
fn f3_wakers_are_borrowed_or_kept() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let mut tasks: Vec<_> = (0..3).map(|_| Probe::spawn(&el)).collect();
    let data = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..3 {
        let seen = data.clone();
        let lent = el.spawn(async move {
            for _ in 0..2 {
                poll_fn(|cx| Poll::Ready(seen.borrow_mut().push(cx.waker().data()))).await;
                yield_now().await;
            }
        });
        lent.detach();
    }
    tick_until_idle(&mut el);
    assert!(data.borrow().iter().all(|one| *one == data.borrow()[0]), "all tasks borrow one waker");
    let wakers: Vec<_> = tasks.iter().map(|(probe, _)| probe.waker()).collect();
    for (i, waker) in wakers.iter().enumerate() {
        assert!(wakers.iter().skip(i + 1).all(|other| !other.will_wake(waker)));
        assert_ne!(waker.data(), data.borrow()[0]);
        waker.wake_by_ref();
        tick_until_idle(&mut el);
        let polls: Vec<_> = tasks.iter().map(|(probe, _)| probe.polls.get()).collect();
        assert_eq!(polls, (0..3).map(|at| 1 + usize::from(at <= i)).collect::<Vec<_>>());
        assert!(tasks[i].0.waker().will_wake(waker), "a kept waker belongs to the task");
    }
    drop(wakers);
    // The task drops its waker, and later keeps one again.
    let (probe, _task) = tasks.remove(0);
    let waker = probe.waker.take().unwrap();
    waker.wake();
    tick_until_idle(&mut el);
    probe.waker().wake();
    tick_until_idle(&mut el);
    assert_eq!((probe.polls.get(), tasks[0].0.polls.get(), tasks[1].0.polls.get()), (4, 2, 2));
}

#[test]
fn f3_a_sleeping_task_is_not_polled_for_its_neighbours() {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let polls = Rc::new(Cell::new(0));
    for i in 1..=10 {
        let polls = polls.clone();
        el.spawn(async move {
            let mut sleep = pin!(sleep(Duration::from_secs(i)));
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                sleep.as_mut().poll(cx)
            })
            .await;
        })
        .detach();
    }
    el.run().unwrap();
    assert_eq!((polls.get(), clock.elapsed()), (20, Duration::from_secs(10)));
}

/// Other threads wake the task while the loop is dropped (P101).
#[test]
fn f3_p101_wakes_while_the_loop_is_dropped() {
    for kind in SelectorKind::available() {
        for round in 0..300 {
            let (mut el, _) = simulated(*kind, ());
            let (probe, task) = Probe::spawn(&el);
            tick_until_idle(&mut el);
            let start = Arc::new(Barrier::new(3));
            let threads = [0; 2].map(|_| {
                let (waker, start) = (probe.waker(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    (0..5).for_each(|_| waker.wake_by_ref());
                    drop(waker);
                })
            });
            start.wait();
            if round % 2 == 0 {
                el.tick(NOW).unwrap();
            }
            drop(el);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(task.is_finished());
            assert!(probe.polls.get() <= 2);
        }
    }
}

/// The waker of the last poll is woken, and the one before is dropped (P104).
#[test]
fn f3_p104_only_the_latest_waker_is_woken() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    type Make = fn(&EventLoop<()>) -> (Pin<Box<dyn Future<Output = ()>>>, Box<dyn FnOnce()>);
    let makes: [Make; 3] = [
        |_| {
            let (promise, promised) = promise();
            (Box::pin(async { promised.await.unwrap() }), Box::new(|| promise.set_result(())))
        },
        |_| (Box::pin(sleep(Duration::from_secs(1))), Box::new(|| ())),
        |el| {
            let task = el.spawn(pending::<()>());
            let (handle, el) = (task.handle(), el.handle().clone());
            (Box::pin(async { drop(task.await) }), Box::new(move || _ = el.cancel(handle)))
        },
    ];
    for make in makes {
        let (future, complete) = make(&el);
        let ((old, old_waker), (new, new_waker)) = (Counter::new(), Counter::new());
        let future = Rc::new(RefCell::new(future));
        for waker in [old_waker, new_waker] {
            let future = future.clone();
            el.call_soon(move |_, ()| {
                let poll = future.borrow_mut().as_mut().poll(&mut Context::from_waker(&waker));
                assert!(poll.is_pending());
            });
        }
        tick_until_idle(&mut el);
        assert_eq!(Arc::strong_count(&old), 1, "the old waker was dropped");
        complete();
        el.run_until_complete(sleep(Duration::from_secs(2))).unwrap();
        assert_eq!((old.wakes(), new.wakes()), (0, 1));
        let mut last = Context::from_waker(Waker::noop());
        assert!(future.borrow_mut().as_mut().poll(&mut last).is_ready());
        drop(future);
        assert_eq!(Arc::strong_count(&new), 1);
    }
}
