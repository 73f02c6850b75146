//! A job: a closure for a worker thread, and the future of its result.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::job_error::JobError;
use super::label::JobLabel;
use super::queue::{JobClass, JobClosure};
use super::workers::Workers;
use crate::awaits::pending;
use crate::error::Result;
use crate::panic::ignoring_panic;
use crate::std_or_loom::{Mutex, MutexGuard};

/// A job of a [`BlockingPool`](crate::BlockingPool): a future of its closure's result.
///
/// Its output is the result, or a [`JobError`] with the payload of a panic. It can be awaited on
/// any runtime and moved between threads.
///
/// Dropping it abandons the job. A closure that has not begun is dropped at once and never runs. A
/// result that exists is dropped as well. A running closure cannot be stopped: its result is then
/// dropped on the worker thread, and no task is woken.
#[must_use = "dropping a job abandons it"]
pub struct Job<T> {
    cell: Arc<JobCell<T>>,
    workers: Arc<Workers>,
    class: JobClass,
    id: u64,
}

impl<T: Send + 'static> Job<T> {
    pub(super) fn submit<F>(
        workers: &Arc<Workers>,
        class: JobClass,
        label: JobLabel,
        submitted_in: Option<u64>,
        closure: F,
    ) -> Result<Job<T>>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let progress = Mutex::new(JobProgress::Unfinished(None));
        let cell = Arc::new(JobCell { progress, label: label.clone() });
        let closure = UserClosure { closure, label: label.clone(), cell: cell.clone() };
        let id = workers.submit(class, label, submitted_in, Box::new(closure))?;
        Ok(Job { cell, workers: workers.clone(), class, id })
    }
}

impl<T> Job<T> {
    /// Blocks the thread until the job has ended, and returns its result.
    ///
    /// Use it on threads without a loop: a loop serves nothing while its thread is blocked. A job
    /// must not wait for another job of the same pool. It occupies a thread while it waits, and if
    /// all threads wait the pool is deadlocked.
    ///
    /// # Errors
    ///
    /// A [`JobError`], as when the job is awaited.
    pub fn wait(mut self) -> Result<T, JobError> {
        let waker = Waker::from(Arc::new(UnparkThread(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// Returns true if the job has ended, so that awaiting it returns at once.
    pub fn is_finished(&self) -> bool {
        !self.workers.is_current() || !matches!(*self.cell.lock(), JobProgress::Unfinished(_))
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    #[track_caller]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        pending(|| "job", self.poll_result(context))
    }
}

impl<T> Job<T> {
    /// Polls the job, like its `poll` as a future, but without recording the wait.
    #[track_caller]
    pub(crate) fn poll_result(&self, context: &Context<'_>) -> Poll<Result<T, JobError>> {
        if !self.workers.is_current() {
            return Poll::Ready(self.cell.result_in_child());
        }
        match self.cell.poll(context.waker()) {
            JobProgress::Unfinished(_) => Poll::Pending,
            JobProgress::Finished(result) => Poll::Ready(result),
            JobProgress::Over => panic!("a job was polled after it was ready"),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if !self.workers.is_current() {
            return; // The parent drops its own copy. A thread of the parent may hold the lock.
        }
        if let JobProgress::Unfinished(_) = self.cell.replace(JobProgress::Over) {
            drop(self.workers.remove(self.class, self.id));
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

struct UnparkThread(Thread);

impl Wake for UnparkThread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The progress of a job.
enum JobProgress<T> {
    /// The job waits or runs. Contains the waker of the task that awaits it.
    Unfinished(Option<Waker>),
    /// The result is ready to be taken.
    Finished(Result<T, JobError>),
    /// The result was taken, or the job was abandoned.
    Over,
}

/// The shared part of a job's future and its closure.
struct JobCell<T> {
    progress: Mutex<JobProgress<T>>,
    label: JobLabel,
}

impl<T> JobCell<T> {
    /// Returns the result of a parent's job in a forked child, if the result existed at the fork.
    fn result_in_child(&self) -> Result<T, JobError> {
        // A thread of the parent may have held the lock at the fork, so do not wait for it.
        let progress = self.progress.try_lock().ok();
        match progress.map(|mut progress| mem::replace(&mut *progress, JobProgress::Over)) {
            Some(JobProgress::Finished(result)) => result,
            _ => Err(JobError::forked(self.label.clone())),
        }
    }

    /// Takes the result, if it is ready. Otherwise keeps a clone of `waker`, and returns
    /// `Unfinished`.
    fn poll(&self, waker: &Waker) -> JobProgress<T> {
        if let JobProgress::Unfinished(Some(kept)) = &*self.lock()
            && kept.will_wake(waker)
        {
            return JobProgress::Unfinished(None);
        }
        // Cloned and dropped without the lock, because both may be user code.
        let waker = waker.clone();
        let mut progress = self.lock();
        if let JobProgress::Unfinished(kept) = &mut *progress {
            let replaced = kept.replace(waker);
            drop(progress);
            return JobProgress::Unfinished(replaced);
        }
        mem::replace(&mut *progress, JobProgress::Over)
    }

    /// Sets the progress. The caller drops the former one, without the lock.
    fn replace(&self, progress: JobProgress<T>) -> JobProgress<T> {
        mem::replace(&mut *self.lock(), progress)
    }

    /// Stores the result and wakes the task that awaits it. Drops the result of an abandoned job.
    fn finish(&self, result: Result<T, JobError>) {
        let mut progress = self.lock();
        let JobProgress::Unfinished(waker) = &mut *progress else {
            drop(progress);
            return drop(result);
        };
        let waker = waker.take();
        *progress = JobProgress::Finished(result);
        drop(progress);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ignores poison: nothing can panic under the lock.
    fn lock(&self) -> MutexGuard<'_, JobProgress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user's closure, with the cell for its result.
struct UserClosure<F, T> {
    closure: F,
    label: JobLabel,
    cell: Arc<JobCell<T>>,
}

impl<F, T> JobClosure for UserClosure<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(self: Box<Self>) {
        let UserClosure { closure, label, cell } = *self;
        // Unwind safe: only user code can see what the closure left half-changed.
        let result = catch_unwind(AssertUnwindSafe(closure));
        ignoring_panic(|| {
            cell.finish(result.map_err(|payload| JobError::panicked(label, payload)))
        });
    }

    fn refuse(self: Box<Self>) {
        let UserClosure { closure, label, cell } = *self;
        let error = match catch_unwind(AssertUnwindSafe(|| drop(closure))) {
            Ok(()) => JobError::closed(label),
            Err(payload) => JobError::panicked(label, payload),
        };
        ignoring_panic(|| cell.finish(Err(error)));
    }
}
