//! Every order in which two senders and the loop can meet, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib inbox`.
//!
//! The loop of these tests sleeps until the doorbell rings, so a lost wake is a deadlock, which
//! loom reports.

use std::collections::VecDeque;
use std::io;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Doorbell, Inbox, SendError};
use crate::sync::Ordering;

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

impl Doorbell for Bell {
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

type TestInbox = Inbox<u32, Bell>;

/// How the loop answers the doorbell.
type Answer = fn(&TestInbox);

/// The mutant: with the flag cleared first, a ring that comes in between is read away while the
/// flag stays set.
fn answer_in_the_wrong_order(inbox: &TestInbox) {
    inbox.notifier.notified.swap(false, Ordering::AcqRel);
    inbox.notifier.doorbell.silence().unwrap();
}

fn answer(inbox: &TestInbox) {
    inbox.answer().unwrap();
}

/// Sends `items` from a thread of its own.
fn sender(inbox: &Arc<TestInbox>, items: &'static [u32]) -> thread::JoinHandle<()> {
    let inbox = inbox.clone();
    thread::spawn(move || items.iter().for_each(|item| inbox.send(*item).unwrap()))
}

/// The loop until it has `wanted` items: sleeps, answers, takes.
fn receive(inbox: &TestInbox, wanted: usize, answer: Answer) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < wanted {
        inbox.notifier.doorbell.sleep();
        answer(inbox);
        let mut taken = VecDeque::new();
        inbox.take(&mut taken);
        all.extend(taken);
    }
    all
}

/// While the loop could go to sleep now, nothing waits for it.
fn verify(inbox: &TestInbox) {
    if inbox.notifier.doorbell.is_silent() {
        assert!(
            !inbox.notifier.notified.load(Ordering::Acquire),
            "the flag is set, and no ring will come"
        );
        assert!(inbox.lock().items.is_empty(), "an item waits, and no ring will come");
    }
}

/// Senders with `items` for each of them, and the loop until it has all of them.
fn meet(items: &'static [&'static [u32]], answer: Answer) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3); // Without a bound it takes five minutes, and finds nothing else.
    builder.check(move || {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let senders: Vec<_> = items.iter().map(|items| sender(&inbox, items)).collect();
        let all = receive(&inbox, items.concat().len(), answer);
        for items in items {
            let of_one = all.iter().copied().filter(|item| items.contains(item));
            assert!(of_one.eq(items.iter().copied()), "{all:?}");
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn no_wake_is_lost() {
    meet(&[&[1, 2], &[10]], answer);
    meet(&[&[1, 2, 3]], answer);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_wake_that_the_wrong_order_loses() {
    meet(&[&[1, 2, 3]], answer_in_the_wrong_order);
}

/// The state after one answer, whenever it comes: an item or a set flag has its ring.
fn one_answer(answer: Answer) {
    loom::model(move || {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let senders = [sender(&inbox, &[1]), sender(&inbox, &[10])];
        if !inbox.notifier.doorbell.is_silent() {
            answer(&inbox);
            inbox.take(&mut VecDeque::new());
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        verify(&inbox);
    });
}

#[test]
fn the_loop_never_sleeps_on_an_item_with_a_silent_doorbell() {
    one_answer(answer);
}

#[test]
#[should_panic(expected = "the flag is set, and no ring will come")]
fn loom_finds_the_flag_that_the_wrong_order_leaves() {
    one_answer(answer_in_the_wrong_order);
}

#[test]
fn an_item_that_meets_the_close_is_taken_or_given_back() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let senders = [1, 2].map(|item| {
            let inbox = inbox.clone();
            thread::spawn(move || match inbox.send(item) {
                Ok(()) => 0,
                Err(SendError::Closed(back)) => back,
                Err(SendError::Doorbell(error)) => panic!("{error}"),
            })
        });
        let taken: u32 = inbox.close().into_iter().sum();
        let back: u32 = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!(taken + back, 3);
        assert!(inbox.is_closed() && inbox.lock().items.is_empty());
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
        let mut taken = VecDeque::new();
        while inbox.has_senders() || inbox.is_notified() {
            inbox.notifier.doorbell.sleep();
            inbox.answer().unwrap();
            let mut bite = VecDeque::new();
            inbox.take(&mut bite);
            taken.append(&mut bite);
        }
        assert_eq!(taken, [7]);
        sender.join().unwrap();
        verify(&inbox);
    });
}
