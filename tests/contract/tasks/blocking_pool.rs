//! The pool for blocking jobs: its threads, its queue, and closing it (docs/contract.md, F9).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use mainspring::{BlockingPool, BlockingPoolBuilder, Error, Job, JobError, StuckJobs};

use crate::support::blocking_jobs::{Hold, held, lasting, until, with_threads};
use crate::support::cases;
use crate::support::process::alone_as;

fn name_of_thread() -> String {
    thread::current().name().unwrap().to_owned()
}

#[test]
fn f9_a_result_reaches_its_awaiter() {
    let pool = BlockingPool::new();
    let text = "a result that owns memory".to_owned();
    let job = pool.submit(move || text + "!").unwrap();
    assert_eq!(job.wait().unwrap(), "a result that owns memory!");

    // The result can be awaited in another thread, and in another order.
    let jobs: Vec<Job<usize>> = (0..20).map(|i| pool.submit(move || i).unwrap()).collect();
    let waiting = thread::spawn(move || {
        let results = jobs.into_iter().rev().map(|job| job.wait().unwrap());
        results.collect::<Vec<_>>()
    });
    assert_eq!(waiting.join().unwrap(), (0..20).rev().collect::<Vec<_>>());
}

#[test]
fn f9_a_panic_reaches_its_awaiter_and_the_thread_survives() {
    let pool = with_threads(1);
    for round in 0..5 {
        let line = line!() + 1;
        let job = pool.job().name("sums").submit(move || panic!("in round {round}")).unwrap();
        let error: JobError = job.wait().unwrap_err();
        assert!(error.is_panic());
        let place = format!("{}:{line}:", file!());
        let text = error.to_string();
        assert!(text.starts_with(&format!("job \"sums\" submitted at {place}")), "{text}");
        assert!(text.ends_with(&format!(" panicked: in round {round}")), "{text}");
        let payload = error.into_panic().unwrap();
        assert_eq!(*payload.downcast::<String>().unwrap(), format!("in round {round}"));
        assert_eq!(pool.submit(name_of_thread).unwrap().wait().unwrap(), "mainspring-1");
        assert_eq!(pool.threads(), 1);
    }
}

