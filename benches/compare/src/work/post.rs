//! A thread that posts messages to the loop: without a pause, or one message after each reply.
//!
//! Messages and replies are the same for all peers. The channel for the messages is that of the
//! peer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::run_requests;
use crate::cores::Cores;

/// A message to the loop.
#[derive(Debug)]
pub struct Message {
    number: u64,
    /// Channel for the reply, if the sender waits for one.
    reply: Option<SyncSender<()>>,
}

impl Message {
    /// Handles the message in the loop: adds its number to `sum`, and replies.
    pub fn receive(self, sum: &mut u64) {
        *sum = sum.wrapping_add(self.number);
        if let Some(reply) = self.reply {
            reply.send(()).expect("the sender waits for the reply");
        }
    }
}

/// The posting thread. It returns median and 99th percentile of the round trips in nanoseconds.
type Trips = JoinHandle<[u64; 2]>;

/// The messages to post. Each has the number 1, so their sum is the number of arrived messages.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub count: u64,
    has_replies: bool,
}

impl Traffic {
    /// Starts the thread on another core. It drops `post` at its end.
    pub fn start(self, mut post: impl FnMut(Message) + Send + 'static) -> Trips {
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

/// The work of `post`: nanoseconds from the first post to the arrival of the last message.
pub fn throughput(transfer: fn(Traffic) -> Trips) {
    run_requests(|count| {
        let began = Instant::now();
        let _ = transfer(Traffic { count, has_replies: false });
        [began.elapsed().as_nanos() as u64]
    });
}

/// The work of `round_trip`.
pub fn round_trips(transfer: fn(Traffic) -> Trips) {
    run_requests(|count| {
        transfer(Traffic { count, has_replies: true }).join().expect("a thread ends")
    });
}

/// A list of messages, for peers with a wakeup but no channel.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Mutex<Vec<Message>>,
    /// True if the loop was woken since it last took the messages.
    is_woken: AtomicBool,
}

impl Inbox {
    /// Adds a message. Returns true if the sender must wake the loop.
    pub fn push(&self, message: Message) -> bool {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        !self.is_woken.swap(true, Ordering::AcqRel)
    }

    /// Moves all messages into `taken`, which must be empty, by swapping the lists.
    pub fn take(&self, taken: &mut Vec<Message>) {
        self.is_woken.store(false, Ordering::Release);
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
