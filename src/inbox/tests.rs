use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{Inbox, KEPT_CAPACITY, WakeLoop, lock};
use crate::error::Error;

/// A wakeup that counts its wakes, and fails on demand.
#[derive(Debug, Default)]
struct CountingWakeup {
    wakes: AtomicUsize,
    broken: AtomicBool,
}

impl WakeLoop for CountingWakeup {
    fn wake(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.wakes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn drain(&self) -> io::Result<()> {
        Ok(())
    }
}

fn taken<T>(inbox: &Inbox<T, CountingWakeup>) -> Vec<T> {
    let mut taken = VecDeque::new();
    inbox.take(&mut taken);
    taken.into()
}

fn wakes<T>(inbox: &Inbox<T, CountingWakeup>) -> usize {
    inbox.wakeup().wakes.load(Ordering::SeqCst)
}

#[test]
fn sends_to_a_loop_that_is_awake_wake_it_once() {
    let inbox = Inbox::new(CountingWakeup::default());
    for round in 1..=3 {
        for _ in 0..5 {
            (0..10).for_each(|i| inbox.send(i).unwrap());
            assert!(inbox.needs_check());
            assert_eq!(wakes(&inbox), round, "the loop is awake");
            inbox.drain_wakeup().unwrap();
            assert_eq!(taken(&inbox), (0..10).collect::<Vec<_>>());
            assert!(inbox.is_notified(), "no sender would wake the loop now");
        }
        assert_eq!(taken(&inbox), []);
        assert!(!inbox.needs_check());
    }
}

#[test]
fn inboxes_with_one_wakeup_have_separate_flags() {
    let inbox = Inbox::new(CountingWakeup::default());
    let second: Inbox<u32, CountingWakeup> = Inbox::with_wakeup_of(&inbox);
    inbox.send('a').unwrap();
    second.send(1).unwrap();
    assert_eq!((taken(&inbox), wakes(&inbox)), (vec!['a'], 2));
    assert_eq!(taken(&inbox), []);
    assert!(!inbox.is_notified() && second.is_notified());
}

#[test]
fn memory_of_a_burst_is_given_back() {
    let inbox = Inbox::new(CountingWakeup::default());
    let mut list = VecDeque::new();
    for burst in [4 * KEPT_CAPACITY, 0, 10, 0, 10] {
        (0..burst).for_each(|i| inbox.send(i).unwrap());
        inbox.take(&mut list);
        assert_eq!(list.len(), burst);
        list.clear();
    }
    assert!(
        list.capacity() <= KEPT_CAPACITY
            && lock(&inbox.shared).messages.capacity() <= KEPT_CAPACITY
    );
}

#[test]
fn a_failed_wake_is_tried_again_and_the_message_is_kept() {
    let inbox = Inbox::new(CountingWakeup::default());
    inbox.wakeup().broken.store(true, Ordering::SeqCst);
    assert!(matches!(inbox.send(1), Err(Error::Wake(_))));
    assert!(inbox.needs_check());
    assert!(inbox.take_wake_failed() && !inbox.take_wake_failed());
    inbox.wakeup().broken.store(false, Ordering::SeqCst);
    inbox.send(2).unwrap();
    assert_eq!(wakes(&inbox), 1);
    assert_eq!(taken(&inbox), [1, 2]);
}

#[test]
fn a_closed_inbox_refuses_messages_and_keeps_none() {
    let inbox = Inbox::new(CountingWakeup::default());
    inbox.send(1).unwrap();
    assert_eq!(inbox.close(), [1]);
    assert!(matches!(inbox.send(2), Err(Error::Closed)));
    assert!(inbox.is_closed() && inbox.close().is_empty());
}

#[test]
fn the_drop_of_a_refused_message_may_send() {
    struct Sends(Arc<Inbox<Option<Sends>, CountingWakeup>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            assert!(self.0.shared.queue.try_lock().is_ok(), "the queue is locked during a drop");
            assert!(matches!(self.0.send(None), Err(Error::Closed)));
        }
    }
    let inbox = Arc::new(Inbox::new(CountingWakeup::default()));
    drop(inbox.close());
    assert!(inbox.send(Some(Sends(inbox.clone()))).is_err());
    assert_eq!(Arc::strong_count(&inbox), 1);
}

#[test]
fn the_last_sender_wakes_the_loop_when_it_leaves() {
    let inbox: Inbox<u32, CountingWakeup> = Inbox::new(CountingWakeup::default());
    inbox.add_sender();
    inbox.add_sender();
    inbox.remove_sender();
    assert!(inbox.has_senders() && !inbox.needs_check());
    inbox.remove_sender();
    assert!(!inbox.has_senders() && inbox.needs_check());
}

#[test]
fn messages_of_a_thread_keep_their_order() {
    const EACH: usize = if cfg!(miri) { 20 } else { 2_000 };
    let (inbox, start) =
        (Arc::new(Inbox::new(CountingWakeup::default())), Arc::new(Barrier::new(3)));
    let senders = [0, 1].map(|thread| {
        let (inbox, start) = (inbox.clone(), start.clone());
        thread::spawn(move || {
            start.wait();
            (0..EACH).for_each(|i| inbox.send((thread, i)).unwrap());
        })
    });
    start.wait();
    let next = [Cell::new(0), Cell::new(0)];
    while next.iter().any(|next| next.get() < EACH) {
        inbox.drain_wakeup().unwrap();
        for (thread, i) in taken(&inbox) {
            let next: &Cell<usize> = &next[thread];
            assert_eq!(next.replace(i + 1), i);
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}
