//! Drops of a job's closure, result, panic payload and waker: on which thread they happen, and what
//! a panic in them does (P98, P111 and P116; docs/contract.md, F9).

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use mainspring::{BlockingPool, Job, JobError};

use crate::support::blocking_jobs::{Hold, held, held_then, until, with_threads};

const OURS: &str = "ours";
const WORKER: &str = "mainspring-1";

/// Dropped values, with the thread that dropped each.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Log {
    fn part(&self, what: &'static str) -> Part {
        Part { what, log: self.clone(), panics: false }
    }

    fn take(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Value that a closure, a result or a payload owns.
#[derive(Debug)]
struct Part {
    what: &'static str,
    log: Log,
    panics: bool,
}

impl Part {
    fn that_panics(mut self) -> Part {
        self.panics = true;
        self
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let thread = thread::current();
        let worker = thread.name().filter(|name| name.starts_with("mainspring"));
        let by = worker.unwrap_or(OURS).to_owned();
        self.log.0.lock().unwrap().push((self.what, by));
        if self.panics {
            panic!("{} panics when it is dropped", self.what);
        }
    }
}

/// Waker that counts its wakes.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<T>(job: &mut Job<T>, waker: &Waker) -> Poll<Result<T, JobError>> {
    Pin::new(job).poll(&mut Context::from_waker(waker))
}

fn is_panic(code: impl FnOnce()) -> bool {
    panic::catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// Time at which the future of a job is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropped {
    Waiting,
    Running,
    Finished,
    Taken,
}

/// Way in which a job ends, and whether the pool is closed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    dropped: Dropped,
    panics: bool,
    closed: bool,
}

/// Job in a pool with one thread, which another job occupies.
struct QueuedJob {
    pool: BlockingPool,
    busy: Hold,
    job: Job<Part>,
    /// Receives once the job runs.
    begun: mpsc::Receiver<()>,
    /// Lets the job end when it is dropped.
    end: mpsc::Sender<()>,
    log: Log,
}

fn stage(panics: bool) -> QueuedJob {
    let pool = with_threads(1);
    let (_, busy) = held(pool.job());
    let log = Log::default();
    let (owned, result) = (log.part("closure"), log.clone());
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let job = pool.submit(move || {
        let _owned = owned;
        begin.send(()).unwrap();
        ended.recv().unwrap_err();
        if panics {
            panic::panic_any(result.part("payload"));
        }
        result.part("result")
    });
    QueuedJob { pool, busy, job: job.unwrap(), begun, end, log }
}

/// Runs a case. Returns the dropped values in order, with the thread that dropped each.
fn outcome(case: Case) -> Vec<(&'static str, String)> {
    let QueuedJob { pool, busy, job, begun, end, log } = stage(case.panics);
    let close = |limit| drop(case.closed.then(|| pool.close(limit)));
    if case.dropped == Dropped::Waiting {
        drop(job);
        assert_eq!(log.len(), 1, "the closure was not dropped at once");
        close(Duration::ZERO);
        drop((busy, end));
    } else {
        drop(busy);
        begun.recv().unwrap();
        close(Duration::ZERO);
        if case.dropped == Dropped::Running {
            drop(job);
            drop(end);
        } else {
            drop(end);
            until(|| job.is_finished());
            match case.dropped {
                Dropped::Taken => drop(job.wait()),
                _ => drop(job),
            }
        }
    }
    pool.close(Duration::MAX).unwrap();
    log.take()
}

#[test]
fn f9_each_value_is_dropped_once_on_the_documented_thread() {
    for dropped in [Dropped::Waiting, Dropped::Running, Dropped::Finished, Dropped::Taken] {
        for panics in [false, true] {
            for closed in [false, true] {
                let case = Case { dropped, panics, closed };
                let end = if panics { "payload" } else { "result" };
                let expected: &[(&str, &str)] = match dropped {
                    Dropped::Waiting => &[("closure", OURS)],
                    Dropped::Running => &[("closure", WORKER), (end, WORKER)],
                    Dropped::Finished | Dropped::Taken => &[("closure", WORKER), (end, OURS)],
                };
                let found = outcome(case);
                let found: Vec<_> = found.iter().map(|(what, by)| (*what, by.as_str())).collect();
                assert_eq!(found, expected, "{case:?}");
            }
        }
    }
}

