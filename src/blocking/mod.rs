//! The blocking pool: a few threads for work that would block the thread of a loop.
//!
//! A file read, a password hash or a call of the system's resolver has no descriptor to wait for.
//! Such a closure becomes a [`Job`], which runs on a thread of the pool and is a future of the
//! closure's result. A job completes through an ordinary waker and is independent of the loop. It
//! can be awaited in a task, on another runtime, or by a thread.
//!
//! # Invariants
//!
//! * Jobs start in the order of their submission. Exception: jobs of a class that is at its limit
//!   wait, see [`JobBuilder::lookup`].
//! * Each closure runs once, or is dropped once without having run; the task that awaits it then
//!   gets an error. User code never runs and is never dropped under a lock of the pool.
//! * A panic of user code ends no thread of the pool. It is the result of the job, unless the job
//!   was abandoned.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::snapshot::{Entry, EntryKind, EntryState};

mod job;
mod job_error;
mod label;
#[cfg(all(loom, test))]
mod loom_tests;
mod queue;
mod stuck_jobs;
#[cfg(all(not(loom), test))]
mod tests;
mod workers;

pub use self::job::Job;
pub use self::job_error::JobError;
pub use self::stuck_jobs::{StuckJob, StuckJobs};

use self::label::JobLabel;
use self::queue::JobClass;
use self::workers::{PoolSettings, Workers};

/// A thread pool for blocking work.
///
/// The first thread starts with the first job. Another one starts when a job is submitted while all
/// threads are busy, up to [`max_threads`](BlockingPoolBuilder::max_threads). A thread that gets no
/// job for a while ends.
///
/// In a child created by fork(2) the pool begins without threads, because the parent's threads do
/// not exist there. An inherited [`Job`] returns an error in the child; the parent gets the result.
///
/// Dropping the pool [closes](BlockingPool::close) it without waiting. Running jobs continue to
/// their end in the background.
///
/// ```
/// use mainspring::BlockingPool;
///
/// let pool = BlockingPool::new();
/// assert_eq!(pool.threads(), 0); // none before the first job
/// let job = pool.submit(|| std::fs::read("/dev/null"))?;
/// assert!(job.wait()?.unwrap().is_empty()); // in a task: `job.await`
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct BlockingPool {
    workers: Arc<Workers>,
}

impl BlockingPool {
    /// Creates a pool with the default settings.
    pub fn new() -> BlockingPool {
        BlockingPool { workers: Workers::new(BlockingPoolBuilder::new().settings, start_thread) }
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> BlockingPoolBuilder {
        BlockingPoolBuilder::new()
    }

    /// Runs `closure` on a thread of the pool.
    ///
    /// # Errors
    ///
    /// The closure is dropped on each of these errors:
    ///
    /// * [`Error::QueueFull`] if as many jobs as allowed are waiting.
    /// * [`Error::PoolClosed`] after [`close`](BlockingPool::close).
    /// * [`Error::Thread`] if the pool has no thread and the system refuses to start one. If only
    ///   an additional thread cannot start, the existing threads run the job.
    #[track_caller]
    pub fn submit<F, T>(&self, closure: F) -> Result<Job<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.job().submit(closure)
    }