/// Such errors can be passed on with `?` and sent to other threads.
#[test]
fn f9_job_errors_are_send_and_convert_to_the_crates_error() {
    fn crosses<T: Send + Sync + std::error::Error + 'static>() {}
    crosses::<JobError>();
    crosses::<StuckJobs>();
    let pool = BlockingPool::new();
    let job = pool.job().name("sums").submit(|| panic!("seven is missing")).unwrap();
    let error = Error::from(job.wait().unwrap_err());
    assert!(matches!(&error, Error::Panicked(_)), "{error:?}");
    let text = error.to_string();
    let expected =
        format!("panicked: seven is missing, in the job \"sums\" submitted at {}", file!());
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn f9_a_job_dropped_before_it_began_never_runs_and_makes_room() {
    let pool = lasting().max_threads(1).max_waiting(2).build().unwrap();
    let (holding, hold) = held(pool.job());
    let ran = Arc::new(AtomicUsize::new(0));
    let submit = || {
        let ran = ran.clone();
        pool.submit(move || ran.fetch_add(1, Ordering::SeqCst))
    };
    let (first, second) = (submit().unwrap(), submit().unwrap());
    assert!(matches!(submit(), Err(Error::QueueFull { waiting: 2 })));
    drop(first);
    assert_eq!((pool.waiting(), Arc::strong_count(&ran)), (1, 2));
    let third = submit().unwrap();
    assert!(matches!(submit(), Err(Error::QueueFull { waiting: 2 })));
    drop(hold);
    holding.wait().unwrap();
    // In the order of submission, without the job that was dropped.
    assert_eq!((third.wait().unwrap(), second.wait().unwrap()), (1, 0));
}

#[test]
fn f9_close_drops_waiting_jobs_with_an_error() {
    let pool = with_threads(1);
    let (holding, hold) = held(pool.job());
    let owned = Arc::new(());
    let waiting: Vec<Job<()>> = (0..10)
        .map(|_| {
            let owned = owned.clone();
            pool.job().name("too late").submit(move || drop(owned)).unwrap()
        })
        .collect();
    assert_eq!((pool.waiting(), Arc::strong_count(&owned)), (10, 11));

    pool.close(Duration::ZERO).unwrap_err();
    assert_eq!((pool.waiting(), Arc::strong_count(&owned)), (0, 1));
    assert!(matches!(pool.submit(|| ()), Err(Error::PoolClosed)));
    for job in waiting {
        assert!(job.is_finished());
        let error = job.wait().unwrap_err();
        assert!(!error.is_panic());
        let text = error.to_string();
        assert!(text.starts_with("job \"too late\" submitted at "), "{text}");
        assert!(text.ends_with(" did not run: the blocking pool was closed before"), "{text}");
        assert!(error.into_panic().is_err());
    }
    // A job that ran during the close still delivers its result.
    assert!(!holding.is_finished());
    drop(hold);
    holding.wait().unwrap();
    pool.close(Duration::MAX).unwrap();
}

#[test]
fn f9_close_waits_no_longer_than_asked_and_names_stuck_jobs() {
    let pool = with_threads(4);
    let line = line!() + 1;
    let (first, first_hold) = held(pool.job().name("backup"));
    let (second, second_hold) = held(pool.job());
    for limit in [Duration::ZERO, Duration::from_millis(2)] {
        let stuck = pool.close(limit).unwrap_err();
        let [backup, other] = stuck.jobs() else { panic!("{stuck}") };
        assert_eq!((backup.name(), backup.thread()), (Some("backup"), 1));
        assert_eq!((backup.location().file(), backup.location().line()), (file!(), line));
        assert_eq!((other.name(), other.thread()), (None, 2));
        assert_eq!(other.location().line(), line + 1);
        assert!(backup.running_for() >= other.running_for() && other.running_for() >= limit);
        let text = stuck.to_string();
        assert!(text.starts_with(&format!("jobs that did not end within {limit:?}: ")), "{text}");
        assert!(text.contains(&format!("job \"backup\" submitted at {}:{line}:", file!())));
        assert!(text.contains(&format!("; job submitted at {}:{}:", file!(), line + 1)), "{text}");
    }
    drop(first_hold);
    first.wait().unwrap();
    until(|| pool.running() == 1);
    assert_eq!(pool.close(Duration::ZERO).unwrap_err().jobs().len(), 1);
    drop(second_hold);
    second.wait().unwrap();
    pool.close(Duration::MAX).unwrap();
}

#[test]
fn f9_close_waits_until_running_jobs_are_dropped() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            thread::yield_now();
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for _ in 0..200 {
        let pool = Arc::new(with_threads(3));
        let gate = Arc::new(Barrier::new(4));
        let dropped = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (gate, dropped) = (gate.clone(), dropped.clone());
            let job = pool.submit(move || {
                gate.wait();
                thread::yield_now();
                Slow(dropped)
            });
            drop({
                until(|| pool.waiting() == 0);
                job.unwrap()
            });
        }
        gate.wait();
        pool.close(Duration::MAX).unwrap();
        assert_eq!((dropped.load(Ordering::SeqCst), pool.running()), (3, 0));
    }
}

#[test]
fn f9_a_dropped_pool_does_not_wait_and_its_jobs_still_end() {
    let pool = with_threads(1);
    let (running, hold) = held(pool.job());
    let waiting = pool.submit(|| ()).unwrap();
    drop(pool);
    assert!(!waiting.wait().unwrap_err().is_panic());
    assert!(!running.is_finished());
    drop(hold);
    running.wait().unwrap();
}

