//! Futures, outputs and wakers are dropped exactly once, in every state of a task (P109 and P110;
//! docs/contract.md, F2 and Q8).

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use mainspring::{
    EventLoop, LoopHandle, SelectorKind, Task, current_loop, promise, sleep, spawn, yield_now,
};

use crate::support::{on_every_selector, simulated};

/// Number of drops.
#[derive(Clone, Default)]
struct Drops(Rc<Cell<usize>>);

/// Value that counts its drops.
struct Counted(Drops);

impl Drops {
    fn one(&self) -> Counted {
        Counted(self.clone())
    }

    fn count(&self) -> usize {
        self.0.get()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.set(self.0.count() + 1);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    NotBegun,
    Waiting,
    Queued,
    Done,
    Panicked,
    Cancelling,
    Cancelled,
    Joined,
}

const STATES: [State; 8] = [
    State::NotBegun,
    State::Waiting,
    State::Queued,
    State::Done,
    State::Panicked,
    State::Cancelling,
    State::Cancelled,
    State::Joined,
];

/// Owner of the handle.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owner {
    Detaches,
    KeepsUntilClose,
    KeepsLonger,
}

struct Fixture {
    el: EventLoop<()>,
    futures: Drops,
    outputs: Drops,
    waker: Rc<RefCell<Option<Waker>>>,
}

/// Waker. The test counts its clones.
struct Bell;

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        drop(self); // Clippy takes an empty function for `Waker::noop`.
    }
}

impl Fixture {
    fn new(kind: SelectorKind) -> Fixture {
        let (el, _) = simulated(kind, ());
        Fixture { el, futures: Drops::default(), outputs: Drops::default(), waker: Rc::default() }
    }

    fn spawn(&self, state: State) -> Task<Counted> {
        let (future, output, waker) = (self.futures.one(), self.outputs.one(), self.waker.clone());
        self.el.spawn(async move {
            let _future = future;
            poll_fn(|cx| Poll::Ready(waker.replace(Some(cx.waker().clone())))).await;
            match state {
                State::Done | State::Joined => {}
                State::Panicked => panic!("on purpose"),
                _ => pending().await,
            }
            output
        })
    }

    /// Brings a task into the state. Returns it, with the numbers of futures and outputs dropped so
    /// far.
    fn reach(&mut self, state: State) -> (Option<Task<Counted>>, (usize, usize)) {
        let task = self.spawn(state);
        if state == State::NotBegun {
            return (Some(task), (0, 0));
        }
        self.el.run_until_stalled().unwrap();
        match state {
            State::Queued => {
                if let Some(waker) = &*self.waker.borrow() {
                    waker.wake_by_ref();
                }
            }
            State::Cancelling => assert!(task.cancel("on purpose")),
            State::Cancelled => {
                assert!(task.cancel("on purpose"));
                self.el.run_until_stalled().unwrap();
                return (Some(task), (1, 1));
            }
            State::Done => return (Some(task), (1, 0)),
            State::Panicked => return (Some(task), (1, 1)),
            State::Joined => {
                let output = self.el.run_until_complete(task).unwrap();
                assert_eq!((self.futures.count(), self.outputs.count()), (1, 0));
                drop(output);
                return (None, (1, 1));
            }
            State::NotBegun | State::Waiting => {}
        }
        (Some(task), (0, 0))
    }
}

#[test]
fn f2_future_and_output_are_dropped_once_in_every_state() {
    on_every_selector(|kind| {
        for state in STATES {
            for owner in [Owner::Detaches, Owner::KeepsUntilClose, Owner::KeepsLonger] {
                let what = format!("{state:?}, {owner:?}");
                let mut fixture = Fixture::new(kind);
                fixture.el.set_exception_handler(|_, (), _| {});
                let (task, gone) = fixture.reach(state);
                assert_eq!((fixture.futures.count(), fixture.outputs.count()), gone, "{what}");
                let done = matches!(state, State::Done | State::Panicked | State::Cancelled);
                let kept = match owner {
                    Owner::Detaches => {
                        drop(task);
                        let outputs = gone.1.max(usize::from(done));
                        assert_eq!(fixture.futures.count(), gone.0, "{what}");
                        assert_eq!(fixture.outputs.count(), outputs, "{what}");
                        None
                    }
                    Owner::KeepsUntilClose | Owner::KeepsLonger => task,
                };
                let Fixture { el, futures, outputs, waker } = fixture;
                drop(el);
                assert_eq!((futures.count(), outputs.count()), (1, 1), "{what}");
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
                if owner == Owner::KeepsLonger
                    && let Some(task) = kept
                {
                    assert!(task.is_finished(), "{what}");
                    assert!(futures::executor::block_on(task).is_err(), "{what}");
                }
                assert_eq!((futures.count(), outputs.count()), (1, 1), "{what}");
            }
        }
    });
}

/// The waker of a joiner on another executor is dropped once, however the wait ends.
#[test]
fn f2_the_waker_of_a_joiner_is_dropped_once() {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Context;
    for end in ["done", "detached", "closed", "joined"] {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let bell = Arc::new(Bell);
        let waker = Waker::from(bell.clone());
        let mut task = el.spawn(async { yield_now().await });
        let poll = |task: &mut Task<()>| Pin::new(task).poll(&mut Context::from_waker(&waker));
        (0..3).for_each(|_| assert!(poll(&mut task).is_pending()));
        assert_eq!(Arc::strong_count(&bell), 3, "only one clone is kept");
        match end {
            "done" => el.run().unwrap(),
            "detached" => drop(task),
            "closed" => drop(el),
            _ => {
                el.run().unwrap();
                assert!(poll(&mut task).is_ready());
            }
        }
        assert_eq!(Arc::strong_count(&bell), 2, "{end}");
    }
}

