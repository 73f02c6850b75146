//! Counts that a forked child does not inherit.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use crate::process::Process;

/// The count of one process: the [number](Process) of the process in the upper half, the count in
/// the lower.
///
/// A child made by fork(2) has a copy of the word, which does not count there. All functions are
/// async-signal-safe.
#[derive(Debug)]
pub(super) struct ProcessCount(AtomicU64);

impl ProcessCount {
    pub(super) const fn new() -> ProcessCount {
        ProcessCount(AtomicU64::new(0))
    }

    pub(super) fn increment(&self) {
        let process = Process::current().number();
        let mut word = self.0.load(SeqCst);
        // `fetch_update` has a new name in later versions of Rust.
        while let Err(changed) = self.0.compare_exchange_weak(
            word,
            word_of(process, count_of(process, word).saturating_add(1)),
            SeqCst,
            SeqCst,
        ) {
            word = changed;
        }
    }

    /// Undoes an [`increment`](ProcessCount::increment) of this process.
    fn decrement(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    fn get(&self) -> u32 {
        count_of(Process::current().number(), self.0.load(SeqCst))
    }

    /// Resets the count, and returns it.
    pub(super) fn take(&self) -> u32 {
        count_of(Process::current().number(), self.0.swap(0, SeqCst))
    }
}

fn word_of(process: u32, count: u32) -> u64 {
    u64::from(process) << 32 | u64::from(count)
}

/// Returns the count in `word` if it is of `process`, otherwise 0.
fn count_of(process: u32, word: u64) -> u32 {
    if word >> 32 == u64::from(process) { word as u32 } else { 0 }
}

/// Number of threads that run a handler in a mailbox, or that use a raw terminal. The threads of
/// its parent do not exist in a forked child.
#[derive(Debug)]
pub(super) struct ActiveHandlers(ProcessCount);

impl ActiveHandlers {
    pub(super) const fn new() -> ActiveHandlers {
        ActiveHandlers(ProcessCount::new())
    }

    pub(super) fn enter(&self) {
        self.0.increment();
    }

    pub(super) fn leave(&self) {
        self.0.decrement();
    }

    pub(super) fn wait_until_none(&self) {
        const YIELDS: u32 = 1000;
        let mut looks = 0;
        while self.0.get() != 0 {
            looks += 1;
            if looks < YIELDS {
                thread::yield_now();
            } else {
                // A real-time thread that only yields would never let a thread of lower priority
                // finish.
                thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word as a forked child inherits it.
    fn inherited(count: u32) -> ProcessCount {
        ProcessCount(AtomicU64::new(word_of(Process::current().number() ^ 1 << 8, count)))
    }

    #[test]
    fn the_count_of_another_process_is_zero() {
        assert_eq!(inherited(3).take(), 0);
        let count = inherited(3);
        assert_eq!(count.get(), 0);
        count.increment();
        count.increment();
        assert_eq!((count.get(), count.take(), count.take()), (2, 2, 0));
    }

    #[test]
    fn a_full_count_stays_full() {
        let full = word_of(Process::current().number(), u32::MAX);
        let count = ProcessCount(AtomicU64::new(full));
        count.increment();
        assert_eq!(count.take(), u32::MAX);
    }

    #[test]
    fn active_handlers_of_another_process_do_not_count() {
        let active = ActiveHandlers(inherited(3));
        active.wait_until_none();
        active.enter();
        assert_eq!(active.0.get(), 1);
        active.leave();
        active.wait_until_none();
    }
}