    /// Returns a builder for a job with a name or a class.
    ///
    /// ```
    /// use mainspring::BlockingPool;
    ///
    /// let pool = BlockingPool::new();
    /// let broken = pool.job().name("sums").submit(|| panic!("one is missing"))?;
    /// let error = broken.wait().unwrap_err().to_string();
    /// assert!(error.starts_with("job \"sums\" submitted at "));
    /// assert!(error.ends_with(" panicked: one is missing"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn job(&self) -> JobBuilder<'_> {
        let workers = self.workers.of_this_process();
        JobBuilder {
            workers,
            name: None,
            class: JobClass::Local,
            location: None,
            submitted_in: None,
        }
    }

    /// Returns the number of threads, busy or idle.
    pub fn threads(&self) -> usize {
        self.workers.of_this_process().lock().threads()
    }

    /// Returns the number of running jobs.
    pub fn running(&self) -> usize {
        self.workers.of_this_process().lock().running()
    }

    /// Returns the number of jobs that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.workers.of_this_process().lock().waiting()
    }

    /// Returns true if a job runs or waits.
    pub(crate) fn is_busy(&self) -> bool {
        let queue = self.workers.of_this_process().lock();
        queue.running() + queue.waiting() > 0
    }

    /// Adds the jobs that run or wait to `entries`. The loop of the pool is in its tick `tick`.
    pub(crate) fn list(&self, tick: u64, entries: &mut Vec<Entry>) {
        let queue = self.workers.of_this_process().lock();
        entries.extend(queue.jobs().map(|job| {
            let is_running = job.running_for.is_some();
            let state = if is_running { EntryState::Running } else { EntryState::Pending };
            let mut entry = Entry::new(EntryKind::Job, state);
            entry.location = Some(job.label.location);
            entry.name = job.label.name.as_deref().map(Box::from);
            entry.age = job.submitted_in.map(|submitted_in| tick.saturating_sub(submitted_in));
            entry.runs = Some(is_running.into());
            entry.details_mut().running_for = job.running_for;
            entry
        }));
    }

    /// Refuses further jobs, drops the waiting ones, and waits for the running ones, but no longer
    /// than `limit`.
    ///
    /// Awaiting a job that was dropped returns a [`JobError`]. A job that runs beyond the limit
    /// continues to its end, and its result can still be awaited; it does not keep the process from
    /// ending. A pool may be closed again to wait longer.
    ///
    /// After `Ok`, no value of a job is left on a thread of the pool.
    ///
    /// # Errors
    ///
    /// The jobs that still run. A job that closes its own pool is among them.
    ///
    /// ```
    /// use mainspring::BlockingPool;
    /// use std::{sync::mpsc, time::Duration};
    ///
    /// let pool = BlockingPool::new();
    /// let (end, ended) = mpsc::channel::<()>();
    /// let job = pool.job().name("backup").submit(move || ended.recv())?;
    /// # while pool.running() == 0 { std::thread::yield_now(); }
    /// let stuck = pool.close(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(stuck.jobs()[0].name(), Some("backup"));
    ///
    /// drop(end);
    /// pool.close(Duration::MAX)?;
    /// assert!(job.wait()?.is_err());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn close(&self, limit: Duration) -> Result<(), StuckJobs> {
        let stuck = self.workers.of_this_process().close(limit);
        if stuck.is_empty() { Ok(()) } else { Err(StuckJobs::new(limit, stuck)) }
    }
}