#[test]
fn f9_a_job_may_own_its_pool() {
    let pool = Arc::new(with_threads(2));
    let (send, sent) = mpsc::channel::<Arc<BlockingPool>>();
    let job = pool.submit(move || {
        let pool = sent.recv().unwrap();
        let stuck = pool.close(Duration::from_millis(1)).unwrap_err();
        drop(pool);
        stuck.jobs().len()
    });
    send.send(pool).unwrap();
    assert_eq!(job.unwrap().wait().unwrap(), 1); // It was waiting for itself.
}

#[test]
fn f9_threads_start_only_when_all_others_are_busy() {
    let pool = with_threads(3);
    assert_eq!(pool.threads(), 0);
    pool.submit(|| ()).unwrap().wait().unwrap();
    for _ in 0..100 {
        until(|| pool.running() == 0);
        pool.submit(|| ()).unwrap().wait().unwrap();
        assert_eq!(pool.threads(), 1);
    }
    until(|| pool.running() == 0);
    let holds: Vec<_> = (1..=3)
        .map(|busy| {
            let hold = held(pool.job());
            assert_eq!((pool.threads(), pool.running()), (busy, busy));
            hold
        })
        .collect();
    let (one, two) = (pool.submit(|| 1).unwrap(), pool.submit(|| 2).unwrap());
    assert_eq!((pool.threads(), pool.running(), pool.waiting()), (3, 3, 2));
    drop(holds);
    assert_eq!((one.wait().unwrap(), two.wait().unwrap()), (1, 2));
}

/// Two jobs that come while one thread is idle do not both wait for that thread.
#[test]
fn f9_jobs_submitted_together_do_not_wait_for_one_idle_thread() {
    for _ in 0..200 {
        let pool = with_threads(2);
        pool.submit(|| ()).unwrap().wait().unwrap();
        until(|| pool.running() == 0);
        let meeting = Arc::new(Barrier::new(2));
        let jobs = [0, 1].map(|_| {
            let meeting = meeting.clone();
            pool.submit(move || meeting.wait().is_leader()).unwrap()
        });
        let leaders = jobs.map(|job| job.wait().unwrap());
        assert!(leaders[0] != leaders[1]);
    }
}

#[test]
fn f9_an_idle_thread_ends() {
    let pool = BlockingPool::builder().keep_alive(Duration::ZERO).max_threads(4).build().unwrap();
    for _ in 0..50 {
        let holds: Vec<_> = (0..4).map(|_| held(pool.job())).collect();
        assert_eq!(pool.threads(), 4);
        drop(holds);
        until(|| pool.threads() == 0);
    }
    let pool = BlockingPool::builder().keep_alive(Duration::from_millis(1)).build().unwrap();
    pool.submit(|| ()).unwrap().wait().unwrap();
    until(|| pool.threads() == 0);
    pool.submit(|| ()).unwrap().wait().unwrap();
}

#[test]
fn f9_idle_threads_end_when_the_pool_closes() {
    let pool = with_threads(4);
    drop((0..4).map(|_| held(pool.job())).collect::<Vec<_>>());
    until(|| pool.running() == 0);
    assert_eq!(pool.threads(), 4);
    pool.close(Duration::ZERO).unwrap();
    until(|| pool.threads() == 0);
}

#[test]
fn f9_threads_are_named_by_the_lowest_free_number() {
    let pool =
        BlockingPool::builder().keep_alive(Duration::ZERO).thread_name("disk").build().unwrap();
    let mut holds: Vec<_> = (0..3).map(|_| held(pool.job()).1).collect();
    let fourth = |pool: &BlockingPool| pool.submit(name_of_thread).unwrap().wait().unwrap();
    assert_eq!(fourth(&pool), "disk-4");
    until(|| pool.threads() == 3);
    holds.remove(1);
    until(|| pool.threads() == 2);
    assert_eq!(fourth(&pool), "disk-2");
}

