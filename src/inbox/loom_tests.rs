//! All interleavings of two senders and the loop, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib inbox`.
//!
//! The loop of these tests sleeps until it is woken. So a lost wake is a deadlock, which loom
//! reports.

use std::collections::VecDeque;
use std::io;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Inbox, WakeLoop, lock};
use crate::error::Error;
use crate::std_or_loom::Ordering;

/// A wakeup that behaves as the kernel's: it is set until it is drained, and wakes are merged.
#[derive(Debug)]
struct TestWakeup {
    is_set: Mutex<bool>,
    was_set: Condvar,
}

impl TestWakeup {
    fn new() -> TestWakeup {
        TestWakeup { is_set: Mutex::new(false), was_set: Condvar::new() }
    }

    /// Sleeps as the selector does.
    fn sleep(&self) {
        let mut is_set = self.is_set.lock().unwrap();
        while !*is_set {
            is_set = self.was_set.wait(is_set).unwrap();
        }
    }

    fn is_unset(&self) -> bool {
        !*self.is_set.lock().unwrap()
    }
}

impl WakeLoop for TestWakeup {
    fn wake(&self) -> io::Result<()> {
        *self.is_set.lock().unwrap() = true;
        self.was_set.notify_one();
        Ok(())
    }

    fn drain(&self) -> io::Result<()> {
        *self.is_set.lock().unwrap() = false;
        Ok(())
    }
}

type TestInbox = Inbox<u32, TestWakeup>;

/// The part of the loop from a wake to its next sleep. Returns the messages that it took.
type Check = fn(&TestInbox) -> Vec<u32>;

fn check(inbox: &TestInbox) -> Vec<u32> {
    inbox.drain_wakeup().unwrap();
    take_until_unset(inbox)
}

fn take_until_unset(inbox: &TestInbox) -> Vec<u32> {
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

/// A mutant: a wake after the take is drained.
fn check_and_then_drain(inbox: &TestInbox) -> Vec<u32> {
    let taken = take_until_unset(inbox);
    inbox.drain_wakeup().unwrap();
    taken
}

/// A mutant: a message after the take finds the flag set, and the loop sleeps.
fn check_once(inbox: &TestInbox) -> Vec<u32> {
    inbox.drain_wakeup().unwrap();
    take(inbox).into()
}

/// A mutant: a message between the take and the clearing of the flag causes no wake.
fn check_and_clear_without_the_lock(inbox: &TestInbox) -> Vec<u32> {
    inbox.drain_wakeup().unwrap();
    let mut all = Vec::new();
    loop {
        let taken = std::mem::take(&mut *lock(&inbox.shared).messages);
        if taken.is_empty() {
            inbox.shared.notified.store(false, Ordering::Release);
            return all;
        }
        all.extend(taken);
    }
}

/// Starts a thread that sends `messages`.
fn sender(inbox: &Arc<TestInbox>, messages: &'static [u32]) -> thread::JoinHandle<()> {
    let inbox = inbox.clone();
    thread::spawn(move || messages.iter().for_each(|message| inbox.send(*message).unwrap()))
}

/// Runs the loop until it has `wanted` messages.
fn receive(inbox: &TestInbox, wanted: usize, check: Check) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < wanted {
        inbox.wakeup().sleep();
        all.extend(check(inbox));
    }
    all
}

/// Panics if the loop could go to sleep now although a message is queued.
fn verify(inbox: &TestInbox) {
    if inbox.wakeup().is_unset() {
        assert!(!inbox.is_notified(), "the flag is set, and no wake will come");
        assert!(
            lock(&inbox.shared).messages.is_empty(),
            "a message is queued, and no wake will come"
        );
    }
}

