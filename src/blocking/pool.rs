//! The threads of an executor, and how jobs and threads find each other.
//!
//! # Invariants
//!
//! * Whoever adds a job sees to its worker under the same lock: an idle one is woken, or a new one
//!   starts. A worker that gives up waiting looks for a job under the lock under which it leaves.
//!   So a job never waits for a worker that has gone.
//! * Closed is a state under that lock: a job is either refused, or it is there when the closing
//!   takes out what waits.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mainspring_sys::process::Process;

use super::job::About;
use super::state::{Class, State, Waiting, Work};
use super::stuck::StuckJob;
use crate::error::{Error, Result};
use crate::std_or_loom::{Condvar, Mutex, MutexGuard};

/// How much of what an executor may have.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) threads: usize,
    pub(super) queue: usize,
    pub(super) idle: Duration,
    pub(super) name: Cow<'static, str>,
}

/// Starts a thread with this name; tests have systems that refuse.
type Start = fn(String, Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// What an executor, its threads and its jobs share.
pub(super) struct Pool {
    limits: Limits,
    start: Start,
    /// The process that has the threads.
    process: Process,
    /// The pool of a forked child, which has none of them.
    of_child: OnceLock<Arc<Pool>>,
    state: Mutex<State>,
    /// Notified of a job that waits, and of the closing.
    pub(super) work: Condvar,
    /// Notified of each job that ends after the closing.
    ended: Condvar,
}

impl Pool {
    pub(super) fn new(limits: Limits, start: Start) -> Arc<Pool> {
        let state = Mutex::new(State::new(limits.threads));
        let (process, of_child) = (Process::current(), OnceLock::new());
        let (work, ended) = (Condvar::new(), Condvar::new());
        Arc::new(Pool { limits, start, process, of_child, state, work, ended })
    }

    /// The pool that serves this process: in a forked child a new one, without threads and jobs. It
    /// is closed if the inherited one was.
    pub(super) fn here(self: &Arc<Pool>) -> &Arc<Pool> {
        let mut pool = self;
        while !pool.is_here() {
            pool = pool.of_child.get_or_init(|| {
                let fresh = Pool::new(pool.limits.clone(), pool.start);
                // A thread of the parent may have held the lock, which nothing unlocks then.
                fresh.lock().closed = pool.state.try_lock().is_ok_and(|state| state.closed);
                fresh
            });
        }
        pool
    }

    /// False in a forked child of the process whose jobs these are.
    pub(super) fn is_here(&self) -> bool {
        self.process.is_current()
    }

    /// True if a forked child has used the executor.
    pub(super) fn has_child(&self) -> bool {
        self.of_child.get().is_some()
    }

    /// Adds a job, and sees to it that a worker takes it.
    pub(super) fn submit(
        self: &Arc<Pool>,
        class: Class,
        about: About,
        work: Box<dyn Work>,
    ) -> Result<u64> {
        let mut state = self.lock();
        if let Some(error) = self.refusal(&state, class) {
            drop(state); // Before `work` is.
            return Err(error);
        }
        let id = state.push(class, about, work);
        if !state.lacks_workers() {
            self.work.notify_one();
        } else if state.threads() < self.limits.threads
            && let Err(error) = self.add_worker(&mut state)
            && state.threads() == 0
        {
            let refused = state.remove(class, id);
            drop(state); // Before `refused` is.
            drop(refused);
            return Err(Error::Thread(error));
        }
        Ok(id)
    }

    /// Takes a job back that has not begun. It is the caller's to drop.
    pub(super) fn remove(&self, class: Class, id: u64) -> Option<Waiting> {
        self.lock().remove(class, id)
    }

    /// Lets no more jobs in, drops those that wait, and gives those that run on after `limit`.
    pub(super) fn close(&self, limit: Duration) -> Vec<StuckJob> {
        let end = Instant::now().checked_add(limit);
        let mut state = self.lock();
        state.closed = true;
        let refused = state.remove_all();
        self.work.notify_all();
        drop(state);
        refused.into_iter().for_each(|job| job.work.refuse());

        let mut state = self.lock();
        let mut is_over = false;
        while state.running() > 0 && !is_over {
            (state, is_over) = wait(&self.ended, state, end);
        }
        state.stuck()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        without_poison(self.state.lock())
    }

    fn refusal(&self, state: &State, class: Class) -> Option<Error> {
        let waiting = state.waiting_of(class);
        if state.closed {
            Some(Error::PoolClosed)
        } else if waiting >= self.limits.queue {
            Some(Error::QueueFull { waiting })
        } else {
            None
        }
    }

    /// Starts a thread. The lock is held meanwhile, so that nobody counts on one that fails to
    /// start.
    fn add_worker(self: &Arc<Pool>, state: &mut State) -> io::Result<()> {
        let number = state.add_worker();
        let pool = self.clone();
        let body = move || {
            while let Some(work) = pool.next(number) {
                work.run();
            }
        };
        (self.start)(format!("{}-{number}", self.limits.name), Box::new(body))
            .inspect_err(|_| state.remove_worker(number))
    }

    /// Ends the job of a worker, and gives it the next one; none if the worker is to leave.
    fn next(&self, worker: usize) -> Option<Box<dyn Work>> {
        let mut state = self.lock();
        state.end(worker);
        if state.closed {
            self.ended.notify_all();
        }
        let mut is_over = self.limits.idle.is_zero();
        let mut end = None;
        loop {
            if let Some(work) = state.begin(worker) {
                return Some(work);
            }
            if state.closed || is_over {
                state.remove_worker(worker);
                return None;
            }
            let end = *end.get_or_insert_with(|| Instant::now().checked_add(self.limits.idle));
            (state, is_over) = wait(&self.work, state, end);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Waits to be notified, until `end` if there is one. Also gives whether that is over.
fn wait<'a>(
    condvar: &Condvar,
    state: MutexGuard<'a, State>,
    end: Option<Instant>,
) -> (MutexGuard<'a, State>, bool) {
    let Some(end) = end else { return (without_poison(condvar.wait(state)), false) };
    let left = end.saturating_duration_since(Instant::now());
    let (state, waited) = without_poison(condvar.wait_timeout(state, left));
    // loom has no clock. There the time is up whenever somebody notifies, at that very moment.
    (state, waited.timed_out() || cfg!(all(loom, test)))
}

/// No user code runs under the lock, so that its poison means nothing.
fn without_poison<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
