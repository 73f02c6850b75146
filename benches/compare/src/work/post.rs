//! A thread that posts to the loop: as fast as it can, or one message after the other's reply.
//!
//! What carries the messages is the peer's; that there are messages, and how they are answered, is
//! the same for all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::run_requests;
use crate::cores::Cores;

/// What is posted.
#[derive(Debug)]
pub struct Message {
    number: u64,
    reply: Option<SyncSender<()>>,
}

impl Message {
    /// The loop has got it.
    pub fn receive(self, sum: &mut u64) {
        *sum = sum.wrapping_add(self.number);
        if let Some(reply) = self.reply {
            reply.send(()).expect("the other thread waits");
        }
    }
}

/// The median and the 99th percentile of the nanoseconds of a round trip.
type Trips = JoinHandle<[u64; 2]>;

/// What is to be posted. The numbers are 1, so that their sum tells when all have come.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub count: u64,
    has_replies: bool,
}

impl Traffic {
    /// Starts the thread, on another core. Dropping `post` is its last act.
    pub fn begin(self, mut post: impl FnMut(Message) + Send + 'static) -> Trips {
        let cores = Cores::of_this_process();
        cores.go_to_first();
        thread::spawn(move || {
            cores.go_to_last();
            if self.has_replies {
                return percentiles((0..self.count).map(|_| trip(&mut post)).collect());
            }
            for _ in 0..self.count {
                post(Message { number: 1, reply: None });
            }
            [0; 2]
        })
    }
}

fn trip(post: &mut impl FnMut(Message)) -> u64 {
    let (sender, receiver) = sync_channel(1);
    let began = Instant::now();
    post(Message { number: 1, reply: Some(sender) });
    receiver.recv().expect("the loop replies");
    began.elapsed().as_nanos() as u64
}

fn percentiles(mut figures: Vec<u64>) -> [u64; 2] {
    figures.sort_unstable();
    [50, 99].map(|part| figures[(figures.len() * part / 100).min(figures.len() - 1)])
}

/// The worker of `post`: nanoseconds from the first message to the arrival of the last one.
pub fn throughput(transfer: fn(Traffic) -> Trips) {
    run_requests(|count| {
        let began = Instant::now();
        let _ = transfer(Traffic { count, has_replies: false });
        [began.elapsed().as_nanos() as u64]
    });
}

/// The worker of `round_trip`.
pub fn round_trips(transfer: fn(Traffic) -> Trips) {
    run_requests(|count| {
        transfer(Traffic { count, has_replies: true }).join().expect("a thread ends")
    });
}

/// For those who offer a wakeup and no channel: a list of messages, and whether it was rung for.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Mutex<Vec<Message>>,
    is_rung: AtomicBool,
}

impl Inbox {
    /// Leaves a message; whether the loop has to be woken.
    pub fn push(&self, message: Message) -> bool {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        !self.is_rung.swap(true, Ordering::AcqRel)
    }

    /// Takes all messages into `taken`, which is empty: the two lists change places.
    pub fn take(&self, taken: &mut Vec<Message>) {
        self.is_rung.store(false, Ordering::Release);
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *messages, taken);
    }
}

#[cfg(test)]
mod tests {
    use super::percentiles;

    #[test]
    fn percentiles_are_of_the_sorted_figures() {
        assert_eq!(percentiles((0..1000).rev().collect()), [500, 990]);
        assert_eq!(percentiles(vec![7]), [7, 7]);
    }
}