#[test]
fn f9_close_drops_waiting_jobs_on_the_closing_thread() {
    let QueuedJob { pool, busy, job, log, .. } = stage(false);
    pool.close(Duration::ZERO).unwrap_err();
    assert_eq!(log.take(), [("closure", OURS.to_owned())]);
    drop(busy);
    assert!(!job.wait().unwrap_err().is_panic());
    assert_eq!(log.len(), 0);
}

#[test]
fn f9_a_job_wakes_only_the_last_waker() {
    let pool = with_threads(1);
    let (mut job, hold) = held(pool.job());
    let counts = [0; 3].map(|_| Arc::new(Count::default()));
    for count in &counts {
        let waker = Waker::from(count.clone());
        assert!(poll(&mut job, &waker).is_pending());
        assert!(poll(&mut job, &waker).is_pending());
    }
    // Replaced wakers are dropped, and one clone of the last waker is kept.
    assert_eq!(counts.each_ref().map(Arc::strong_count), [1, 1, 2]);
    drop(hold);
    until(|| pool.running() == 0);
    assert_eq!(counts.each_ref().map(|count| count.wakes()), [0, 0, 1]);
    assert_eq!(Arc::strong_count(&counts[2]), 1);
    let waker = Waker::from(counts[0].clone());
    assert!(matches!(poll(&mut job, &waker), Poll::Ready(Ok(()))));
    assert!(is_panic(|| drop(poll(&mut job, &waker))));
    drop(job);
    assert_eq!(counts[0].wakes(), 0);
}

#[test]
fn f9_awaiters_are_woken_when_the_pool_closes() {
    let pool = with_threads(1);
    let (_, _hold) = held(pool.job());
    let mut job = pool.submit(|| ()).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(poll(&mut job, &waker).is_pending());
    pool.close(Duration::ZERO).unwrap_err();
    assert_eq!(count.wakes(), 1);
    assert!(matches!(poll(&mut job, &waker), Poll::Ready(Err(_))));
}

#[test]
fn f9_p111_a_job_that_outlives_its_future_and_pool_drops_its_result_on_its_thread() {
    let QueuedJob { pool, busy, mut job, begun, end, log } = stage(false);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(poll(&mut job, &waker).is_pending());
    drop(busy);
    begun.recv().unwrap();
    drop(job);
    assert_eq!(Arc::strong_count(&count), 2, "the running job keeps the waker");
    drop(pool);
    assert_eq!(log.len(), 0);
    drop(end);
    until(|| log.len() == 2);
    let by_worker = |what| (what, WORKER.to_owned());
    assert_eq!(log.take(), [by_worker("closure"), by_worker("result")]);
    assert_eq!(count.wakes(), 0);
}

/// Checks that the pool's only thread still runs jobs.
fn assert_survived(pool: &BlockingPool) {
    let name = || thread::current().name().map(str::to_owned);
    assert_eq!(pool.submit(name).unwrap().wait().unwrap().as_deref(), Some(WORKER));
    assert_eq!(pool.threads(), 1);
}

#[test]
fn f9_p98_a_panicking_drop_of_an_unawaited_result_ends_no_thread() {
    let log = Log::default();
    let pool = with_threads(1);
    for panics in [false, true] {
        let of_job = log.clone();
        let (job, end) = held_then(pool.job(), move || {
            let part = of_job.part("result").that_panics();
            if panics {
                panic::panic_any(part);
            }
            part
        });
        drop(job);
        drop(end);
        until(|| pool.running() == 0);
        assert_eq!(log.take(), [("result", WORKER.to_owned())]);
        assert_survived(&pool);
    }
}

