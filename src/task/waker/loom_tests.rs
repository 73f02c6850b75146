//! Every order in which wakes of other threads can meet the loop, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib waker`.
//!
//! A task is modelled by what its wakers share, [`Sent`] and the inbox, and by what there is to do,
//! which a poll takes. The loop of these tests sleeps until the doorbell rings, so work that no wake
//! told of is a deadlock, which loom reports.

use std::collections::VecDeque;
use std::io;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::Sent;
use crate::inbox::{Doorbell, Inbox};
use crate::sync::Ordering;

/// A doorbell as the kernel's.
struct Bell {
    rings: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    fn sleep(&self) {
        let mut rings = self.rings.lock().unwrap();
        while !*rings {
            rings = self.rung.wait(rings).unwrap();
        }
    }

    fn rings(&self) -> bool {
        *self.rings.lock().unwrap()
    }
}

/// Lets the loop sleep on the doorbell that the inbox owns.
impl Doorbell for Arc<Bell> {
    fn ring(&self) -> io::Result<()> {
        *self.rings.lock().unwrap() = true;
        self.rung.notify_one();
        Ok(())
    }

    fn silence(&self) -> io::Result<()> {
        *self.rings.lock().unwrap() = false;
        Ok(())
    }
}

struct Task {
    sent: Sent,
    /// What there is to do for it. Only the wakes order it.
    work: AtomicUsize,
}

struct Model {
    inbox: Inbox<Arc<Task>, Arc<Bell>>,
    bell: Arc<Bell>,
    task: Arc<Task>,
}

impl Model {
    fn new() -> Arc<Model> {
        let bell = Arc::new(Bell { rings: Mutex::new(false), rung: Condvar::new() });
        let task = Arc::new(Task { sent: Sent::new(), work: AtomicUsize::new(0) });
        Arc::new(Model { inbox: Inbox::new(bell.clone()), bell, task })
    }

    /// A tick of the loop, which looks until nothing comes any more: how much work is done.
    fn tick(&self, turn: Turn) -> usize {
        self.inbox.answer().unwrap();
        let (mut done, mut wakes) = (0, VecDeque::new());
        loop {
            self.inbox.take(&mut wakes);
            assert!(wakes.len() <= 1, "queued once");
            done += wakes.drain(..).map(|task| turn(&task)).sum::<usize>();
            if !self.inbox.is_told() {
                return done;
            }
        }
    }
}

/// A thread that makes something ready and wakes the task, `times` times.
fn waker(model: &Arc<Model>, times: usize) -> thread::JoinHandle<()> {
    let model = model.clone();
    thread::spawn(move || {
        for _ in 0..times {
            model.task.work.fetch_add(1, Ordering::Relaxed);
            model.task.sent.send(&model.inbox, || model.task.clone());
        }
    })
}

/// A turn of the task: how much of its work it finds.
type Turn = fn(&Task) -> usize;

fn turn(task: &Task) -> usize {
    task.sent.received();
    task.work.swap(0, Ordering::Relaxed)
}

/// The mutant: what comes between the poll and the clearing of the flag is told to nobody.
fn turn_in_the_wrong_order(task: &Task) -> usize {
    let done = task.work.swap(0, Ordering::Relaxed);
    task.sent.received();
    done
}

/// Threads that wake the task as often as they say, and the loop until all of the work is done.
fn meet(threads: &'static [usize], turn: Turn) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = Model::new();
        let wakers: Vec<_> = threads.iter().map(|times| waker(&model, *times)).collect();
        let mut done = 0;
        while done < threads.iter().sum() {
            model.bell.sleep();
            done += model.tick(turn);
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}

#[test]
fn no_wake_of_another_thread_is_lost() {
    meet(&[1, 1], turn);
    meet(&[2], turn);
    meet(&[2, 1], turn);
}

/// The state after a tick, whenever that comes: what is left to do has its ring.
fn one_tick(turn: Turn) {
    loom::model(move || {
        let model = Model::new();
        let wakers = [waker(&model, 1), waker(&model, 1)];
        if model.bell.rings() {
            model.tick(turn);
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        let left = model.task.work.load(Ordering::Relaxed);
        assert!(left == 0 || model.bell.rings(), "there is work, and no ring will come");
    });
}

#[test]
fn the_loop_never_sleeps_on_a_task_with_a_silent_doorbell() {
    one_tick(turn);
}

#[test]
#[should_panic(expected = "there is work, and no ring will come")]
fn loom_finds_the_wake_that_a_late_clearing_loses() {
    one_tick(turn_in_the_wrong_order);
}

/// Wakes that come too late for the task, which is over after one turn: they are taken out or stay
/// in the inbox, and keep nothing alive when that is closed.
fn over(turns: usize) {
    loom::model(move || {
        let model = Model::new();
        let wakers = [waker(&model, 1), waker(&model, 1)];
        for _ in 0..turns {
            model.bell.sleep();
            model.tick(turn);
        }
        drop(model.inbox.close());
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert!(model.inbox.close().is_empty(), "a closed inbox takes no wake");
        assert_eq!(Arc::strong_count(&model.task), 1);
    });
}

#[test]
fn wakes_that_meet_the_close_leave_nothing_behind() {
    over(0);
    over(1);
}
