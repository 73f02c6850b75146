//! Allocations of tasks (docs/contract.md, Q8 and Q10).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures::channel::oneshot;
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, SelectorKind, WaitUntil, promise, sleep, wait, yield_now};

use crate::{COUNTS, MEASURED, MILLI, allocations, expect_none, tick};

/// Number of steps that a task did.
type Count = Rc<Cell<usize>>;

/// Asserts that a tick allocates nothing while `task` does one step in it.
fn expect_none_of<F>(what: &str, task: impl Fn(Count) -> F)
where
    F: Future<Output = ()> + 'static,
{
    expect_none(what, 0, |el, clock| {
        let count = Count::default();
        el.spawn(task(count.clone())).detach();
        let mut ticks = 0;
        Box::new(move |el| {
            tick(el);
            ticks += 1;
            assert_eq!(count.get(), ticks);
            clock.advance(MILLI);
        })
    });
}

fn add_one(count: &Count) {
    count.set(count.get() + 1);
}

#[test]
fn q10_a_running_task_allocates_nothing() {
    expect_none_of("a task that yields", |count| async move {
        loop {
            add_one(&count);
            yield_now().await;
        }
    });
    expect_none_of("a task that sleeps", |count| async move {
        loop {
            add_one(&count);
            sleep(MILLI).await;
        }
    });
    expect_none_of("a task that polls its sleep again", |count| async move {
        let (mut long, mut promised) = (sleep(MILLI * 1_000_000), promise::<()>());
        loop {
            add_one(&count);
            poll_fn(|cx| {
                let waits = Pin::new(&mut long).poll(cx).is_pending();
                assert!(waits && Pin::new(&mut promised.1).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            yield_now().await;
        }
    });
}

/// Wakers of two waiting tasks.
type Slots = [Rc<Cell<Option<Waker>>>; 2];

/// Waits until the other task wakes it.
async fn pass(own: &Cell<Option<Waker>>, other: &Cell<Option<Waker>>) {
    let mut waits = false;
    poll_fn(|cx| {
        if let Some(waker) = other.take() {
            waker.wake();
        }
        if std::mem::replace(&mut waits, true) {
            return Poll::Ready(());
        }
        own.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

#[test]
fn q10_a_wake_allocates_nothing() {
    for sleeps in [false, true] {
        expect_none("two tasks that wake each other", 0, |el, clock| {
            let slots = Slots::default();
            let count = Count::default();
            for (own, other) in [(0, 1), (1, 0)] {
                let (own, other) = (slots[own].clone(), slots[other].clone());
                let count = count.clone();
                el.spawn(async move {
                    loop {
                        add_one(&count);
                        pass(&own, &other).await;
                        if sleeps {
                            sleep(MILLI).await; // Keeps no waker.
                        }
                    }
                })
                .detach();
            }
            Box::new(move |el| {
                clock.advance(MILLI);
                let before = count.get();
                (0..3).for_each(|_| tick(el));
                clock.advance(MILLI);
                (0..3).for_each(|_| tick(el));
                assert!(count.get() > before);
            })
        });
    }
    expect_none("a waker outside of the loop", 0, |el, _| {
        let waker = Rc::new(Cell::new(None));
        let kept = waker.clone();
        el.spawn(poll_fn(move |cx| {
            kept.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }))
        .detach();
        Box::new(move |el| {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
            tick(el);
        })
    });
}

/// The future of `run_until_complete` also gets a borrowed waker.
#[test]
fn q10_polls_of_the_main_future_allocate_nothing() {
    for kind in SelectorKind::available() {
        let mut el =
            EventLoop::builder().await_lines(false).selector(*kind).build_with(0).expect("a loop");
        let turns = |el: &mut EventLoop<usize>, count: usize| {
            el.run_until_complete(async move {
                for _ in 0..count {
                    yield_now().await;
                }
            })
            .expect("the run completes");
        };
        turns(&mut el, 100);
        let measured = |el: &mut EventLoop<usize>, count| {
            let (before, _) = COUNTS.get();
            turns(el, count);
            COUNTS.get().0 - before
        };
        let (few, many) = (measured(&mut el, 10), measured(&mut el, MEASURED));
        println!("{few} allocations in 10 turns, {many} in {MEASURED} on {kind}");
        assert_eq!(few, many, "on {kind}");
    }
}

#[test]
fn q10_a_task_costs_one_allocation() {
    for kind in SelectorKind::available() {
        let mut el =
            EventLoop::builder().await_lines(false).selector(*kind).build_with(0).expect("a loop");
        let joined = allocations(
            &mut el,
            Box::new(|el| {
                let task = el.spawn(async {});
                el.spawn(async { task.await.expect("an output") }).detach();
                (0..2).for_each(|_| tick(el));
            }),
        );
        println!("a task and its joiner: {joined} allocations in {MEASURED} rounds");
        assert!(joined <= 2 * MEASURED, "{joined} on {kind}");
        let detached = allocations(
            &mut el,
            Box::new(|el| {
                el.spawn(async {}).detach();
                tick(el);
            }),
        );
        assert!(detached <= MEASURED, "{detached} on {kind}");
    }
}

/// Classifying an output, and passing it to a done-callback, only borrows it.
#[test]
fn q10_classifying_an_output_allocates_nothing() {
    for kind in SelectorKind::available() {
        let mut el =
            EventLoop::builder().await_lines(false).selector(*kind).build_with(0).expect("a loop");
        let mut waiting = |when, with_callback| {
            let round = Box::new(move |el: &mut EventLoop<usize>| {
                let one = el.spawn(async { Ok::<u64, Error>(7) });
                if with_callback {
                    one.add_done_callback(|output| assert!(matches!(output, Ok(Ok(7)))));
                }
                let other = el.spawn(async {
                    yield_now().await;
                    Ok(8)
                });
                el.spawn(async move { drop(wait([one, other], when).await) }).detach();
                (0..6).for_each(|_| tick(el));
            });
            allocations(&mut el, round)
        };
        let (all, judged) = (waiting(WaitUntil::All, false), waiting(WaitUntil::FirstError, false));
        assert_eq!(judged, all, "on {kind}");
        // The callback, its task key, the list, and the rare state of its task.
        let shown = waiting(WaitUntil::All, true) - all;
        assert!(shown <= 4 * MEASURED, "{shown} on {kind}");
    }
}

/// Memory of a task that waits while other code keeps its waker: the slot, the future of eight
/// bytes, the waker, and the loop's record of it.
#[test]
fn q10_a_task_with_a_kept_waker_takes_little_more_than_the_waker() {
    // Tables double their size, so a power of two leaves nothing unused.
    const TASKS: usize = 1 << 12;
    let mut el = EventLoop::builder()
        .await_lines(false)
        .clock(SimClock::new())
        .build_with(0)
        .expect("a loop");
    el.spawn(async {}).detach(); // Gives the ready deque its capacity.
    let channels: Vec<_> = (0..TASKS).map(|_| oneshot::channel::<()>()).collect();
    let mut tasks = Vec::with_capacity(TASKS);
    tick(&mut el);
    let before = COUNTS.get().1;
    let senders: Vec<_> = channels
        .into_iter()
        .map(|(sender, receiver)| {
            tasks.push(el.spawn(receiver));
            sender
        })
        .collect();
    tick(&mut el);
    let bytes = (COUNTS.get().1 - before) as usize / TASKS;
    println!(
        "{bytes} bytes a task, of which the list of senders takes {}",
        size_of_val(&senders[0])
    );
    assert!(bytes <= 136, "{bytes} bytes a task");
    senders.into_iter().for_each(|sender| sender.send(()).expect("a receiver"));
    tick(&mut el);
    assert!(tasks.iter().all(|task| task.is_finished()));
}

#[test]
fn q8_tasks_free_all_their_memory() {
    let round = || {
        let mut el = EventLoop::builder()
            .await_lines(false)
            .clock(SimClock::new())
            .build_with(0)
            .expect("a loop");
        let own = Rc::new(Cell::new(None));
        let itself = own.clone();
        own.set(Some(el.spawn(async move {
            let _own = itself.take(); // The task owns its own handle.
            yield_now().await;
            std::future::pending::<()>().await;
        })));
        let (promise, promised) = promise::<()>();
        el.spawn(async move { drop(promised.await) }).detach();
        for i in 0..100 {
            el.spawn(async move { sleep(MILLI * i).await }).detach();
        }
        (0..3).for_each(|_| tick(&mut el));
        drop((el, promise, own));
    };
    (0..2).for_each(|_| round());
    let before = COUNTS.get().1;
    (0..3).for_each(|_| round());
    assert_eq!(COUNTS.get().1, before);
}