/// Settings that make no sense (P125).
#[test]
fn f9_p125_invalid_settings_are_refused() {
    let refused = |builder: BlockingPoolBuilder| match builder.build() {
        Err(Error::Setting(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(BlockingPool::builder().max_threads(0)), "max_threads must be at least 1");
    assert_eq!(refused(BlockingPool::builder().max_waiting(0)), "max_waiting must be at least 1");
    let text = refused(BlockingPool::builder().thread_name("two\0names"));
    assert_eq!(text, "thread_name must not contain a NUL character: \"two\\0names\"");
    let immense = BlockingPool::builder()
        .max_threads(usize::MAX)
        .max_waiting(usize::MAX)
        .keep_alive(Duration::MAX);
    assert_eq!(immense.build().unwrap().submit(|| 1).unwrap().wait().unwrap(), 1);
}

/// Stack size that no address space has room for, so each start of a thread fails, as at the limit
/// of threads.
const NO_THREAD_FITS: &str = "140737488355328";

#[test]
fn f9_p95_a_thread_that_cannot_start_is_an_error() {
    let name = "tasks::blocking_pool::f9_p95_a_thread_that_cannot_start_is_an_error";
    let check = || {
        let pool = BlockingPool::new();
        let owned = Arc::new(());
        for job in [pool.job(), pool.job().lookup()] {
            let owned = owned.clone();
            let error = job.submit(move || drop(owned)).unwrap_err();
            assert!(matches!(&error, Error::Thread(_)), "{error}");
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
        assert_eq!((Arc::strong_count(&owned), pool.threads(), pool.waiting()), (1, 0, 0));
        pool.close(Duration::MAX).unwrap();
        println!("every job was refused");
    };
    let output = alone_as(name, check, |mut child| {
        child.env("RUST_MIN_STACK", NO_THREAD_FITS);
        child
    });
    let Some(output) = output else { return };
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("every job was refused"));
}

#[test]
fn f9_p112_an_endless_job_delays_neither_close_nor_exit() {
    let name = "tasks::blocking_pool::f9_p112_an_endless_job_delays_neither_close_nor_exit";
    let check = || {
        let pool = BlockingPool::new();
        let job: Job<()> = pool
            .job()
            .name("never")
            .submit(|| {
                loop {
                    thread::park();
                }
            })
            .unwrap();
        until(|| pool.running() == 1);
        let stuck = pool.close(Duration::from_millis(5)).unwrap_err();
        assert_eq!(stuck.jobs()[0].name(), Some("never"));
        assert!(stuck.jobs()[0].running_for() >= Duration::from_millis(5));
        assert!(!job.is_finished());
        println!("closed");
    };
    let Some(output) = alone_as(name, check, |child| child) else { return };
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("closed"));
}

/// A job submitted during the close runs, or is dropped and its awaiter gets an error, or is
/// refused.
#[test]
fn f9_p113_no_job_is_lost_when_submit_meets_close() {
    let rounds = cases(2_000) as usize;
    let owned = Arc::new(());
    let [mut ran, mut dropped, mut refused] = [0, 0, 0];
    for _ in 0..rounds {
        let pool = BlockingPool::builder().max_threads(2).build().unwrap();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            let submitting = scope.spawn(|| {
                start.wait();
                let jobs = [0; 3].map(|_| {
                    let owned = owned.clone();
                    pool.submit(move || drop(owned))
                });
                jobs.map(|job| job.map(Job::wait))
            });
            start.wait();
            pool.close(Duration::MAX).unwrap();
            for job in submitting.join().unwrap() {
                match job {
                    Ok(Ok(())) => ran += 1,
                    Ok(Err(error)) if !error.is_panic() => dropped += 1,
                    Err(Error::PoolClosed) => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    println!("{ran} ran, {dropped} were dropped, {refused} were refused");
    assert_eq!(ran + dropped + refused, 3 * rounds);
    assert_eq!(Arc::strong_count(&owned), 1);
}

/// A job submitted while an idle thread ends still runs.
#[test]
fn f9_p113_no_job_is_lost_when_submit_meets_an_idle_thread_that_ends() {
    let rounds = cases(10_000) as usize;
    for idle in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(20)] {
        let pool = BlockingPool::builder().max_threads(2).keep_alive(idle).build().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for i in 0..rounds.div_ceil(6) {
                        assert_eq!(pool.submit(move || i).unwrap().wait().unwrap(), i);
                    }
                });
            }
        });
        until(|| pool.threads() == 0);
    }
}