/// Runs one sender for each list of messages, and the loop until it has all of them.
fn send_and_receive(messages: &'static [&'static [u32]], check: Check) {
    explore(move || {
        let inbox = Arc::new(Inbox::new(TestWakeup::new()));
        let senders: Vec<_> = messages.iter().map(|messages| sender(&inbox, messages)).collect();
        let all = receive(&inbox, messages.concat().len(), check);
        for messages in messages {
            let of_one = all.iter().copied().filter(|message| messages.contains(message));
            assert!(of_one.eq(messages.iter().copied()), "{all:?}");
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3); // Without a bound it takes minutes, and finds nothing else.
    builder.check(model);
}

#[test]
fn no_wake_is_lost() {
    send_and_receive(&[&[1, 2], &[10]], check);
    send_and_receive(&[&[1, 2, 3]], check);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_wake_that_a_single_check_loses() {
    send_and_receive(&[&[1, 2, 3]], check_once);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_wake_that_clearing_without_the_lock_loses() {
    send_and_receive(&[&[1, 2, 3]], check_and_clear_without_the_lock);
}

/// Verifies the state before a sleep: a queued message or a set flag has its wake.
fn check_one_inbox(check: Check) {
    loom::model(move || {
        let inbox = Arc::new(Inbox::new(TestWakeup::new()));
        let senders = [sender(&inbox, &[1]), sender(&inbox, &[10])];
        if !inbox.wakeup().is_unset() {
            check(&inbox);
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        verify(&inbox);
    });
}

#[test]
fn the_loop_never_sleeps_while_a_message_is_queued() {
    check_one_inbox(check);
}

#[test]
#[should_panic(expected = "the flag is set, and no wake will come")]
fn loom_finds_the_flag_that_a_single_check_leaves() {
    check_one_inbox(check_once);
}

#[test]
#[should_panic(expected = "the flag is set, and no wake will come")]
fn loom_finds_the_flag_that_a_late_drain_leaves() {
    check_one_inbox(check_and_then_drain);
}

/// Two inboxes behind one wakeup: the loop must take the messages of both.
fn check_two_inboxes(check_second: Check) {
    loom::model(move || {
        let inbox: Arc<TestInbox> = Arc::new(Inbox::new(TestWakeup::new()));
        let second = Arc::new(Inbox::with_wakeup_of(&inbox));
        let senders = [sender(&inbox, &[1]), sender(&second, &[10])];
        if !inbox.wakeup().is_unset() {
            check(&inbox);
            check_second(&second);
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        verify(&inbox);
        verify(&second);
    });
}

#[test]
fn the_loop_never_sleeps_while_the_second_inbox_has_a_message() {
    check_two_inboxes(take_until_unset);
}

#[test]
#[should_panic(expected = "the flag is set, and no wake will come")]
fn loom_finds_the_second_inbox_that_is_not_checked() {
    check_two_inboxes(|_| Vec::new());
}

#[test]
fn a_message_that_meets_the_close_is_taken_or_refused() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(TestWakeup::new()));
        let senders = [1, 2].map(|message| {
            let inbox = inbox.clone();
            thread::spawn(move || match inbox.send(message) {
                Ok(()) => 0,
                Err(Error::Closed) => message,
                Err(error) => panic!("{error}"),
            })
        });
        let taken: u32 = inbox.close().into_iter().sum();
        let refused: u32 = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!(taken + refused, 3);
        assert!(inbox.is_closed() && lock(&inbox.shared).messages.is_empty());
    });
}

/// The last sender that leaves wakes a loop that only this sender kept running. Its messages are
/// taken before.
#[test]
fn the_last_sender_wakes_the_loop_when_it_leaves() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(TestWakeup::new()));
        inbox.add_sender();
        let leaving = inbox.clone();
        let sender = thread::spawn(move || {
            leaving.send(7).unwrap();
            leaving.remove_sender();
        });
        let mut taken = Vec::new();
        while inbox.has_senders() || inbox.needs_check() {
            inbox.wakeup().sleep();
            taken.extend(check(&inbox));
        }
        assert_eq!(taken, [7]);
        sender.join().unwrap();
        verify(&inbox);
    });
}