/// Panics `.0` times, each time with a payload that panics when it is dropped.
struct PanickingPayload(usize, Log);

impl Drop for PanickingPayload {
    fn drop(&mut self) {
        drop(self.1.part("payload"));
        if self.0 > 0 {
            panic::panic_any(PanickingPayload(self.0 - 1, self.1.clone()));
        }
    }
}

#[test]
fn f9_p98_panicking_drops_of_payloads_end_no_thread() {
    let log = Log::default();
    let pool = with_threads(1);
    let of_job = log.clone();
    let (job, end) = held_then(pool.job(), move || -> () {
        panic::panic_any(PanickingPayload(3, of_job));
    });
    drop(job);
    drop(end);
    until(|| pool.running() == 0);
    assert_eq!(log.len(), 4);
    assert_survived(&pool);
}

#[test]
fn f9_p98_a_panicking_drop_of_a_closure_reaches_the_awaiter() {
    let log = Log::default();
    let pool = with_threads(1);
    let part = log.part("closure").that_panics();
    let job = pool.submit(move || drop(part)).unwrap();
    assert!(job.wait().unwrap_err().to_string().ends_with("closure panics when it is dropped"));
    assert_survived(&pool);

    // The same if the job never ran. The close continues with the other jobs, and all awaiters get
    // an error.
    let (_, busy) = held(pool.job());
    let jobs = [0; 3].map(|_| {
        let part = log.part("closure").that_panics();
        pool.submit(move || drop(part)).unwrap()
    });
    pool.close(Duration::ZERO).unwrap_err();
    assert_eq!(log.len(), 1 + 3);
    for job in jobs {
        assert!(job.wait().unwrap_err().to_string().ends_with("closure panics when it is dropped"));
    }
    drop(busy);
    pool.close(Duration::MAX).unwrap();
}

#[test]
fn f9_p98_a_panicking_drop_of_a_cancelled_closure_reaches_the_dropper() {
    let log = Log::default();
    let pool = with_threads(1);
    let (_, busy) = held(pool.job());
    let part = log.part("closure").that_panics();
    let job = pool.submit(move || drop(part)).unwrap();
    assert!(is_panic(|| drop(job)));
    assert_eq!((log.len(), pool.waiting()), (1, 0));
    drop(busy);
    until(|| pool.running() == 0);
    assert_survived(&pool);
}

/// Waker that panics on wake or on drop. Both at once would abort.
struct PanickingWaker {
    on_wake: bool,
    log: Log,
}

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        if self.on_wake {
            panic!("the waker panics");
        }
    }
}

impl Drop for PanickingWaker {
    fn drop(&mut self) {
        let part = self.log.part("waker");
        drop(if self.on_wake { part } else { part.that_panics() });
    }
}

#[test]
fn f9_p98_a_panicking_waker_ends_no_thread() {
    for on_wake in [false, true] {
        let log = Log::default();
        let pool = with_threads(1);
        let (mut job, hold) = held(pool.job());
        let waker = Waker::from(Arc::new(PanickingWaker { on_wake, log: log.clone() }));
        assert!(poll(&mut job, &waker).is_pending());
        drop(waker);
        drop(hold);
        until(|| pool.running() == 0);
        assert_eq!(log.len(), 1);
        job.wait().unwrap();
        assert_survived(&pool);
    }
}

#[test]
fn f9_p98_a_panicking_drop_of_a_replaced_waker_reaches_the_poller() {
    let log = Log::default();
    let pool = with_threads(1);
    let (mut job, hold) = held(pool.job());
    let panicking = Waker::from(Arc::new(PanickingWaker { on_wake: false, log: log.clone() }));
    assert!(poll(&mut job, &panicking).is_pending());
    drop(panicking);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(is_panic(|| drop(poll(&mut job, &waker))));
    drop(hold);
    until(|| count.wakes() == 1);
    job.wait().unwrap();
    assert_survived(&pool);
}

