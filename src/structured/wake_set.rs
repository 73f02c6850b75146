//! Wakers for a set of futures that one task polls. Each waker carries the index of its future, so
//! a wake costs O(1) however many futures the set has.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::step_counter::step;
use crate::task::kept_wakers::{self, KeepsWakers};

/// The wakes of a set of futures.
pub(super) struct WakeSet {
    woken: Arc<Mutex<Woken>>,
}

struct Woken {
    /// Indices of the futures to poll, oldest wake first.
    indices: VecDeque<usize>,
    /// Waker of the task that polls the set; `None` after a wake.
    waiter: Option<Waker>,
}

impl WakeSet {
    /// Creates the set of `count` futures, each of which must be polled once.
    pub(super) fn new(count: usize) -> WakeSet {
        let woken = Woken { indices: (0..count).collect(), waiter: None };
        let woken = Arc::new(Mutex::new(woken));
        kept_wakers::add_shared(&woken); // Only tasks get its wakers.
        WakeSet { woken }
    }

    /// Stores the waker of the task that polls the set.
    #[inline]
    pub(super) fn wait(&self, waker: &Waker) {
        let waiter = waker.clone();
        let old = lock(&self.woken).waiter.replace(waiter);
        drop(old);
    }

    /// Returns the index of the next future to poll.
    #[inline]
    pub(super) fn next(&self) -> Option<usize> {
        step();
        lock(&self.woken).indices.pop_front()
    }

    /// Polls a future. Its waker adds its index to the set.
    #[inline]
    pub(super) fn poll<F: Future>(&self, index: usize, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::new(IndexWaker { index, woken: self.woken.clone() }));
        future.poll(&mut Context::from_waker(&waker))
    }
}

impl KeepsWakers for Mutex<Woken> {
    fn for_each_waker(&self, visit: &mut dyn FnMut(&Waker)) {
        lock(self).waiter.iter().for_each(visit);
    }
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waker of one future of a set.
struct IndexWaker {
    index: usize,
    woken: Arc<Mutex<Woken>>,
}

impl Wake for IndexWaker {
    fn wake(self: Arc<IndexWaker>) {
        let mut woken = lock(&self.woken);
        woken.indices.push_back(self.index);
        let waiter = mem::take(&mut woken.waiter);
        // Woken outside the lock: the waker may be user code.
        drop(woken);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
