//! Every order in which jobs, their futures, threads and the closing can meet, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib executor`.
//!
//! Who awaits a job in these tests sleeps until it is woken, so a lost job or a lost wake is a
//! deadlock, which loom reports. loom has no clock: the time of an idle thread is up whenever
//! [`time_passes`].

use loom::sync::{Condvar, Mutex};
use loom::thread::JoinHandle;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

const AT_ONCE: Duration = Duration::ZERO;
const SOME_TIME: Duration = Duration::from_secs(1);
const FOR_EVER: Duration = Duration::MAX;

fn blocking_pool(threads: usize, idle: Duration) -> Arc<Executor> {
    let start = |_, body| {
        loom::thread::spawn(body);
        Ok(())
    };
    let limits = Limits { threads, queue: 10, idle, name: "worker".into() };
    Arc::new(Executor { pool: Pool::new(limits, start) })
}

/// Any wait for a time may be over now.
fn time_passes(executor: &Executor) {
    executor.pool.work.notify_all();
}

/// A thread that has the executor as well.
fn beside(
    executor: &Arc<Executor>,
    does: impl FnOnce(&Executor) + Send + 'static,
) -> JoinHandle<()> {
    let executor = executor.clone();
    loom::thread::spawn(move || does(&executor))
}

/// Sleeps until it is woken.
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
        // A new waker each time, so that replacing it is part of what is explored.
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
    builder.preemption_bound = Some(3); // As the inbox: without a bound it takes minutes.
    builder.check(model);
}

/// How the jobs of a test have ended.
#[derive(Debug, Default)]
struct Ends {
    ran: AtomicUsize,
    dropped: AtomicUsize,
}

/// Counts as dropped, if it is not counted as run.
struct Counted(Arc<Ends>, bool);

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

impl Ends {
    fn job(self: &Arc<Ends>) -> impl FnOnce() + Send + 'static {
        let counted = Counted(self.clone(), false);
        move || counted.run()
    }

    fn counts(&self) -> (usize, usize) {
        (self.ran.load(Ordering::SeqCst), self.dropped.load(Ordering::SeqCst))
    }
}

/// Two jobs, one after the other, for threads that end whenever they are idle.
fn submit_while_threads_end(idle: Duration, threads: usize) {
    check(move || {
        let executor = executor(threads, idle);
        let time = beside(&executor, time_passes);
        for i in 0..2 {
            assert_eq!(block_on(executor.submit(move || i).unwrap()).unwrap(), i);
        }
        time.join().unwrap();
        executor.close(FOR_EVER).unwrap();
    });
}

#[test]
fn p113_no_job_is_lost_to_an_idle_thread_that_ends() {
    submit_while_threads_end(AT_ONCE, 1);
    submit_while_threads_end(SOME_TIME, 1);
    submit_while_threads_end(FOR_EVER, 1);
    submit_while_threads_end(SOME_TIME, 2);
}

#[test]
fn p113_a_job_that_meets_the_closing_runs_or_is_refused() {
    for idle in [AT_ONCE, FOR_EVER] {
        check(move || {
            let executor = executor(1, idle);
            let ends = Arc::new(Ends::default());
            let of_jobs = ends.clone();
            let submitting = beside(&executor, move |executor| {
                for _ in 0..2 {
                    let before = of_jobs.counts();
                    let told = match executor.submit(of_jobs.job()) {
                        Ok(job) => block_on(job).is_ok(),
                        Err(error) => {
                            assert!(matches!(error, Error::PoolClosed));
                            false
                        }
                    };
                    let (ran, dropped) = of_jobs.counts();
                    assert_eq!(ran - before.0, usize::from(told));
                    assert_eq!(dropped - before.1, usize::from(!told));
                }
            });
            executor.close(FOR_EVER).unwrap();
            assert_eq!((executor.running(), executor.waiting()), (0, 0));
            submitting.join().unwrap();
        });
    }
}

#[test]
fn two_threads_share_what_two_threads_submit() {
    check(|| {
        let executor = executor(2, SOME_TIME);
        let other = beside(&executor, |executor| {
            assert_eq!(block_on(executor.submit(|| 1).unwrap()).unwrap(), 1);
        });
        assert_eq!(block_on(executor.job().lookup().submit(|| 2).unwrap()).unwrap(), 2);
        other.join().unwrap();
        executor.close(FOR_EVER).unwrap();
    });
}

/// Both jobs run at the same time, whatever the one thread is about to do that was there before:
/// each waits for the other.
#[test]
fn nobody_waits_for_a_busy_thread_while_another_could_start() {
    check(|| {
        let executor = executor(2, FOR_EVER);
        block_on(executor.submit(|| ()).unwrap()).unwrap();
        let meeting = Arc::new((Mutex::new(0), Condvar::new()));
        let jobs = [0; 2].map(|_| {
            let meeting = meeting.clone();
            executor.submit(move || {
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
        executor.close(FOR_EVER).unwrap();
    });
}

#[test]
fn an_abandoned_job_runs_or_is_dropped_once() {
    check(|| {
        let executor = executor(1, FOR_EVER);
        let ends = Arc::new(Ends::default());
        let first = executor.submit(ends.job()).unwrap();
        let second = executor.submit(ends.job()).unwrap();
        let closing = beside(&executor, |executor| executor.close(FOR_EVER).unwrap());
        drop(second);
        let (ran, dropped) = ends.counts();
        let told = block_on(first).is_ok();
        closing.join().unwrap();
        let (ran_at_last, dropped_at_last) = ends.counts();
        assert_eq!(ran_at_last + dropped_at_last, 2);
        assert!(ran_at_last >= ran.max(usize::from(told)) && dropped_at_last >= dropped);
    });
}

/// The result is dropped by whoever is the last to look, and exactly once.
#[test]
fn the_result_of_an_abandoned_job_is_dropped_once() {
    check(|| {
        let executor = executor(1, FOR_EVER);
        let ends = Arc::new(Ends::default());
        let result = Counted(ends.clone(), false);
        let job = executor.submit(move || result).unwrap();
        drop(job);
        executor.close(FOR_EVER).unwrap();
        assert_eq!(ends.counts(), (0, 1));
    });
}
