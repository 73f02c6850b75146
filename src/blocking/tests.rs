use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

/// Starts a thread if `left` is not zero, and decrements it. Each test has its own counter.
fn start_one_of(
    left: &AtomicUsize,
    name: String,
    body: Box<dyn FnOnce() + Send>,
) -> io::Result<()> {
    if left.load(Ordering::SeqCst) == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    left.fetch_sub(1, Ordering::SeqCst);
    start_thread(name, body)
}

fn settings(max_threads: usize, keep_alive: Duration) -> PoolSettings {
    PoolSettings { max_threads, max_waiting: 100, keep_alive, thread_name: "worker".into() }
}

#[test]
fn p95_existing_threads_run_the_jobs_if_no_more_can_be_started() {
    static LEFT: AtomicUsize = AtomicUsize::new(1);
    let start = |name, body| start_one_of(&LEFT, name, body);
    let pool = BlockingPool { workers: Workers::new(settings(4, Duration::MAX), start) };
    let (end, ended) = mpsc::channel::<()>();
    let busy = pool.submit(move || ended.recv().unwrap_err()).unwrap();
    let jobs: Vec<_> = (0..5).map(|i| pool.submit(move || i).unwrap()).collect();
    while pool.running() == 0 {
        thread::yield_now();
    }
    assert_eq!((pool.threads(), pool.waiting()), (1, 5));

    // The next job tries to start a thread again.
    LEFT.store(1, Ordering::SeqCst);
    assert_eq!(pool.submit(|| 5).unwrap().wait().unwrap(), 5);
    assert_eq!(pool.threads(), 2);
    drop(end);
    busy.wait().unwrap();
    assert!(jobs.into_iter().map(|job| job.wait().unwrap()).eq(0..5));
    pool.close(Duration::MAX).unwrap();
}

#[test]
fn p95_a_job_is_refused_if_no_thread_can_be_started_and_a_later_one_runs() {
    static LEFT: AtomicUsize = AtomicUsize::new(0);
    let start = |name, body| start_one_of(&LEFT, name, body);
    let pool = BlockingPool { workers: Workers::new(settings(4, Duration::ZERO), start) };
    let owned = Arc::new(());
    for _ in 0..3 {
        let given = owned.clone();
        assert!(matches!(pool.submit(move || drop(given)), Err(Error::Thread(_))));
        assert_eq!((Arc::strong_count(&owned), pool.threads(), pool.waiting()), (1, 0, 0));
    }
    LEFT.store(1, Ordering::SeqCst);
    pool.submit(|| ()).unwrap().wait().unwrap();
}

/// Submits, ends, abandons and closes at the same time, in few rounds for Miri.
#[test]
fn concurrent_calls_leak_nothing() {
    const ROUNDS: usize = if cfg!(miri) { 10 } else { 500 };
    for round in 0..ROUNDS {
        let keep_alive = if round % 2 == 0 { Duration::ZERO } else { Duration::from_nanos(100) };
        let pool = BlockingPool { workers: Workers::new(settings(2, keep_alive), start_thread) };
        let owned = Arc::new(());
        thread::scope(|scope| {
            for abandons in [false, true] {
                let (pool, owned) = (&pool, &owned);
                scope.spawn(move || {
                    for _ in 0..3 {
                        let given = owned.clone();
                        match pool.submit(move || given) {
                            Ok(job) if abandons => drop(job),
                            Ok(job) => drop(job.wait()),
                            Err(error) => assert!(matches!(error, Error::PoolClosed)),
                        }
                    }
                });
            }
            scope.spawn(|| pool.close(Duration::MAX).unwrap());
        });
        pool.close(Duration::MAX).unwrap();
        assert_eq!(Arc::strong_count(&owned), 1);
    }
}
