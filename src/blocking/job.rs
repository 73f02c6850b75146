//! A job: the closure on its way to a thread, and the future of what comes of it.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::pool::Pool;
use super::state::{Class, Work};
use crate::error::{Error, Result};
use crate::panic::{Panic, quietly};
use crate::std_or_loom::{Mutex, MutexGuard};

/// What errors say about a job.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) location: &'static Location<'static>,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "job {name:?} submitted at {}", self.location),
            None => write!(f, "job submitted at {}", self.location),
        }
    }
}

/// Why a job has no result.
///
/// It becomes an [`Error`] by `?`.
#[derive(Debug)]
pub struct JobError {
    about: About,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Panicked(Panic),
    Closed,
    Forked,
}

impl JobError {
    fn panicked(about: About, payload: Box<dyn Any + Send>) -> JobError {
        JobError { about, reason: Reason::Panicked(Panic::new(payload)) }
    }

    /// Returns true if the job panicked. If not, its executor was closed before it began, or the process is a
    /// forked child and the job is its parent's.
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panicked(_))
    }

    /// The payload of the panic, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// ```
    /// use mainspring::BlockingPool;
    ///
    /// let executor = BlockingPool::new();
    /// let error = executor.submit(|| std::panic::panic_any(7))?.wait().unwrap_err();
    /// let payload = error.into_panic().unwrap();
    /// assert_eq!(*payload.downcast::<i32>().unwrap(), 7);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error itself, if the job did not panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, JobError> {
        match self.reason {
            Reason::Panicked(panic) => Ok(panic.into_payload()),
            Reason::Closed | Reason::Forked => Err(self),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Panicked(panic) => {
                write!(f, "{} panicked: {}", self.about, panic.message())
            }
            Reason::Closed => {
                write!(f, "{} never ran: the executor was closed first", self.about)
            }
            Reason::Forked => {
                write!(f, "{} is the parent process's: it has no result here", self.about)
            }
        }
    }
}

impl std::error::Error for JobError {}

impl From<JobError> for Error {
    /// [`Error::Panicked`], without the payload, or [`Error::Other`].
    fn from(error: JobError) -> Error {
        match &error.reason {
            Reason::Panicked(panic) => {
                Error::Panicked(format!("{}, in the {}", panic.message(), error.about))
            }
            Reason::Closed | Reason::Forked => Error::other(error),
        }
    }
}

/// Work in an [`BlockingPool`](super::BlockingPool): a future of what its closure returns.
///
/// Awaited, it gives the result, or a [`JobError`] with the payload of the panic. It may be awaited
/// on any runtime and moved between threads.
///
/// Dropping it abandons the job. A closure that has not begun never will, and is dropped there and
/// then; so is a result that is there already. A closure that runs can only run to its end: then its
/// result is dropped on the executor's thread, and nobody is woken.
#[must_use = "a job that is dropped is abandoned"]
pub struct Job<T> {
    cell: Arc<Cell<T>>,
    pool: Arc<Pool>,
    class: Class,
    id: u64,
}

impl<T: Send + 'static> Job<T> {
    #[track_caller]
    pub(super) fn submit<F>(
        pool: &Arc<Pool>,
        class: Class,
        about: About,
        closure: F,
    ) -> Result<Job<T>>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let progress = Mutex::new(Progress::Unfinished(None));
        let cell = Arc::new(Cell { progress, about: about.clone() });
        let submitted = Submitted { closure, about: about.clone(), cell: cell.clone() };
        let id = pool.submit(class, about, Box::new(submitted))?;
        Ok(Job { cell, pool: pool.clone(), class, id })
    }
}

