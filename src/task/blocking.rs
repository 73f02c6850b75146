//! [`spawn_blocking`]: blocking work in the threads of the loop's pool.

use std::future::Future;
use std::panic::Location;

use super::tasks::Tasks;
use super::{budget, current};
use crate::awaits::located;
use crate::blocking::{BlockingPool, Job, JobBuilder};
use crate::error::Result;
use crate::event_loop::LoopHandle;
use crate::event_loop::loop_core::LoopCore;

/// Runs `closure` on a thread of the running loop's blocking pool, and returns a future of its
/// result.
///
/// This call queues the job. Outside a running loop, the first poll queues it, so the future may be
/// the argument of [`run_until_complete`](crate::EventLoop::run_until_complete).
///
/// Dropping the future abandons the job. A queued job never runs; a running job continues, and its
/// result is dropped on its thread.
///
/// # Errors
///
/// The future returns [`Error::QueueFull`](crate::Error::QueueFull) if too many jobs wait,
/// [`Error::PoolClosed`](crate::Error::PoolClosed), [`Error::Panicked`](crate::Error::Panicked) if
/// the closure panicked, and [`Error::NoLoop`](crate::Error::NoLoop) if polled outside a running
/// loop.
///
/// ```
/// use mainspring::{EventLoop, spawn_blocking};
///
/// let mut el = EventLoop::new()?;
/// let bytes = el.run_until_complete(async {
///     spawn_blocking(|| std::fs::read("/dev/null")).await
/// })??;
/// assert_eq!(bytes?.len(), 0);
/// assert_eq!(el.run_until_complete(spawn_blocking(|| 6 * 7))??, 42);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(closure: F) -> impl Future<Output = Result<T>> + use<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let caller = Location::caller();
    let job = match current::running() {
        Some(tasks) => Submission::Made(submit(&tasks, closure, caller)),
        None => Submission::Later(closure),
    };
    located(|| NAME, async move {
        finished(match job {
            Submission::Made(job) => job,
            Submission::Later(closure) => current::running_for("mainspring::spawn_blocking")
                .and_then(|tasks| submit(&tasks, closure, caller)),
        })
        .await
    })
}

/// The call in lists of waits.
const NAME: &str = "spawn_blocking";

/// A submitted job, or a closure that waits for the first poll.
enum Submission<F, T> {
    Made(Result<Job<T>>),
    Later(F),
}

fn submit<F, T>(tasks: &Tasks, closure: F, caller: &'static Location<'static>) -> Result<Job<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    job_of(&tasks.core).at(caller).submit(closure)
}

/// Returns a builder for a job that the loop submits now.
pub(crate) fn job_of(core: &LoopCore) -> JobBuilder<'_> {
    core.blocking_pool().job().in_tick(core.tick())
}

async fn finished<T>(job: Result<Job<T>>) -> Result<T> {
    budget::step().await; // A refused job completes at once.
    Ok(job?.await?)
}

/// # Blocking work
impl<S> LoopHandle<S> {
    /// Returns the thread pool for this loop's blocking work. Its first thread starts with the
    /// first job. [`EventLoopBuilder::blocking_pool`](crate::EventLoopBuilder::blocking_pool)
    /// configures it.
    ///
    /// Closing the loop closes the pool without waiting. To wait for running jobs, and to find
    /// stuck ones, [close](BlockingPool::close) the pool first, with a time limit.
    pub fn blocking_pool(&self) -> &BlockingPool {
        self.core().blocking_pool()
    }

    /// Runs `closure` on a thread of the loop's blocking pool. See [`spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, closure: F) -> impl Future<Output = Result<T>> + use<F, T, S>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let job = job_of(self.core()).submit(closure);
        located(|| NAME, finished(job))
    }
}