impl Default for BlockingPool {
    fn default() -> BlockingPool {
        BlockingPool::new()
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        // A forked child that has not used the pool drops a copy of its parent's jobs and threads,
        // and must not close them.
        if self.workers.is_current() || self.workers.has_child() {
            self.workers.of_this_process().close(Duration::ZERO);
        }
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPool")
            .field("threads", &self.threads())
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// Starts a detached thread.
fn start_thread(name: String, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(body).map(drop)
}

/// A builder of blocking pools, returned by [`BlockingPool::builder`].
///
/// ```
/// use mainspring::BlockingPool;
/// use std::time::Duration;
///
/// let pool = BlockingPool::builder()
///     .max_threads(2)
///     .max_waiting(100)
///     .keep_alive(Duration::ZERO)
///     .thread_name("disk")
///     .build()?;
/// let job = pool.submit(|| std::thread::current().name().map(str::to_owned))?;
/// assert_eq!(job.wait()?.as_deref(), Some("disk-1"));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder creates no pool before `build`"]
pub struct BlockingPoolBuilder {
    settings: PoolSettings,
}

impl BlockingPoolBuilder {
    fn new() -> BlockingPoolBuilder {
        let settings = PoolSettings {
            max_threads: 16,
            max_waiting: 4096,
            keep_alive: Duration::from_secs(10),
            thread_name: Cow::Borrowed("mainspring"),
        };
        BlockingPoolBuilder { settings }
    }

    /// Sets the maximum number of threads. Default: 16.
    ///
    /// The default keeps a disk busy while half of the threads wait for name lookups. The number of
    /// processors does not matter, because the threads usually wait.
    pub fn max_threads(mut self, threads: usize) -> BlockingPoolBuilder {
        self.settings.max_threads = threads;
        self
    }

    /// Sets the maximum number of jobs that wait for a thread. The same number of
    /// [lookups](JobBuilder::lookup) may wait in addition. Default: 4096.
    ///
    /// A longer queue rarely helps: 16 threads would not finish it while the submitters still wait
    /// for the results.
    pub fn max_waiting(mut self, jobs: usize) -> BlockingPoolBuilder {
        self.settings.max_waiting = jobs;
        self
    }

    /// Sets the time after which an idle thread ends. Default: 10 s.
    pub fn keep_alive(mut self, duration: Duration) -> BlockingPoolBuilder {
        self.settings.keep_alive = duration;
        self
    }

    /// Sets the first part of the threads' names. A hyphen and the lowest free number follow it,
    /// for example `disk-1`. Default: `mainspring`. Linux shows 15 bytes of the whole name.
    pub fn thread_name(mut self, name: impl Into<Cow<'static, str>>) -> BlockingPoolBuilder {
        self.settings.thread_name = name.into();
        self
    }

    /// Creates the pool. No thread starts yet.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if a maximum is zero or the name contains a NUL character.
    pub fn build(self) -> Result<BlockingPool> {
        let PoolSettings { max_threads, max_waiting, thread_name, .. } = &self.settings;
        for (value, setting) in [(max_threads, "max_threads"), (max_waiting, "max_waiting")] {
            if *value == 0 {
                return Err(Error::Setting(format!("{setting} must be at least 1")));
            }
        }
        if thread_name.contains('\0') {
            let message = format!("thread_name must not contain a NUL character: {thread_name:?}");
            return Err(Error::Setting(message));
        }
        Ok(BlockingPool { workers: Workers::new(self.settings, start_thread) })
    }
}

/// A builder of jobs, returned by [`BlockingPool::job`].
#[derive(Debug)]
#[must_use = "a builder starts no job before `submit`"]
pub struct JobBuilder<'a> {
    workers: &'a Arc<Workers>,
    name: Option<Cow<'static, str>>,
    class: JobClass,
    location: Option<&'static Location<'static>>,
    submitted_in: Option<u64>,
}

impl JobBuilder<'_> {
    /// Sets the job's name, which errors show along with the place where it was submitted.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Marks a job that may hang because it waits for a server: a name lookup, like
    /// [`Host::lookup`](crate::net::Host::lookup), or another request over the network.
    ///
    /// At most half of the pool's threads, but at least one, run such jobs at the same time, and
    /// they wait in a separate queue. With two threads or more, other jobs never wait for them.
    pub fn lookup(mut self) -> Self {
        self.class = JobClass::Lookup;
        self
    }

    /// Sets the place that errors mention, for a function that submits a job on behalf of an
    /// earlier caller.
    pub(crate) fn at(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    /// Sets the tick of the loop that submits the job, for the job's age in snapshots. The loop
    /// must be that of the pool.
    pub(crate) fn in_tick(mut self, tick: u64) -> Self {
        self.submitted_in = Some(tick);
        self
    }

    /// Runs `closure` on a thread of the pool.
    ///
    /// # Errors
    ///
    /// Same as [`BlockingPool::submit`].
    #[track_caller]
    pub fn submit<F, T>(self, closure: F) -> Result<Job<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let location = self.location.unwrap_or(Location::caller());
        let label = JobLabel { name: self.name, location };
        Job::submit(self.workers, self.class, label, self.submitted_in, closure)
    }
}
