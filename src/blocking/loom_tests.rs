//! All interleavings of jobs, their futures, worker threads and closing, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib blocking`.
//!
//! A thread that awaits a job in these tests sleeps until it is woken. So a lost job or a lost wake
//! is a deadlock, which loom reports. loom has no clock: an idle thread times out in
//! [`time_passes`].

use loom::sync::{Condvar, Mutex};
use loom::thread::JoinHandle;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

const NO_TIME: Duration = Duration::ZERO;
const SOME_TIME: Duration = Duration::from_secs(1);
const UNLIMITED: Duration = Duration::MAX;

fn blocking_pool(max_threads: usize, keep_alive: Duration) -> Arc<BlockingPool> {
    let start = |_, body| {
        loom::thread::spawn(body);
        Ok(())
    };
    let thread_name = "worker".into();
    let settings = PoolSettings { max_threads, max_waiting: 10, keep_alive, thread_name };
    Arc::new(BlockingPool { workers: Workers::new(settings, start) })
}

/// Lets each wait with a time limit time out.
fn time_passes(pool: &BlockingPool) {
    pool.workers.work.notify_all();
}

/// Starts a thread that uses the pool.
fn spawn_with(
    pool: &Arc<BlockingPool>,
    run: impl FnOnce(&BlockingPool) + Send + 'static,
) -> JoinHandle<()> {
    let pool = pool.clone();
    loom::thread::spawn(move || run(&pool))
}

/// A waker that ends the sleep of [`block_on`].
struct Sleeper {
    woken: Mutex<bool>,
    wakes: Condvar,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.wakes.notify_one();
    }
}

fn block_on<T>(mut job: Job<T>) -> Result<T, JobError> {
    loop {
        // A new waker for each poll, so that loom explores the replacement of wakers as well.
        let sleeper = Arc::new(Sleeper { woken: Mutex::new(false), wakes: Condvar::new() });
        let waker = Waker::from(sleeper.clone());
        if let Poll::Ready(result) = Pin::new(&mut job).poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        let mut woken = sleeper.woken.lock().unwrap();
        while !*woken {
            woken = sleeper.wakes.wait(woken).unwrap();
        }
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3); // Without a bound it takes minutes, like the inbox.
    builder.check(model);
}

/// Numbers of jobs that ran, and that were dropped without running.
#[derive(Debug, Default)]
struct JobCounts {
    ran: AtomicUsize,
    dropped: AtomicUsize,
}

/// Counts as run or, if it is dropped before that, as dropped.
struct Counted(Arc<JobCounts>, bool);

impl Counted {
    fn run(mut self) {
        self.1 = true;
        self.0.ran.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl JobCounts {
    fn job(self: &Arc<JobCounts>) -> impl FnOnce() + Send + 'static {
        let counted = Counted(self.clone(), false);
        move || counted.run()
    }

    fn counts(&self) -> (usize, usize) {
        (self.ran.load(Ordering::SeqCst), self.dropped.load(Ordering::SeqCst))
    }
}

/// Submits two jobs, one after the other, while idle threads end.
fn submit_while_threads_end(keep_alive: Duration, threads: usize) {
    check(move || {
        let pool = blocking_pool(threads, keep_alive);
        let time = spawn_with(&pool, time_passes);
        for i in 0..2 {
            assert_eq!(block_on(pool.submit(move || i).unwrap()).unwrap(), i);
        }
        time.join().unwrap();
        pool.close(UNLIMITED).unwrap();
    });
}

#[test]
fn p113_no_job_is_lost_when_an_idle_thread_ends() {
    submit_while_threads_end(NO_TIME, 1);
    submit_while_threads_end(SOME_TIME, 1);
    submit_while_threads_end(UNLIMITED, 1);
    submit_while_threads_end(SOME_TIME, 2);
}

#[test]
fn p113_a_job_submitted_during_a_close_runs_or_is_refused() {
    for keep_alive in [NO_TIME, UNLIMITED] {
        check(move || {
            let pool = blocking_pool(1, keep_alive);
            let counts = Arc::new(JobCounts::default());
            let of_jobs = counts.clone();
            let submitting = spawn_with(&pool, move |pool| {
                for _ in 0..2 {
                    let before = of_jobs.counts();
                    let ran_ok = match pool.submit(of_jobs.job()) {
                        Ok(job) => block_on(job).is_ok(),
                        Err(error) => {
                            assert!(matches!(error, Error::PoolClosed));
                            false
                        }
                    };
                    let (ran, dropped) = of_jobs.counts();
                    assert_eq!(ran - before.0, usize::from(ran_ok));
                    assert_eq!(dropped - before.1, usize::from(!ran_ok));
                }
            });
            pool.close(UNLIMITED).unwrap();
            assert_eq!((pool.running(), pool.waiting()), (0, 0));
            submitting.join().unwrap();
        });
    }
}

#[test]
fn two_workers_share_the_jobs_of_two_submitters() {
    check(|| {
        let pool = blocking_pool(2, SOME_TIME);
        let other = spawn_with(&pool, |pool| {
            assert_eq!(block_on(pool.submit(|| 1).unwrap()).unwrap(), 1);
        });
        assert_eq!(block_on(pool.job().lookup().submit(|| 2).unwrap()).unwrap(), 2);
        other.join().unwrap();
        pool.close(UNLIMITED).unwrap();
    });
}

/// Each of the two jobs waits for the other, so both must run at the same time, whatever the first
/// thread is about to do.
#[test]
fn no_job_waits_for_a_busy_thread_while_another_could_start() {
    check(|| {
        let pool = blocking_pool(2, UNLIMITED);
        block_on(pool.submit(|| ()).unwrap()).unwrap();
        let meeting = Arc::new((Mutex::new(0), Condvar::new()));
        let jobs = [0; 2].map(|_| {
            let meeting = meeting.clone();
            pool.submit(move || {
                let mut here = meeting.0.lock().unwrap();
                *here += 1;
                meeting.1.notify_all();
                while *here < 2 {
                    here = meeting.1.wait(here).unwrap();
                }
            })
        });
        for job in jobs {
            block_on(job.unwrap()).unwrap();
        }
        pool.close(UNLIMITED).unwrap();
    });
}

#[test]
fn an_abandoned_job_runs_or_is_dropped_once() {
    check(|| {
        let pool = blocking_pool(1, UNLIMITED);
        let counts = Arc::new(JobCounts::default());
        let first = pool.submit(counts.job()).unwrap();
        let second = pool.submit(counts.job()).unwrap();
        let closing = spawn_with(&pool, |pool| pool.close(UNLIMITED).unwrap());
        drop(second);
        let (ran, dropped) = counts.counts();
        let ran_ok = block_on(first).is_ok();
        closing.join().unwrap();
        let (final_ran, final_dropped) = counts.counts();
        assert_eq!(final_ran + final_dropped, 2);
        assert!(final_ran >= ran.max(usize::from(ran_ok)) && final_dropped >= dropped);
    });
}

/// The worker or the job drops the result, exactly once.
#[test]
fn the_result_of_an_abandoned_job_is_dropped_once() {
    check(|| {
        let pool = blocking_pool(1, UNLIMITED);
        let counts = Arc::new(JobCounts::default());
        let result = Counted(counts.clone(), false);
        let job = pool.submit(move || result).unwrap();
        drop(job);
        pool.close(UNLIMITED).unwrap();
        assert_eq!(counts.counts(), (0, 1));
    });
}
