//! The worker threads of a pool, and how they get their jobs.
//!
//! # Invariants
//!
//! * A job is added under the same lock under which an idle worker is woken for it or a new one
//!   starts. A worker that stops waiting checks for a job under the lock under which it is removed.
//!   So no job waits for a worker that has ended.
//! * `closed` is written under that lock. A job is either refused, or among the waiting jobs that
//!   closing removes.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mainspring_sys::process::Process;

use super::label::JobLabel;
use super::queue::{JobClass, JobClosure, JobQueue, WaitingJob};
use super::stuck_jobs::StuckJob;
use crate::error::{Error, Result};
use crate::std_or_loom::{Condvar, Mutex, MutexGuard};

/// Settings of a pool.
#[derive(Debug, Clone)]
pub(super) struct PoolSettings {
    pub(super) max_threads: usize,
    /// Maximum number of waiting jobs of each class.
    pub(super) max_waiting: usize,
    /// Time for which an idle worker waits for a job.
    pub(super) keep_alive: Duration,
    pub(super) thread_name: Cow<'static, str>,
}

/// Starts a thread with this name. Tests have their own, which fail.
type StartThread = fn(String, Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// The shared part of a pool, its threads and its jobs.
pub(super) struct Workers {
    settings: PoolSettings,
    start_thread: StartThread,
    /// The process that has the threads.
    process: Process,
    /// Workers of a forked child, where the parent's threads do not exist.
    of_child: OnceLock<Arc<Workers>>,
    queue: Mutex<JobQueue>,
    /// Notified of each waiting job, and of the closing.
    pub(super) work: Condvar,
    /// Notified of each job that ends after the closing.
    ended: Condvar,
}

impl Workers {
    pub(super) fn new(settings: PoolSettings, start_thread: StartThread) -> Arc<Workers> {
        let queue = Mutex::new(JobQueue::new(settings.max_threads));
        let (process, of_child) = (Process::current(), OnceLock::new());
        let (work, ended) = (Condvar::new(), Condvar::new());
        Arc::new(Workers { settings, start_thread, process, of_child, queue, work, ended })
    }

    /// Returns the workers of this process. In a forked child these are new, without threads and
    /// jobs, and closed if the inherited ones were.
    pub(super) fn of_this_process(self: &Arc<Workers>) -> &Arc<Workers> {
        let mut workers = self;
        while !workers.is_current() {
            workers = workers.of_child.get_or_init(|| {
                let fresh = Workers::new(workers.settings.clone(), workers.start_thread);
                // A thread of the parent may have held the lock at the fork. Nothing unlocks it in
                // the child.
                fresh.lock().closed = workers.queue.try_lock().is_ok_and(|queue| queue.closed);
                fresh
            });
        }
        workers
    }

    /// Returns false in a forked child of the process that has these threads.
    pub(super) fn is_current(&self) -> bool {
        self.process.is_current()
    }

    /// Returns true if a forked child has used the pool.
    pub(super) fn has_child(&self) -> bool {
        self.of_child.get().is_some()
    }

    /// Adds a job, and wakes or starts a worker for it. Returns the job's id.
    pub(super) fn submit(
        self: &Arc<Workers>,
        class: JobClass,
        label: JobLabel,
        submitted_in: Option<u64>,
        closure: Box<dyn JobClosure>,
    ) -> Result<u64> {
        let mut queue = self.lock();
        if let Some(error) = self.refusal(&queue, class) {
            drop(queue); // Before `closure`: its `Drop` may use the pool.
            return Err(error);
        }
        let id = queue.push(class, label, submitted_in, closure);
        if !queue.lacks_workers() {
            self.work.notify_one();
        } else if queue.threads() < self.settings.max_threads
            && let Err(error) = self.add_worker(&mut queue)
            && queue.threads() == 0
        {
            let refused = queue.remove(class, id);
            drop(queue); // Before `refused`, as above.
            drop(refused);
            return Err(Error::Thread(error));
        }
        Ok(id)
    }

    /// Removes a waiting job. The caller drops it, without the lock.
    pub(super) fn remove(&self, class: JobClass, id: u64) -> Option<WaitingJob> {
        self.lock().remove(class, id)
    }

    /// Refuses jobs from now on, drops those that wait, and waits up to `limit` for those that run.
    /// Returns the jobs that still run.
    pub(super) fn close(&self, limit: Duration) -> Vec<StuckJob> {
        let deadline = Instant::now().checked_add(limit);
        let mut queue = self.lock();
        queue.closed = true;
        let refused = queue.remove_all();
        self.work.notify_all();
        drop(queue);
        refused.into_iter().for_each(|job| job.closure.refuse());

        let mut queue = self.lock();
        let mut timed_out = false;
        while queue.running() > 0 && !timed_out {
            (queue, timed_out) = wait(&self.ended, queue, deadline);
        }
        queue.stuck()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, JobQueue> {
        ignore_poison(self.queue.lock())
    }

    fn refusal(&self, queue: &JobQueue, class: JobClass) -> Option<Error> {
        let waiting = queue.waiting_of(class);
        if queue.closed {
            Some(Error::PoolClosed)
        } else if waiting >= self.settings.max_waiting {
            Some(Error::QueueFull { waiting })
        } else {
            None
        }
    }

    /// Starts a worker. The lock is held until the thread has started or failed, so that no other
    /// submitter relies on a worker that does not exist.
    fn add_worker(self: &Arc<Workers>, queue: &mut JobQueue) -> io::Result<()> {
        let number = queue.add_worker();
        let workers = self.clone();
        let body = move || {
            while let Some(closure) = workers.next(number) {
                closure.run();
            }
        };
        (self.start_thread)(format!("{}-{number}", self.settings.thread_name), Box::new(body))
            .inspect_err(|_| queue.remove_worker(number))
    }

    /// Ends the job of a worker, and returns its next one, or `None` if the worker must end.
    fn next(&self, worker: usize) -> Option<Box<dyn JobClosure>> {
        let mut queue = self.lock();
        queue.end(worker);
        if queue.closed {
            self.ended.notify_all();
        }
        let mut timed_out = self.settings.keep_alive.is_zero();
        let mut deadline = None; // The clock is read only if the worker has to wait.
        loop {
            if let Some(closure) = queue.begin(worker) {
                return Some(closure);
            }
            if queue.closed || timed_out {
                queue.remove_worker(worker);
                return None;
            }
            let deadline = *deadline
                .get_or_insert_with(|| Instant::now().checked_add(self.settings.keep_alive));
            (queue, timed_out) = wait(&self.work, queue, deadline);
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Waits for a notification, until `deadline` if there is one. Also returns true if the deadline
/// has passed.
fn wait<'a>(
    condvar: &Condvar,
    queue: MutexGuard<'a, JobQueue>,
    deadline: Option<Instant>,
) -> (MutexGuard<'a, JobQueue>, bool) {
    let Some(deadline) = deadline else { return (ignore_poison(condvar.wait(queue)), false) };
    let left = deadline.saturating_duration_since(Instant::now());
    let (queue, waited) = ignore_poison(condvar.wait_timeout(queue, left));
    // loom has no clock: there each notification counts as a timeout.
    (queue, waited.timed_out() || cfg!(all(loom, test)))
}

/// Ignores poison: no user code runs under the lock.
fn ignore_poison<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
