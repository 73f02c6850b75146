use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

/// As many threads as the system lets start; each test has its own system.
fn start_one_of(
    left: &AtomicUsize,
    name: String,
    body: Box<dyn FnOnce() + Send>,
) -> io::Result<()> {
    let one_less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
    start_thread(name, body)
}

fn limits(threads: usize, idle: Duration) -> Limits {
    Limits { threads, queue: 100, idle, name: "worker".into() }
}

#[test]
fn p95_jobs_go_to_the_threads_there_are_if_no_more_can_be_started() {
    static LEFT: AtomicUsize = AtomicUsize::new(1);
    let start = |name, body| start_one_of(&LEFT, name, body);
    let executor = BlockingPool { pool: Pool::new(limits(4, Duration::MAX), start) };
    let (end, ended) = mpsc::channel::<()>();
    let busy = executor.submit(move || ended.recv().unwrap_err()).unwrap();
    let jobs: Vec<_> = (0..5).map(|i| executor.submit(move || i).unwrap()).collect();
    while executor.running() == 0 {
        thread::yield_now();
    }
    assert_eq!((executor.threads(), executor.waiting()), (1, 5));

    // The next job tries again.
    LEFT.store(1, Ordering::SeqCst);
    assert_eq!(executor.submit(|| 5).unwrap().wait().unwrap(), 5);
    assert_eq!(executor.threads(), 2);
    drop(end);
    busy.wait().unwrap();
    assert!(jobs.into_iter().map(|job| job.wait().unwrap()).eq(0..5));
    executor.close(Duration::MAX).unwrap();
}

#[test]
fn p95_a_job_without_any_thread_is_refused_and_the_next_one_may_have_one() {
    static LEFT: AtomicUsize = AtomicUsize::new(0);
    let start = |name, body| start_one_of(&LEFT, name, body);
    let executor = BlockingPool { pool: Pool::new(limits(4, Duration::ZERO), start) };
    let owned = Arc::new(());
    for _ in 0..3 {
        let given = owned.clone();
        assert!(matches!(executor.submit(move || drop(given)), Err(Error::Thread(_))));
        assert_eq!((Arc::strong_count(&owned), executor.threads(), executor.waiting()), (1, 0, 0));
    }
    LEFT.store(1, Ordering::SeqCst);
    executor.submit(|| ()).unwrap().wait().unwrap();
}

/// What Miri can judge in seconds: submitting, ending, abandoning and closing at the same time.
#[test]
fn all_at_once() {
    const ROUNDS: usize = if cfg!(miri) { 10 } else { 500 };
    for round in 0..ROUNDS {
        let idle = if round % 2 == 0 { Duration::ZERO } else { Duration::from_nanos(100) };
        let executor = BlockingPool { pool: Pool::new(limits(2, idle), start_thread) };
        let owned = Arc::new(());
        thread::scope(|scope| {
            for abandons in [false, true] {
                let (executor, owned) = (&executor, &owned);
                scope.spawn(move || {
                    for _ in 0..3 {
                        let given = owned.clone();
                        match executor.submit(move || given) {
                            Ok(job) if abandons => drop(job),
                            Ok(job) => drop(job.wait()),
                            Err(error) => assert!(matches!(error, Error::PoolClosed)),
                        }
                    }
                });
            }
            scope.spawn(|| executor.close(Duration::MAX).unwrap());
        });
        executor.close(Duration::MAX).unwrap();
        assert_eq!(Arc::strong_count(&owned), 1);
    }
}
