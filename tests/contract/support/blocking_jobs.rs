//! Blocking jobs that run until the test lets them end.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use mainspring::{BlockingPool, BlockingPoolBuilder, Job, JobBuilder};

/// Lets the job end when it is dropped.
pub type Hold = Sender<()>;

/// Submits a job that runs until its hold is dropped. Returns once the job runs.
#[track_caller]
pub fn held(job: JobBuilder<'_>) -> (Job<()>, Hold) {
    held_then(job, || ())
}

/// Like [`held`], but the job runs `then` at its end.
#[track_caller]
pub fn held_then<T: Send + 'static>(
    job: JobBuilder<'_>,
    then: impl FnOnce() -> T + Send + 'static,
) -> (Job<T>, Hold) {
    let (began, has_begun) = mpsc::channel();
    let (hold, held) = mpsc::channel();
    let job = job.submit(move || {
        began.send(()).unwrap();
        wait_for_end(&held);
        then()
    });
    has_begun.recv().unwrap();
    (job.unwrap(), hold)
}

pub fn wait_for_end(held: &Receiver<()>) {
    held.recv().unwrap_err();
}

/// Yields to other threads until the condition holds.
pub fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// Returns a pool with at most `threads` threads, which never end because of idleness.
pub fn with_threads(threads: usize) -> BlockingPool {
    lasting().max_threads(threads).build().unwrap()
}

pub fn lasting() -> BlockingPoolBuilder {
    BlockingPool::builder().keep_alive(Duration::MAX)
}
