//! The executor: a few threads for work that blocks, which the thread of a loop must not do.
//!
//! Reading a file, hashing a password, asking the system's resolver: there is no descriptor to wait
//! for. The closure that does it becomes a [`Job`], one of the executor's threads runs it, and the
//! `Job` is a future of its result. It completes by an ordinary waker and knows no loop, so it can
//! be awaited in a task, on another runtime, or by a thread that has nothing else to do.
//!
//! # Invariants
//!
//! * Jobs start in the order of their submission, except that those of a class that is at its limit
//!   wait; see [`JobBuilder::lookup`].
//! * Each closure runs once, or is dropped once without having run, and then whoever awaits it is
//!   told. User code never runs or is dropped while a lock of the executor is held.
//! * A panic of user code, wherever it is, ends no thread of the executor and reaches whoever
//!   awaits the job. If that is nobody, the panic hook alone has seen it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

mod job;
#[cfg(all(loom, test))]
mod loom_tests;
mod pool;
mod state;
mod stuck;
#[cfg(all(not(loom), test))]
mod tests;

pub use self::job::{Job, JobError};
pub use self::stuck::{StuckJob, StuckJobs};

use self::job::About;
use self::pool::{Limits, Pool};
use self::state::Class;

/// Threads for blocking work.
///
/// The first thread starts with the first job, a further one when a job comes and all are busy, up
/// to [`threads`](BlockingPoolBuilder::threads). A thread that has had nothing to do for a while ends.
///
/// In a child made by fork(2) the executor starts again, without threads: those of the parent are not
/// there. An inherited [`Job`] has an error there; its parent gets the result.
///
/// Dropping the executor [closes](BlockingPool::close) it without waiting: what runs then runs to its
/// end, on threads that nobody waits for.
///
/// ```
/// use mainspring::BlockingPool;
///
/// let executor = BlockingPool::new();
/// assert_eq!(executor.threads(), 0); // none before the first job
/// let job = executor.submit(|| std::fs::read("/dev/null"))?;
/// assert!(job.wait()?.unwrap().is_empty()); // in a task it is `job.await`
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct BlockingPool {
    pool: Arc<Pool>,
}

impl BlockingPool {
    /// An executor with the default settings.
    pub fn new() -> BlockingPool {
        BlockingPool { pool: Pool::new(BlockingPoolBuilder::new().limits, start_thread) }
    }

    /// Settings of an executor to be made.
    pub fn builder() -> BlockingPoolBuilder {
        BlockingPoolBuilder::new()
    }

    /// Has a thread run `closure`.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`] if as many jobs as are allowed wait already, [`Error::PoolClosed`],
    /// and [`Error::Thread`] if there is no thread and the system does not let one start. The
    /// closure is dropped then. If there are threads, and only a further one cannot start, they see
    /// to the job.
    #[track_caller]
    pub fn submit<F, T>(&self, closure: F) -> Result<Job<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.job().submit(closure)
    }

    /// A job to be described, and then submitted.
    ///
    /// ```
    /// use mainspring::BlockingPool;
    ///
    /// let executor = BlockingPool::new();
    /// let broken = executor.job().name("sums").submit(|| panic!("one is missing"))?;
    /// let error = broken.wait().unwrap_err().to_string();
    /// assert!(error.starts_with("job \"sums\" submitted at "));
    /// assert!(error.ends_with(" panicked: one is missing"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn job(&self) -> JobBuilder<'_> {
        JobBuilder { pool: self.pool.here(), name: None, class: Class::Work, location: None }
    }

    /// How many threads there are, busy or not.
    pub fn threads(&self) -> usize {
        self.pool.here().lock().threads()
    }

    /// How many jobs run.
    pub fn running(&self) -> usize {
        self.pool.here().lock().running()
    }

    /// How many jobs wait for a thread.
    pub fn waiting(&self) -> usize {
        self.pool.here().lock().waiting()
    }

    /// Takes no more jobs, drops those that wait, and waits for those that run, but no longer than
    /// `limit`.
    ///
    /// Whoever awaits a job that waited gets a [`JobError`] at once. A job that runs can only run to
    /// its end: if that is later than the limit, it still reaches whoever awaits it, and does not
    /// keep the process from ending. An executor may be closed again, to go on waiting.
    ///
    /// After `Ok` nothing of a job is alive on any of the threads.
    ///
    /// # Errors
    ///
    /// The jobs that still run. A job that closes its own executor is one of them.
    ///
    /// ```
    /// use mainspring::BlockingPool;
    /// use std::{sync::mpsc, time::Duration};
    ///
    /// let executor = BlockingPool::new();
    /// let (end, ended) = mpsc::channel::<()>();
    /// let job = executor.job().name("backup").submit(move || ended.recv())?;
    /// # while executor.running() == 0 { std::thread::yield_now(); }
    /// let stuck = executor.close(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(stuck.jobs()[0].name(), Some("backup"));
    ///
    /// drop(end);
    /// executor.close(Duration::MAX)?;
    /// assert!(job.wait()?.is_err());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn close(&self, limit: Duration) -> Result<(), StuckJobs> {
        let stuck = self.pool.here().close(limit);
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
        // A forked child drops a copy: the jobs and threads are its parent's.
        if self.pool.is_here() || self.pool.has_child() {
            self.pool.here().close(Duration::ZERO);
        }
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("threads", &self.threads())
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// Starts a thread that nobody waits for.
fn start_thread(name: String, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(body).map(drop)
}