impl<T> Job<T> {
    /// Blocks the thread until the job has ended.
    ///
    /// This is for threads without a loop: the thread of a loop serves nobody meanwhile. A job that
    /// waits for another one of its executor may wait for ever, since it keeps a thread from it.
    ///
    /// # Errors
    ///
    /// As awaiting it.
    pub fn wait(mut self) -> Result<T, JobError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// Whether the job has ended, so that awaiting it takes no time.
    pub fn is_finished(&self) -> bool {
        !self.pool.is_here() || !matches!(*self.cell.lock(), Progress::Unfinished(_))
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    /// # Panics
    ///
    /// After it was ready.
    #[track_caller]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.pool.is_here() {
            return Poll::Ready(self.cell.result_in_child());
        }
        match self.cell.poll(context.waker()) {
            Progress::Unfinished(_) => Poll::Pending,
            Progress::Finished(result) => Poll::Ready(result),
            Progress::Over => panic!("a job was polled after it was ready"),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if !self.pool.is_here() {
            return; // The parent drops its own copy; a thread of it may hold the lock.
        }
        if let Progress::Unfinished(_) = self.cell.end(Progress::Over) {
            drop(self.pool.remove(self.class, self.id));
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How far a job is, as far as its future is concerned.
enum Progress<T> {
    /// It waits or runs; whom to wake afterwards.
    Unfinished(Option<Waker>),
    /// Its result waits to be taken.
    Finished(Result<T, JobError>),
    /// The result has been taken, or nobody wants it.
    Over,
}

/// What a job and its future share.
struct Cell<T> {
    progress: Mutex<Progress<T>>,
    about: About,
}

impl<T> Cell<T> {
    /// The result of a parent process's job, if it was there before the fork.
    fn result_in_child(&self) -> Result<T, JobError> {
        let progress = self.progress.try_lock().ok();
        match progress.map(|mut progress| mem::replace(&mut *progress, Progress::Over)) {
            Some(Progress::Finished(result)) => result,
            _ => Err(JobError { about: self.about.clone(), reason: Reason::Forked }),
        }
    }

    /// The result, if it is there; else `waker` is the one to be woken.
    fn poll(&self, waker: &Waker) -> Progress<T> {
        if let Progress::Unfinished(Some(known)) = &*self.lock()
            && known.will_wake(waker)
        {
            return Progress::Unfinished(None);
        }
        // Cloned and dropped without the lock, since both may be anybody's code.
        let waker = waker.clone();
        let mut progress = self.lock();
        if let Progress::Unfinished(known) = &mut *progress {
            let known = known.replace(waker);
            drop(progress);
            return Progress::Unfinished(known);
        }
        mem::replace(&mut *progress, Progress::Over)
    }

    /// Ends the waiting, unless it has ended; what was there before is the caller's to wake or
    /// drop.
    fn end(&self, end: Progress<T>) -> Progress<T> {
        mem::replace(&mut *self.lock(), end)
    }

    /// The job has ended: its result is there for the future, if there still is one.
    fn finish(&self, result: Result<T, JobError>) {
        let mut progress = self.lock();
        let Progress::Unfinished(waker) = &mut *progress else {
            drop(progress);
            return drop(result);
        };
        let waker = waker.take();
        *progress = Progress::Finished(result);
        drop(progress);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing that could panic happens under the lock, so its poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Progress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A closure that waits for a thread.
struct Submitted<F, T> {
    closure: F,
    about: About,
    cell: Arc<Cell<T>>,
}

impl<F, T> Work for Submitted<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(self: Box<Self>) {
        let Submitted { closure, about, cell } = *self;
        // What the closure leaves half-changed is the user's own.
        let result = catch_unwind(AssertUnwindSafe(closure));
        quietly(|| cell.finish(result.map_err(|payload| JobError::panicked(about, payload))));
    }

    fn refuse(self: Box<Self>) {
        let Submitted { closure, about, cell } = *self;
        let error = match catch_unwind(AssertUnwindSafe(|| drop(closure))) {
            Ok(()) => JobError { about, reason: Reason::Closed },
            Err(payload) => JobError::panicked(about, payload),
        };
        quietly(|| cell.finish(Err(error)));
    }
}
