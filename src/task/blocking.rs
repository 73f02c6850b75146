//! Blocking work of tasks and callbacks: in the threads of the loop's executor.

use std::future::Future;
use std::panic::Location;

use super::tasks::Tasks;
use super::{budget, current};
use crate::blocking::{BlockingPool, Job};
use crate::error::Result;
use crate::event_loop::LoopHandle;

/// Runs `closure` in a thread of the running loop's executor, and gives what it returns. It is
/// queued by this call, or where no loop runs, by the first poll: so it may be the argument of
/// [`run_until_complete`](crate::EventLoop::run_until_complete).
///
/// Dropping the future abandons the job: one that has not begun never runs, one that runs goes on
/// and what it returns is dropped, in its thread.
///
/// # Errors
///
/// The future gives [`Error::QueueFull`](crate::Error::QueueFull) if too many jobs wait,
/// [`Error::PoolClosed`](crate::Error::PoolClosed),
/// [`Error::Panicked`](crate::Error::Panicked) if the closure panicked, and
/// [`Error::NoLoop`](crate::Error::NoLoop) if it is polled where no loop runs.
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
    async move {
        finished(match job {
            Submission::Made(job) => job,
            Submission::Later(closure) => super::running("mainspring::spawn_blocking")
                .and_then(|tasks| submit(&tasks, closure, caller)),
        })
        .await
    }
}

/// A job, or the closure of one that no executor has yet.
enum Submission<F, T> {
    Made(Result<Job<T>>),
    Later(F),
}

fn submit<F, T>(tasks: &Tasks, closure: F, caller: &'static Location<'static>) -> Result<Job<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tasks.core.blocking_pool().job().at(caller).submit(closure)
}

async fn finished<T>(job: Result<Job<T>>) -> Result<T> {
    budget::step().await; // A refused job is an answer at once.
    Ok(job?.await?)
}

impl<S> LoopHandle<S> {
    /// The threads for this loop's blocking work. The first one starts with the first job; the
    /// settings are those of [`EventLoopBuilder::blocking_pool`](crate::EventLoopBuilder::blocking_pool).
    ///
    /// Closing the loop closes it without waiting. To wait for the jobs that run, and to learn which
    /// of them are stuck, [close](BlockingPool::close) it before, with a limit.
    pub fn blocking_pool(&self) -> &BlockingPool {
        self.core().blocking_pool()
    }

    /// Runs `closure` in a thread of the loop's executor. See [`spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, closure: F) -> impl Future<Output = Result<T>> + use<F, T, S>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let job = self.blocking_pool().submit(closure);
        finished(job)
    }
}
