//! Every order in which two senders and the loop can meet, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib inbox`.
//!
//! The loop of these tests sleeps until the doorbell rings, so a lost wake is a deadlock, which
//! loom reports.

use std::collections::VecDeque;
use std::io;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Inbox, WakeLoop, lock};
use crate::error::Error;
use crate::std_or_loom::Ordering;

/// A doorbell as the kernel's: it rings until it is silenced, and rings on top of a ring are
/// merged.
#[derive(Debug)]
struct Bell {
    rings: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    fn new() -> Bell {
        Bell { rings: Mutex::new(false), rung: Condvar::new() }
    }

    /// Sleeps as the selector does.
    fn sleep(&self) {
        let mut rings = self.rings.lock().unwrap();
        while !*rings {
            rings = self.rung.wait(rings).unwrap();
        }
    }

    fn is_silent(&self) -> bool {
        !*self.rings.lock().unwrap()
    }
}

impl WakeLoop for Bell {
    fn wake(&self) -> io::Result<()> {
        *self.rings.lock().unwrap() = true;
        self.rung.notify_one();
        Ok(())
    }

    fn drain(&self) -> io::Result<()> {
        *self.rings.lock().unwrap() = false;
        Ok(())
    }
}

type TestInbox = Inbox<u32, Bell>;

/// What the loop does from a ring to its next sleep: the items that it takes.
type Look = fn(&TestInbox) -> Vec<u32>;

fn look(inbox: &TestInbox) -> Vec<u32> {
    inbox.drain_wakeup().unwrap();
    take_until_rest(inbox)
}

fn take_until_rest(inbox: &TestInbox) -> Vec<u32> {
    let mut all = Vec::new();
    loop {
        all.extend(take(inbox));
        if !inbox.is_notified() {
            return all;
        }
    }
}

fn take(inbox: &TestInbox) -> VecDeque<u32> {
    let mut taken = VecDeque::new();
    inbox.take(&mut taken);
    taken
}

/// A mutant: a ring that comes after the taking is read away.
fn look_and_then_answer(inbox: &TestInbox) -> Vec<u32> {
    let taken = take_until_rest(inbox);
    inbox.drain_wakeup().unwrap();
    taken
}

/// A mutant: what comes after the taking finds the flag set, and the loop sleeps.
fn look_once(inbox: &TestInbox) -> Vec<u32> {
    inbox.drain_wakeup().unwrap();
    take(inbox).into()
}

/// A mutant: what comes between the taking and the clearing is told to nobody.
fn look_and_clear_without_the_lock(inbox: &TestInbox) -> Vec<u32> {
    inbox.drain_wakeup().unwrap();
    let mut all = Vec::new();
    loop {
        let taken = std::mem::take(&mut *lock(&inbox.shelf).items);
        if taken.is_empty() {
            inbox.shelf.told.store(false, Ordering::Release);
            return all;
        }
        all.extend(taken);
    }
}

/// Sends `items` from a thread of its own.
fn sender(inbox: &Arc<TestInbox>, items: &'static [u32]) -> thread::JoinHandle<()> {
    let inbox = inbox.clone();
    thread::spawn(move || items.iter().for_each(|item| inbox.send(*item).unwrap()))
}

/// The loop until it has `wanted` items.
fn receive(inbox: &TestInbox, wanted: usize, look: Look) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < wanted {
        inbox.notifier.doorbell.sleep();
        all.extend(look(inbox));
    }
    all
}

/// While the loop could go to sleep now, nothing waits for it.
fn verify(inbox: &TestInbox) {
    if inbox.notifier.doorbell.is_silent() {
        assert!(!inbox.is_notified(), "the flag is set, and no ring will come");
        assert!(lock(&inbox.shelf).items.is_empty(), "an item waits, and no ring will come");
    }
}

/// Senders with `items` for each of them, and the loop until it has all of them.
fn meet(items: &'static [&'static [u32]], look: Look) {
    explore(move || {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let senders: Vec<_> = items.iter().map(|items| sender(&inbox, items)).collect();
        let all = receive(&inbox, items.concat().len(), look);
        for items in items {
            let of_one = all.iter().copied().filter(|item| items.contains(item));
            assert!(of_one.eq(items.iter().copied()), "{all:?}");
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

fn explore(meeting: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3); // Without a bound it takes minutes, and finds nothing else.
    builder.check(meeting);
}

#[test]
fn no_wake_is_lost() {
    meet(&[&[1, 2], &[10]], look);
    meet(&[&[1, 2, 3]], look);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_wake_that_a_single_look_loses() {
    meet(&[&[1, 2, 3]], look_once);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_wake_that_clearing_without_the_lock_loses() {
    meet(&[&[1, 2, 3]], look_and_clear_without_the_lock);
}

/// The state before a sleep, whenever it comes: an item or a set flag has its ring.
fn one_look(look: Look) {
    loom::model(move || {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let senders = [sender(&inbox, &[1]), sender(&inbox, &[10])];
        if !inbox.notifier.doorbell.is_silent() {
            look(&inbox);
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        verify(&inbox);
    });
}

#[test]
fn the_loop_never_sleeps_on_an_item_with_a_silent_doorbell() {
    one_look(look);
}

#[test]
#[should_panic(expected = "the flag is set, and no ring will come")]
fn loom_finds_the_flag_that_a_single_look_leaves() {
    one_look(look_once);
}

#[test]
#[should_panic(expected = "the flag is set, and no ring will come")]
fn loom_finds_the_flag_that_a_late_answer_leaves() {
    one_look(look_and_then_answer);
}

/// Two inboxes behind one doorbell: whoever answers it looks into both.
fn one_look_beside(look_beside: Look) {
    loom::model(move || {
        let inbox: Arc<TestInbox> = Arc::new(Inbox::new(Bell::new()));
        let beside = Arc::new(Inbox::with_wakeup_of(&inbox));
        let senders = [sender(&inbox, &[1]), sender(&beside, &[10])];
        if !inbox.notifier.doorbell.is_silent() {
            look(&inbox);
            look_beside(&beside);
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        verify(&inbox);
        verify(&beside);
    });
}

#[test]
fn the_loop_never_sleeps_on_an_item_beside() {
    one_look_beside(take_until_rest);
}

#[test]
#[should_panic(expected = "the flag is set, and no ring will come")]
fn loom_finds_the_inbox_that_is_forgotten() {
    one_look_beside(|_| Vec::new());
}

#[test]
fn an_item_that_meets_the_close_is_taken_or_refused() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let senders = [1, 2].map(|item| {
            let inbox = inbox.clone();
            thread::spawn(move || match inbox.send(item) {
                Ok(()) => 0,
                Err(Error::Closed) => item,
                Err(error) => panic!("{error}"),
            })
        });
        let taken: u32 = inbox.close().into_iter().sum();
        let refused: u32 = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!(taken + refused, 3);
        assert!(inbox.is_closed() && lock(&inbox.shelf).items.is_empty());
    });
}

/// The last sender to go wakes a loop that was kept running by it alone, after the items that it
/// left.
#[test]
fn the_last_sender_to_go_wakes_the_loop() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        inbox.add_sender();
        let leaving = inbox.clone();
        let sender = thread::spawn(move || {
            leaving.send(7).unwrap();
            leaving.remove_sender();
        });
        let mut taken = Vec::new();
        while inbox.has_senders() || inbox.needs_check() {
            inbox.notifier.doorbell.sleep();
            taken.extend(look(&inbox));
        }
        assert_eq!(taken, [7]);
        sender.join().unwrap();
        verify(&inbox);
    });
}