/// Settings of an executor to be made. [`BlockingPool::builder`] begins with the defaults.
///
/// ```
/// use mainspring::BlockingPool;
/// use std::time::Duration;
///
/// let executor =
///     BlockingPool::builder().threads(2).queue(100).idle(Duration::ZERO).name("disk").build()?;
/// let job = executor.submit(|| std::thread::current().name().map(str::to_owned))?;
/// assert_eq!(job.wait()?.as_deref(), Some("disk-1"));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder makes no executor before `build`"]
pub struct BlockingPoolBuilder {
    limits: Limits,
}

impl BlockingPoolBuilder {
    fn new() -> BlockingPoolBuilder {
        let (idle, name) = (Duration::from_secs(10), Cow::Borrowed("mainspring"));
        BlockingPoolBuilder { limits: Limits { threads: 16, queue: 4096, idle, name } }
    }

    /// How many threads there are at most. Default: 16, which keep a disk busy while half of them
    /// hang in lookups of names. The threads wait rather than compute, so the number of processors
    /// says nothing about it.
    pub fn threads(mut self, threads: usize) -> BlockingPoolBuilder {
        self.limits.threads = threads;
        self
    }

    /// How many jobs may wait for a thread; as many lookups of names may wait beside them. Default:
    /// 4096, which is more than 16 threads get done in the time that somebody waits for an answer.
    pub fn queue(mut self, jobs: usize) -> BlockingPoolBuilder {
        self.limits.queue = jobs;
        self
    }

    /// How long a thread without a job waits for one before it ends. Default: 10 s.
    pub fn idle(mut self, idle: Duration) -> BlockingPoolBuilder {
        self.limits.idle = idle;
        self
    }

    /// How the threads are called: this, a hyphen, and the lowest number that is free, from 1 on.
    /// Default: `mainspring`. Linux shows 15 bytes of the whole.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> BlockingPoolBuilder {
        self.limits.name = name.into();
        self
    }

    /// Makes the executor. No thread starts yet.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for no threads, for a queue without room, and for a name with a NUL.
    pub fn build(self) -> Result<BlockingPool> {
        let Limits { threads, queue, name, .. } = &self.limits;
        for (value, setting) in [(threads, "threads"), (queue, "queue")] {
            if *value == 0 {
                return Err(Error::Setting(format!("{setting} must be at least 1")));
            }
        }
        if name.contains('\0') {
            return Err(Error::Setting(format!(
                "the name of a thread has no NUL, as {name:?} has"
            )));
        }
        Ok(BlockingPool { pool: Pool::new(self.limits, start_thread) })
    }
}

/// A job to be described and submitted, from [`BlockingPool::job`].
#[derive(Debug)]
#[must_use = "a job begins with `submit`"]
pub struct JobBuilder<'a> {
    pool: &'a Arc<Pool>,
    name: Option<Cow<'static, str>>,
    class: Class,
    location: Option<&'static Location<'static>>,
}

impl JobBuilder<'_> {
    /// How errors call the job, beside the place where it was submitted.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes the job one of the class of those that may hang because somebody else's server does:
    /// lookups of names, as [`Host::lookup`](crate::net::Host::lookup), or what else asks the
    /// network.
    ///
    /// At most half of the executor's threads, and at least one, run such jobs at the same time, and
    /// they have a queue of their own. So with two threads or more, other jobs never wait for them.
    pub fn lookup(mut self) -> Self {
        self.class = Class::Lookup;
        self
    }

    /// Errors name this place, for a function that submits the job later than it was asked to.
    pub(crate) fn at(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    /// Has a thread run `closure`, as [`BlockingPool::submit`].
    ///
    /// # Errors
    ///
    /// As [`BlockingPool::submit`].
    #[track_caller]
    pub fn submit<F, T>(self, closure: F) -> Result<Job<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let location = self.location.unwrap_or(Location::caller());
        let about = About { name: self.name, location };
        Job::submit(self.pool, self.class, about, closure)
    }
}
