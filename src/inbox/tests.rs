use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{Inbox, KEEP, WakeLoop, lock};
use crate::error::Error;

/// A doorbell that counts, and refuses on demand.
#[derive(Debug, Default)]
struct Bell {
    rings: AtomicUsize,
    broken: AtomicBool,
}

impl WakeLoop for Bell {
    fn wake(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.rings.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn drain(&self) -> io::Result<()> {
        Ok(())
    }
}

fn taken<T>(inbox: &Inbox<T, Bell>) -> Vec<T> {
    let mut taken = VecDeque::new();
    inbox.take(&mut taken);
    taken.into()
}

fn rings<T>(inbox: &Inbox<T, Bell>) -> usize {
    inbox.notifier.doorbell.rings.load(Ordering::SeqCst)
}

#[test]
fn sends_between_two_rests_ring_once() {
    let inbox = Inbox::new(Bell::default());
    for round in 1..=3 {
        for _ in 0..5 {
            (0..10).for_each(|i| inbox.send(i).unwrap());
            assert!(inbox.needs_check());
            assert_eq!(rings(&inbox), round, "the loop is awake");
            inbox.drain_wakeup().unwrap();
            assert_eq!(taken(&inbox), (0..10).collect::<Vec<_>>());
            assert!(inbox.is_notified(), "nobody would ring now");
        }
        assert_eq!(taken(&inbox), []);
        assert!(!inbox.needs_check());
    }
}

#[test]
fn each_inbox_behind_a_doorbell_rings_for_itself() {
    let inbox = Inbox::new(Bell::default());
    let beside: Inbox<u32, Bell> = Inbox::with_wakeup_of(&inbox);
    inbox.send('a').unwrap();
    beside.send(1).unwrap();
    assert_eq!((taken(&inbox), rings(&inbox)), (vec!['a'], 2));
    assert_eq!(taken(&inbox), []);
    assert!(!inbox.is_notified() && beside.is_notified());
}

#[test]
fn memory_of_a_burst_is_given_back() {
    let inbox = Inbox::new(Bell::default());
    let mut list = VecDeque::new();
    for burst in [4 * KEEP, 0, 10, 0, 10] {
        (0..burst).for_each(|i| inbox.send(i).unwrap());
        inbox.take(&mut list);
        assert_eq!(list.len(), burst);
        list.clear();
    }
    assert!(list.capacity() <= KEEP && lock(&inbox.shelf).items.capacity() <= KEEP);
}

#[test]
fn a_doorbell_that_refuses_is_tried_again_and_the_item_is_not_forgotten() {
    let inbox = Inbox::new(Bell::default());
    inbox.notifier.doorbell.broken.store(true, Ordering::SeqCst);
    assert!(matches!(inbox.send(1), Err(Error::Wake(_))));
    assert!(inbox.needs_check());
    assert!(inbox.take_wake_failed() && !inbox.take_wake_failed());
    inbox.notifier.doorbell.broken.store(false, Ordering::SeqCst);
    inbox.send(2).unwrap();
    assert_eq!(rings(&inbox), 1);
    assert_eq!(taken(&inbox), [1, 2]);
}

#[test]
fn a_closed_inbox_refuses_items_and_keeps_none() {
    let inbox = Inbox::new(Bell::default());
    inbox.send(1).unwrap();
    assert_eq!(inbox.close(), [1]);
    assert!(matches!(inbox.send(2), Err(Error::Closed)));
    assert!(inbox.is_closed() && inbox.close().is_empty());
}

/// What is dropped may send, since nothing is locked.
#[test]
fn an_item_that_is_refused_may_send_when_it_is_dropped() {
    struct Sends(Arc<Inbox<Option<Sends>, Bell>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            assert!(self.0.shelf.queue.try_lock().is_ok(), "it would wait for ever");
            assert!(matches!(self.0.send(None), Err(Error::Closed)));
        }
    }
    let inbox = Arc::new(Inbox::new(Bell::default()));
    drop(inbox.close());
    assert!(inbox.send(Some(Sends(inbox.clone()))).is_err());
    assert_eq!(Arc::strong_count(&inbox), 1);
}

#[test]
fn the_last_sender_to_go_rings() {
    let inbox: Inbox<u32, Bell> = Inbox::new(Bell::default());
    inbox.add_sender();
    inbox.add_sender();
    inbox.remove_sender();
    assert!(inbox.has_senders() && !inbox.needs_check());
    inbox.remove_sender();
    assert!(!inbox.has_senders() && inbox.needs_check());
}

#[test]
fn threads_keep_their_order() {
    const EACH: usize = if cfg!(miri) { 20 } else { 2_000 };
    let (inbox, start) = (Arc::new(Inbox::new(Bell::default())), Arc::new(Barrier::new(3)));
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
