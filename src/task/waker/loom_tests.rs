//! Every order in which wakes of other threads can meet the loop, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib waker`.
//!
//! A task is modelled by the state that its wakers share, [`InInbox`] and the inbox, and by a count
//! of work, which a poll takes. The loop of these tests sleeps until its wakeup. So work
//! without a wake is a deadlock, which loom reports.

use std::collections::VecDeque;
use std::io;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::InInbox;
use crate::inbox::{Inbox, WakeLoop};
use crate::std_or_loom::Ordering;

/// A wakeup like that of the kernel.
struct TestWakeup {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl TestWakeup {
    fn sleep(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = self.changed.wait(is_woken).unwrap();
        }
    }

    fn is_woken(&self) -> bool {
        *self.is_woken.lock().unwrap()
    }
}

/// Lets the loop sleep on the wakeup that the inbox owns.
impl WakeLoop for Arc<TestWakeup> {
    fn wake(&self) -> io::Result<()> {
        *self.is_woken.lock().unwrap() = true;
        self.changed.notify_one();
        Ok(())
    }

    fn drain(&self) -> io::Result<()> {
        *self.is_woken.lock().unwrap() = false;
        Ok(())
    }
}

struct Task {
    in_inbox: InInbox,
    /// Work that a poll takes. Only wakes order it.
    work: AtomicUsize,
}

struct Model {
    inbox: Inbox<Arc<Task>, Arc<TestWakeup>>,
    wakeup: Arc<TestWakeup>,
    task: Arc<Task>,
}

impl Model {
    fn new() -> Arc<Model> {
        let wakeup = Arc::new(TestWakeup { is_woken: Mutex::new(false), changed: Condvar::new() });
        let task = Arc::new(Task { in_inbox: InInbox::new(), work: AtomicUsize::new(0) });
        Arc::new(Model { inbox: Inbox::new(wakeup.clone()), wakeup, task })
    }

    /// Runs a tick, which checks the inbox until it is empty. Returns the amount of work done.
    fn tick(&self, poll: Poll) -> usize {
        self.inbox.drain_wakeup().unwrap();
        let (mut done, mut wakes) = (0, VecDeque::new());
        loop {
            self.inbox.take(&mut wakes);
            assert!(wakes.len() <= 1, "a task is queued once");
            done += wakes.drain(..).map(|task| poll(&task)).sum::<usize>();
            if !self.inbox.is_notified() {
                return done;
            }
        }
    }
}

/// Starts a thread that adds work and wakes the task, `times` times.
fn waker(model: &Arc<Model>, times: usize) -> thread::JoinHandle<()> {
    let model = model.clone();
    thread::spawn(move || {
        for _ in 0..times {
            model.task.work.fetch_add(1, Ordering::Relaxed);
            model.task.in_inbox.send(&model.inbox, || model.task.clone());
        }
    })
}

/// A poll of the task. Returns the amount of work that it has found.
type Poll = fn(&Task) -> usize;

fn poll(task: &Task) -> usize {
    task.in_inbox.received();
    task.work.swap(0, Ordering::Relaxed)
}

/// The mutant: a wake between the poll and the clearing of the flag is lost.
fn poll_in_the_wrong_order(task: &Task) -> usize {
    let done = task.work.swap(0, Ordering::Relaxed);
    task.in_inbox.received();
    done
}

/// Runs threads that each wake the task so many times, and the loop until all work is done.
fn run_all(threads: &'static [usize], poll: Poll) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = Model::new();
        let wakers: Vec<_> = threads.iter().map(|times| waker(&model, *times)).collect();
        let mut done = 0;
        while done < threads.iter().sum() {
            model.wakeup.sleep();
            done += model.tick(poll);
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}

#[test]
fn no_wake_of_another_thread_is_lost() {
    run_all(&[1, 1], poll);
    run_all(&[2], poll);
    run_all(&[2, 1], poll);
}

/// Checks the state after one tick, in every order: work that is left has its ring.
fn one_tick(poll: Poll) {
    loom::model(move || {
        let model = Model::new();
        let wakers = [waker(&model, 1), waker(&model, 1)];
        if model.wakeup.is_woken() {
            model.tick(poll);
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        let left = model.task.work.load(Ordering::Relaxed);
        assert!(left == 0 || model.wakeup.is_woken(), "there is work, and no wakeup will come");
    });
}

#[test]
fn the_loop_never_sleeps_on_a_task_without_a_wakeup() {
    one_tick(poll);
}

#[test]
#[should_panic(expected = "there is work, and no wakeup will come")]
fn loom_finds_the_wake_that_a_late_clearing_loses() {
    one_tick(poll_in_the_wrong_order);
}

/// Wakes that come too late for the task, which is done after so many polls: they are taken out or
/// stay in the inbox, and keep nothing alive when that is closed.
fn over(polls: usize) {
    loom::model(move || {
        let model = Model::new();
        let wakers = [waker(&model, 1), waker(&model, 1)];
        for _ in 0..polls {
            model.wakeup.sleep();
            model.tick(poll);
        }
        drop(model.inbox.close());
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert!(model.inbox.close().is_empty(), "a closed inbox accepts no wake");
        assert_eq!(Arc::strong_count(&model.task), 1);
    });
}

#[test]
fn wakes_that_meet_the_close_leave_nothing_behind() {
    over(0);
    over(1);
}
