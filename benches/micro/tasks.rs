//! Tasks. Operations that need a tick are measured with one task, where the call of the selector is
//! most of the figure, and with a hundred, which share that call.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use mainspring::{EventLoop, Promise, Task, TaskGroup, promise, sleep, spawn, yield_now};

use crate::{FEW, SHORT};

const ONE_AND_MANY: [usize; 2] = [1, 100];
const MANY: usize = 100;

fn new_loop() -> EventLoop {
    EventLoop::new().expect("the system has a selector")
}

fn run<F: Future>(el: &mut EventLoop, future: F) -> F::Output {
    el.run_until_complete(future).expect("the selector works")
}

/// Runs an empty future.
#[divan::bench(sample_size = SHORT)]
fn run_until_complete(bencher: Bencher<'_, '_>) {
    let mut el = new_loop();
    bencher.bench_local(|| run(&mut el, async {}));
}

/// Spawns tasks, and then awaits each.
#[divan::bench(args = ONE_AND_MANY, sample_size = FEW)]
fn spawn_join(bencher: Bencher<'_, '_>, count: usize) {
    let mut el = new_loop();
    let mut tasks: Vec<Task<usize>> = Vec::with_capacity(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        run(&mut el, async {
            tasks.extend((0..count).map(|number| spawn(async move { number })));
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await.expect("the task completes"), number);
            }
        });
    });
}

/// A tick in which each of a hundred tasks runs to its next `yield_now`.
#[divan::bench(sample_size = FEW)]
fn switch_of_100(bencher: Bencher<'_, '_>) {
    let mut el = new_loop();
    for _ in 0..MANY {
        let forever = async {
            loop {
                yield_now().await;
            }
        };
        el.spawn(forever).detach();
    }
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        assert_eq!(el.tick(Some(Duration::ZERO)).expect("the selector works"), MANY);
    });
}

/// Each task waits for a promise. The promise is set, and in the next tick the task creates
/// another.
#[divan::bench(args = ONE_AND_MANY, sample_size = FEW)]
fn promise_set_and_wake(bencher: Bencher<'_, '_>, count: usize) {
    let mut el = new_loop();
    let promises: Rc<RefCell<Vec<Promise<()>>>> = Rc::default();
    for _ in 0..count {
        let promises = promises.clone();
        let waits_forever = async move {
            loop {
                let (promise, promised) = promise();
                promises.borrow_mut().push(promise);
                promised.await.expect("the promise is set");
            }
        };
        el.spawn(waits_forever).detach();
    }
    el.run_until_stalled().expect("the selector works");
    let mut due = Vec::with_capacity(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        due.append(&mut promises.borrow_mut());
        due.drain(..).for_each(|promise| promise.set_result(()));
        assert_eq!(el.tick(Some(Duration::ZERO)).expect("the selector works"), count);
    });
    drop(el); // Before the promises: a dropped promise would fail the task that waits for it.
}

/// The cost of a time limit that is not reached.
#[divan::bench(sample_size = FEW)]
fn sleep_insert_cancel_of_100(bencher: Bencher<'_, '_>) {
    let mut el = new_loop();
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        let insert_and_cancel = poll_fn(|cx| {
            for _ in 0..MANY {
                let sleep = pin!(sleep(Duration::from_secs(3600)));
                assert!(sleep.poll(cx).is_pending());
            }
            Poll::Ready(())
        });
        run(&mut el, insert_and_cancel);
    });
    assert_eq!(el.next_deadline(), None);
}

#[divan::bench]
fn task_group_of_100(bencher: Bencher<'_, '_>) {
    let mut el = new_loop();
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        let group = TaskGroup::run(async |group| {
            for _ in 0..MANY {
                group.spawn(async { Ok(()) })?;
            }
            Ok(())
        });
        run(&mut el, group).expect("no child fails");
    });
}

/// A round trip: a task sends its waker to a sleeping thread, and waits until the thread has called
/// it. Waking two threads in the kernel is most of the figure.
#[divan::bench]
fn cross_thread_wake(bencher: Bencher<'_, '_>) {
    let (sender, wakers) = mpsc::channel::<Waker>();
    let other = thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
    let mut el = new_loop();
    bencher.bench_local(|| {
        let mut is_sent = false;
        let there_and_back = poll_fn(|cx| {
            if is_sent {
                return Poll::Ready(());
            }
            is_sent = true;
            sender.send(cx.waker().clone()).expect("the thread runs");
            Poll::Pending
        });
        run(&mut el, there_and_back);
    });
    drop(sender);
    other.join().expect("the thread ends without senders");
}
