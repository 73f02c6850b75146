//! `spawn_blocking` and lookups on the loop's own pool (docs/contract.md, F9).

use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mainspring::net::{TcpStream, lookup_host};
use mainspring::{BlockingPool, Error, EventLoop, spawn_blocking, timeout};

use crate::support::blocking_jobs::{held, until};
use crate::support::{on_every_selector, simulated};

fn name_of_thread() -> Option<String> {
    thread::current().name().map(str::to_owned)
}

#[test]
fn f9_a_job_runs_in_another_thread_and_returns_its_result() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let future = el.spawn_blocking(name_of_thread);
        let name = el.run_until_complete(future).unwrap().unwrap();
        assert_eq!(name.as_deref(), Some("mainspring-1"));

        let sum = el.run_until_complete(async {
            let jobs = [1, 2, 3].map(|n| spawn_blocking(move || n * n));
            let mut sum = 0;
            for job in jobs {
                sum += job.await.unwrap();
            }
            sum
        });
        assert_eq!(sum.unwrap(), 14);
    });
}

#[test]
fn f9_a_panic_of_a_job_is_an_error() {
    let mut el = EventLoop::new().unwrap();
    let failed = el.run_until_complete(async {
        spawn_blocking(|| -> u32 { panic!("the disk is on fire") }).await
    });
    let error = failed.unwrap().unwrap_err().chain();
    assert!(
        error.contains("the disk is on fire") && error.contains("spawn_blocking.rs"),
        "{error}"
    );
}

/// Time is simulated, so the timeout comes at once, however long the job takes.
#[test]
fn f9_cancelling_the_wait_abandons_the_job() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (began, has_begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let job = el.spawn_blocking(move || {
            began.send(()).unwrap();
            ended.recv().unwrap_err();
            "not awaited"
        });
        has_begun.recv().unwrap();
        let late = el.run_until_complete(timeout(Duration::from_secs(1), job)).unwrap();
        assert!(matches!(late, Err(Error::TimedOut(_))));
        assert_eq!(el.blocking_pool().running(), 1);
        drop(end);
        until(|| el.blocking_pool().running() == 0);
    });
}

#[test]
fn f9_closing_the_loop_drops_waiting_jobs_without_waiting() {
    let pool = BlockingPool::builder().max_threads(1).build().unwrap();
    let mut el = EventLoop::builder().blocking_pool(pool).build().unwrap();
    let (_running, hold) = held(el.blocking_pool().job());
    let (dropped, was_dropped) = mpsc::channel::<()>();
    let waiting = el.spawn_blocking(move || drop(dropped));
    let handle = el.handle().clone();
    el.close();
    assert!(was_dropped.recv().is_err());
    assert!(matches!(handle.blocking_pool().submit(|| ()), Err(Error::PoolClosed)));
    drop((waiting, hold));
}

#[test]
fn f9_closing_the_pool_before_the_loop_names_stuck_jobs() {
    let el = EventLoop::new().unwrap();
    let (_job, hold) = held(el.blocking_pool().job().name("backup"));
    let stuck = el.blocking_pool().close(Duration::ZERO).unwrap_err();
    assert_eq!(stuck.jobs()[0].name(), Some("backup"));
    drop(hold);
    el.blocking_pool().close(Duration::MAX).unwrap();
}

/// The loop sleeps in its selector while the job runs, and the end of the job wakes it.
#[test]
fn f9_a_loop_runs_callbacks_while_a_job_runs() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
        let (end, ended) = mpsc::channel::<()>();
        let job = el.spawn_blocking(move || ended.recv().is_err());
        let hold = Rc::new(end);
        let last = hold.clone();
        el.call_soon(move |_, ticks: &mut i32| {
            *ticks += 1;
            drop(last);
        });
        drop(hold);
        assert!(el.run_until_complete(job).unwrap().unwrap());
        assert_eq!(*el.state(), 1);
    });
}

#[test]
fn f9_p115_lookup_host_refuses_an_invalid_name() {
    let mut el = EventLoop::new().unwrap();
    el.run_until_complete(async {
        let found = lookup_host("[::1]:80").await.unwrap();
        assert_eq!(found, ["[::1]:80".parse().unwrap()]);
        let refused = lookup_host("two words:80").await.unwrap_err();
        assert!(matches!(refused, Error::Host { .. }), "{refused}");
    })
    .unwrap();
    assert_eq!(el.blocking_pool().threads(), 0);
}

/// The error of a stuck or dropped lookup names the line that requested it (P115).
#[test]
fn f9_p115_the_error_of_a_lookup_names_the_line_of_the_call() {
    let pool = BlockingPool::builder().max_threads(2);
    let mut el = EventLoop::builder().blocking_pool(pool.build().unwrap()).build().unwrap();
    let (_, _hanging) = held(el.blocking_pool().job().lookup());
    let lookup = el.spawn(async { lookup_host("localhost:80").await.map(drop) });
    let asked = line!() - 1;
    let limit = Duration::from_secs(3600);
    let dial =
        el.spawn(async move { TcpStream::connect_host("localhost:80", limit).await.map(drop) });
    let dialled = line!() - 1;
    el.tick(Some(Duration::ZERO)).unwrap();
    assert_eq!(el.blocking_pool().waiting(), 2);
    el.blocking_pool().close(Duration::ZERO).unwrap_err();
    for (task, line) in [(lookup, asked), (dial, dialled)] {
        let error = el.run_until_complete(task).unwrap().unwrap().unwrap_err().chain();
        assert!(error.contains(&format!("spawn_blocking.rs:{line}:")), "{error}");
    }
}