/// A value dropped while the loop closes spawns, wakes, sleeps, cancels and registers (P109).
struct CallsOnDrop {
    el: LoopHandle,
    seen: Rc<Cell<usize>>,
    wakers: Rc<RefCell<Vec<Waker>>>,
    others: Rc<RefCell<Vec<Task<()>>>>,
    depth: usize,
}

impl Drop for CallsOnDrop {
    fn drop(&mut self) {
        self.seen.set(self.seen.get() + 1);
        self.wakers.borrow().iter().for_each(Waker::wake_by_ref);
        self.el.call_soon(|_, ()| {});
        self.el.call_later(Duration::from_secs(1), |_, ()| {});
        self.others.borrow().iter().for_each(|task| _ = task.cancel("last words"));
        if self.depth > 0 {
            let child = Rc::new(self.child(self.depth - 1));
            let (one, two) = (child.clone(), child);
            let spawned = self.el.spawn(async move { drop(one) });
            assert!(spawned.is_finished());
            if let Ok(here) = current_loop() {
                here.spawn(async move { drop(two) }).detach();
            }
        }
        drop(self.others.borrow_mut().pop());
        drop(sleep(Duration::from_secs(1)));
    }
}

impl CallsOnDrop {
    fn child(&self, depth: usize) -> CallsOnDrop {
        let (el, seen, wakers) = (self.el.clone(), self.seen.clone(), self.wakers.clone());
        CallsOnDrop { el, seen, wakers, others: self.others.clone(), depth }
    }
}

#[test]
fn f2_p109_values_dropped_with_the_loop_may_call_anything() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let seen = Rc::new(Cell::new(0));
        let first = CallsOnDrop {
            el: el.handle().clone(),
            seen: seen.clone(),
            wakers: Rc::default(),
            others: Rc::default(),
            depth: 3,
        };
        for i in 0..20 {
            let calls_on_drop = first.child(3);
            let wakers = first.wakers.clone();
            let task = el.spawn(async move {
                let _testament = calls_on_drop;
                poll_fn(|cx| Poll::Ready(wakers.borrow_mut().push(cx.waker().clone()))).await;
                match i % 3 {
                    0 => pending().await,
                    1 => sleep(Duration::from_secs(3600)).await,
                    _ => drop(promise::<()>().1.await),
                }
                pending().await
            });
            first.others.borrow_mut().push(task);
        }
        el.run_until_stalled().unwrap();
        let late = first.child(3);
        el.spawn(async move { drop(late) }).detach();
        let before = seen.get();
        drop(el);
        println!("{} before, {} after", before, seen.get());
        assert!(first.others.borrow().is_empty() || first.others.borrow().len() < 20);
        first.wakers.borrow().iter().for_each(Waker::wake_by_ref);
        let (others, wakers) = (first.others.clone(), first.wakers.clone());
        drop(first);
        assert!(others.borrow().iter().all(Task::is_finished));
        others.borrow_mut().clear();
        wakers.borrow_mut().clear();
        assert_eq!(Rc::strong_count(&seen), 1, "everything was dropped");
    });
}

/// Tasks that own their own handles, or each other's (P110).
#[test]
fn f2_p110_handles_in_tasks_make_no_cycle() {
    on_every_selector(|kind| {
        for ends in [false, true] {
            let (mut el, _) = simulated(kind, ());
            let drops = Drops::default();
            let slots: Vec<Rc<Cell<Option<Task<()>>>>> = (0..3).map(|_| Rc::default()).collect();
            for (own, other) in [(0, 0), (1, 2), (2, 1)] {
                let (counted, slot) = (drops.one(), slots[own].clone());
                let task = el.spawn(async move {
                    let _handle = slot.take();
                    let _counted = counted;
                    match ends {
                        true => yield_now().await,
                        false => pending().await,
                    }
                });
                slots[other].set(Some(task));
            }
            drop(slots);
            el.run_until_stalled().unwrap();
            assert_eq!(drops.count(), if ends { 3 } else { 0 });
            drop(el);
            assert_eq!(drops.count(), 3);
        }
    });
}

/// A task that awaits itself, and two that await each other, wait forever and are dropped with the
/// loop.
#[test]
fn f2_p110_tasks_that_await_each_other_are_dropped() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let drops = Drops::default();
    let slots: Vec<Rc<Cell<Option<Task<()>>>>> = (0..3).map(|_| Rc::default()).collect();
    for (own, other) in [(0, 0), (1, 2), (2, 1)] {
        let (counted, slot) = (drops.one(), slots[own].clone());
        let task = el.spawn(async move {
            let _counted = counted;
            if let Some(task) = slot.take() {
                drop(task.await);
            }
        });
        slots[other].set(Some(task));
    }
    el.run_until_stalled().unwrap();
    assert_eq!(drops.count(), 0);
    drop(el);
    assert_eq!(drops.count(), 3);
}

/// A task that owns a handle of its loop, an interval and its own waker keeps nothing alive.
#[test]
fn q8_a_task_that_owns_handles_of_its_loop_keeps_nothing_alive() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let drops = Drops::default();
    let (counted, handle) = (drops.one(), el.handle().clone());
    el.spawn(async move {
        let _counted = counted;
        let _handle = (handle, current_loop().unwrap());
        let mut interval = mainspring::interval(Duration::from_secs(1)).unwrap();
        let _waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let child = spawn(pending::<()>());
        interval.tick().await;
        drop(child.await);
    })
    .detach();
    el.run_until_stalled().unwrap();
    drop(el);
    assert_eq!(drops.count(), 1);
}