#[test]
fn f9_p115_hanging_lookups_leave_half_of_the_threads_to_other_jobs() {
    for (threads, at_once) in [(1, 1), (2, 1), (3, 1), (8, 4)] {
        let pool = with_threads(threads);
        let hanging: Vec<_> = (0..at_once).map(|_| held(pool.job().lookup())).collect();
        let waiting: Vec<Job<()>> =
            (at_once..50).map(|_| pool.job().lookup().submit(|| ()).unwrap()).collect();
        assert_eq!((pool.running(), pool.waiting()), (at_once, 50 - at_once));
        assert_eq!(pool.threads(), at_once, "only as many threads as lookups may use");

        // All remaining threads can run other jobs at the same time.
        let left = threads - at_once;
        let others: Vec<_> = (0..left).map(|_| held(pool.job())).collect();
        assert_eq!((pool.threads(), pool.running()), (threads, threads));
        drop(others);

        // Cancelling returns at once, whether the lookup waits or hangs.
        drop(waiting);
        assert_eq!(pool.waiting(), 0);
        until(|| pool.running() == at_once);
        let holds: Vec<Hold> = hanging.into_iter().map(|(_, hold)| hold).collect();
        assert_eq!(pool.running(), at_once);
        drop(holds);
        pool.close(Duration::MAX).unwrap();
    }
}

#[test]
fn f9_p115_waiting_lookups_do_not_block_an_idle_thread() {
    let pool = with_threads(2);
    let (first, hold) = held(pool.job().lookup());
    let lookups = [0; 3].map(|_| pool.job().lookup().submit(name_of_thread).unwrap());
    for _ in 0..3 {
        let job = pool.submit(name_of_thread).unwrap();
        assert_eq!(job.wait().unwrap(), "mainspring-2");
        assert_eq!(pool.waiting(), 3);
    }
    drop(hold);
    first.wait().unwrap();
    lookups.into_iter().for_each(|job| drop(job.wait().unwrap()));
}

/// Among the jobs that may run, the one that has waited longest starts next, whatever its class.
#[test]
fn f9_jobs_and_lookups_start_in_order_of_submission() {
    let pool = with_threads(1);
    let (_, hold) = held(pool.job());
    let order = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<Job<()>> = [0, 1, 2, 3, 4, 5]
        .into_iter()
        .map(|i| {
            let order = order.clone();
            let job = pool.job();
            let job = if [0, 3, 4].contains(&i) { job.lookup() } else { job };
            job.submit(move || order.lock().unwrap().push(i)).unwrap()
        })
        .collect();
    drop(hold);
    jobs.into_iter().for_each(|job| job.wait().unwrap());
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

/// Waiting lookups and other waiting jobs do not take each other's room in the queue.
#[test]
fn f9_p115_lookups_have_their_own_queue() {
    let pool = lasting().max_threads(1).max_waiting(3).build().unwrap();
    let (_running, _hold) = held(pool.job());
    let lookups: Vec<_> = (0..3).map(|_| pool.job().lookup().submit(|| ()).unwrap()).collect();
    let error = pool.job().lookup().submit(|| ()).unwrap_err();
    assert!(matches!(error, Error::QueueFull { waiting: 3 }));
    let jobs: Vec<_> = (0..3).map(|_| pool.submit(|| ()).unwrap()).collect();
    let error = pool.submit(|| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot submit a job: 3 jobs are already waiting for a thread; await some of them first, \
         or allow more threads or a longer queue"
    );
    assert_eq!(pool.waiting(), 6);
    drop((lookups, jobs));
}
