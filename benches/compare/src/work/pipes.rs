//! What watchers of pipes share: pipes that are full, and the chain of libevent's benchmark.

use std::future::poll_fn;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use rustix::io::ioctl_fionbio;

/// More than comes at a time, so that a reader knows that there is no more.
pub const ROOM: usize = 8;

/// Pipes with a byte in them that nobody reads. The writers are kept, or the pipes would end.
pub fn full_pipes(count: usize) -> (Vec<PipeReader>, Vec<PipeWriter>) {
    let (readers, writers) = pipes(count);
    writers.iter().for_each(write);
    (readers, writers)
}

/// Pipes whose readers do not block.
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

/// Bytes that travel along a chain of pipes: who reads one writes one to the next pipe, until
/// enough are written. Atomic, because tasks may have to be able to move to other threads.
#[derive(Debug)]
pub struct Chain {
    writers: Vec<PipeWriter>,
    to_write: AtomicU64,
    to_read: AtomicU64,
    at_end: Mutex<Option<Waker>>,
}

impl Chain {
    pub fn new(writers: Vec<PipeWriter>) -> Chain {
        let [to_write, to_read] = [0, 0].map(AtomicU64::new);
        Chain { writers, to_write, to_read, at_end: Mutex::new(None) }
    }

    /// Begins with a byte in each of `active` pipes, evenly apart.
    pub fn begin(&self, active: usize, events: u64) {
        let (apart, first) = (self.writers.len() / active, active as u64);
        self.to_write.store(events.saturating_sub(first), Relaxed);
        self.to_read.store(events.max(first), Relaxed);
        (0..active).for_each(|number| write(&self.writers[number * apart]));
    }

    pub fn is_at_end(&self) -> bool {
        self.to_read.load(Relaxed) == 0
    }

    /// Pipe `index` has a byte.
    pub fn pass_on(&self, index: usize, mut reader: &PipeReader) {
        let count = reader.read(&mut [0; ROOM]).expect("there is something");
        self.received(index, count);
    }

    /// So many bytes came from pipe `index`.
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

    /// For those whose loop runs a task.
    pub async fn end(&self) {
        let wait = |context: &mut std::task::Context<'_>| {
            let waker = context.waker().clone();
            *self.at_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
            if self.is_at_end() { Poll::Ready(()) } else { Poll::Pending }
        };
        poll_fn(wait).await;
    }
}