/// The answer of a lookup comes after the lookup was abandoned (P116).
#[test]
fn f9_p116_a_late_answer_of_a_lookup_is_dropped() {
    for closed in [false, true] {
        let pool = with_threads(2);
        let log = Log::default();
        let (begin, begun) = mpsc::channel();
        let (answer, answered) = mpsc::channel::<Part>();
        let lookup = pool.job().lookup().submit(move || {
            begin.send(()).unwrap();
            answered.recv().unwrap()
        });
        begun.recv().unwrap();
        drop(lookup);
        if closed {
            pool.close(Duration::ZERO).unwrap_err();
        }
        answer.send(log.part("answer")).unwrap();
        pool.close(Duration::MAX).unwrap();
        assert_eq!(log.take(), [("answer", WORKER.to_owned())]);
    }
}

/// Uses the pool when it is woken and when it is dropped.
struct UsesPool(Arc<BlockingPool>, Arc<AtomicUsize>);

impl UsesPool {
    fn use_pool(&self) {
        assert!(self.0.threads() <= 1);
        drop(self.0.submit(|| ()));
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for UsesPool {
    fn drop(&mut self) {
        self.use_pool();
    }
}

impl Wake for UsesPool {
    fn wake(self: Arc<Self>) {
        self.use_pool();
    }
}

/// No lock is held while user code runs or is dropped; otherwise this test would hang.
#[test]
fn f9_values_of_a_job_may_use_its_pool() {
    let pool = Arc::new(BlockingPool::builder().max_threads(1).max_waiting(2).build().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let (_, busy) = held(pool.job());
    let uses_pool = || UsesPool(pool.clone(), count.clone());
    let submit = || {
        let [closure, result] = [uses_pool(), uses_pool()];
        pool.submit(move || {
            drop(closure);
            result
        })
    };
    let (first, second) = (submit().unwrap(), submit().unwrap());
    drop(submit().unwrap_err()); // The queue is full.
    assert_eq!(count.load(Ordering::SeqCst), 2);
    drop(first);
    assert_eq!(count.load(Ordering::SeqCst), 4);
    let mut third = submit().unwrap();
    let waker = Waker::from(Arc::new(uses_pool()));
    assert!(poll(&mut third, &waker).is_pending());
    drop(waker);
    drop(busy);
    until(|| pool.running() + pool.waiting() == 0);
    // Both closures, and the waker: once woken, once dropped.
    assert_eq!(count.load(Ordering::SeqCst), 4 + 2 + 2);
    drop((second, third));
    assert_eq!(count.load(Ordering::SeqCst), 8 + 2);

    let (_, busy) = held(pool.job());
    let late = submit().unwrap();
    pool.close(Duration::ZERO).unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 10 + 2);
    drop((busy, late));
    pool.close(Duration::MAX).unwrap();
}

/// Waker that polls its job inside `wake`, as some runtimes do.
struct PollsInWake(Mutex<Option<Job<i32>>>, mpsc::Sender<i32>);

impl Wake for PollsInWake {
    fn wake(self: Arc<Self>) {
        let mut job = self.0.lock().unwrap().take().unwrap();
        match poll(&mut job, Waker::noop()) {
            Poll::Ready(Ok(result)) => self.1.send(result).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn f9_a_waker_may_poll_its_job() {
    let pool = with_threads(1);
    let (_, busy) = held(pool.job());
    let (send, sent) = mpsc::channel();
    let inline = Arc::new(PollsInWake(Mutex::default(), send));
    let mut job = pool.submit(|| 7).unwrap();
    assert!(poll(&mut job, &Waker::from(inline.clone())).is_pending());
    *inline.0.lock().unwrap() = Some(job);
    drop(busy);
    assert_eq!(sent.recv().unwrap(), 7);
    assert_survived(&pool);
}
