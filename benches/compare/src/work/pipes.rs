//! Pipes to watch, and the chain of libevent's benchmark.

use std::future::poll_fn;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use rustix::io::ioctl_fionbio;

/// Size of a read: more than arrives at a time, so that a short read is the last one.
pub const READ_SIZE: usize = 8;

/// Returns pipes that contain a byte. The writers keep the pipes open.
pub fn full_pipes(count: usize) -> (Vec<PipeReader>, Vec<PipeWriter>) {
    let (readers, writers) = pipes(count);
    writers.iter().for_each(write);
    (readers, writers)
}

/// Returns pipes with non-blocking readers.
pub fn pipes(count: usize) -> (Vec<PipeReader>, Vec<PipeWriter>) {
    let pipe = |_| {
        let (reader, writer) = std::io::pipe().expect("there are descriptors");
        ioctl_fionbio(reader.as_fd(), true).expect("an option of a pipe");
        (reader, writer)
    };
    (0..count).map(pipe).unzip()
}

fn write(mut writer: &PipeWriter) {
    writer.write_all(b"x").expect("a pipe has room for some bytes");
}

/// Bytes that travel along a chain of pipes. Each read byte is written to the next pipe, up to a
/// number of writes. The fields are atomic, because some peers require tasks that may move between
/// threads.
#[derive(Debug)]
pub struct Chain {
    writers: Vec<PipeWriter>,
    to_write: AtomicU64,
    to_read: AtomicU64,
    /// Waker of [`end`](Chain::end).
    at_end: Mutex<Option<Waker>>,
}

impl Chain {
    pub fn new(writers: Vec<PipeWriter>) -> Chain {
        let [to_write, to_read] = [0, 0].map(AtomicU64::new);
        Chain { writers, to_write, to_read, at_end: Mutex::new(None) }
    }

    /// Writes a byte to each of `active` pipes, evenly spaced.
    pub fn start(&self, active: usize, events: u64) {
        let (apart, first) = (self.writers.len() / active, active as u64);
        self.to_write.store(events.saturating_sub(first), Relaxed);
        self.to_read.store(events.max(first), Relaxed);
        (0..active).for_each(|number| write(&self.writers[number * apart]));
    }

    pub fn is_at_end(&self) -> bool {
        self.to_read.load(Relaxed) == 0
    }

    /// Reads from pipe `index`, and writes to the next one.
    pub fn pass_on(&self, index: usize, mut reader: &PipeReader) {
        let count = reader.read(&mut [0; READ_SIZE]).expect("there is something");
        self.received(index, count);
    }

    /// Handles `count` bytes that were read from pipe `index`.
    pub fn received(&self, index: usize, count: usize) {
        for _ in 0..count {
            let left = self.to_write.load(Relaxed);
            if left > 0 {
                self.to_write.store(left - 1, Relaxed);
                write(&self.writers[if index + 1 == self.writers.len() { 0 } else { index + 1 }]);
            }
        }
        let left = self.to_read.load(Relaxed) - count as u64;
        self.to_read.store(left, Relaxed);
        if left == 0 {
            let waiting = self.at_end.lock().unwrap_or_else(PoisonError::into_inner).take();
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Waits for the end of the chain, for peers that run a task.
    pub async fn end(&self) {
        let wait = |context: &mut std::task::Context<'_>| {
            let waker = context.waker().clone();
            *self.at_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
            if self.is_at_end() { Poll::Ready(()) } else { Poll::Pending }
        };
        poll_fn(wait).await;
    }
}
