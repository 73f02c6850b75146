//! Memory after a peak: what remains is in proportion to what is left (docs/contract.md, T6).

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures::future::poll_immediate;
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Handle, Interest, Task, TimerHandle, net, promise, sleep, yield_now};

use crate::support::descriptors::has_room_for;
use crate::support::process::alone;
use crate::{COUNTS, MILLI, tick};

const PEAK: usize = 1_000_000;

/// Number of callbacks and tasks; smaller, because these tests are slow without optimization.
const FEWER: usize = PEAK / 5;

/// Upper limit of the memory that may remain after any peak, in bytes.
const FLOOR: isize = 192 * 1024;

/// Limit of fds, of which half are open at the peak. Many systems do not allow many more.
const FDS: usize = 10_000;

struct Peak {
    el: EventLoop<usize>,
    clock: SimClock,
    before: isize,
    highest: isize,
}

impl Peak {
    fn new() -> Peak {
        let clock = SimClock::new();
        let mut el = EventLoop::builder()
            .await_lines(false)
            .clock(clock.clone())
            .build_with(0)
            .expect("a loop");
        tick(&mut el);
        Peak { el, clock, before: COUNTS.get().1, highest: 0 }
    }

    /// Records the memory in use at the peak.
    fn mark(&mut self) {
        self.highest = COUNTS.get().1 - self.before;
    }

    /// Asserts that little more memory is in use than before the peak.
    fn expect_little(&mut self, what: &str) {
        (0..3).for_each(|_| tick(&mut self.el));
        let held = COUNTS.get().1 - self.before;
        println!("{what}: {} bytes at the peak, {held} after it", self.highest);
        assert!(held < FLOOR && FLOOR < self.highest, "{what}: {held} bytes");
    }

    fn call_later(&mut self, i: usize) -> TimerHandle {
        let delay = Duration::from_nanos(1 + i as u64 * 7_919 % 1_000_000_007);
        self.el.call_later(delay, |_, ran| *ran += 1)
    }
}

#[test]
fn t6_cancelled_timers_free_their_memory() {
    let mut peak = Peak::new();
    let timers: Vec<TimerHandle> = (0..PEAK).map(|i| peak.call_later(i)).collect();
    peak.mark();
    tick(&mut peak.el);
    assert!(timers.iter().all(|timer| peak.el.cancel(*timer)));
    drop(timers);
    peak.expect_little("a million timers, cancelled in order");
}

/// The first timer stays. The memory behind it is freed, in whatever order the other timers go.
#[test]
fn t6_a_long_timer_keeps_only_its_own_memory() {
    let mut peak = Peak::new();
    let first = peak.call_later(0);
    let timers: Vec<TimerHandle> = (0..PEAK).map(|i| peak.call_later(i)).collect();
    peak.mark();
    tick(&mut peak.el);
    // 700,001 and the number of timers have no common divisor, so each timer is cancelled once.
    for i in 0..PEAK {
        let timer = timers[i * 700_001 % PEAK];
        assert!(peak.el.cancel(timer));
    }
    assert!(timers.iter().all(|timer| !peak.el.cancel(*timer)));
    drop(timers);
    peak.expect_little("a million timers but one, cancelled at random");
    assert!(peak.el.cancel(first));
}

#[test]
fn t6_timers_that_have_run_free_their_memory() {
    let mut peak = Peak::new();
    let last = peak.el.call_later(3600 * 1000 * MILLI, |_, _| {});
    for i in 0..PEAK {
        peak.call_later(i);
    }
    peak.mark();
    peak.clock.advance(2000 * MILLI);
    tick(&mut peak.el);
    assert_eq!(*peak.el.state(), PEAK);
    peak.expect_little("a million timers that fired");
    assert!(peak.el.cancel(last));
}

#[test]
fn t6_queued_callbacks_free_their_memory() {
    let mut peak = Peak::new();
    let all: Vec<Handle> = (0..FEWER).map(|_| peak.el.call_soon(|_, ran| *ran += 1)).collect();
    drop(all);
    peak.mark();
    tick(&mut peak.el);
    assert_eq!(*peak.el.state(), FEWER);
    peak.expect_little("callbacks of the next tick");
}

#[test]
fn t6_sent_callbacks_free_their_memory() {
    let mut peak = Peak::new();
    let remote = peak.el.remote();
    for _ in 0..FEWER {
        remote.call_soon(|_, ran| *ran += 1).expect("an open loop");
    }
    peak.mark();
    while *peak.el.state() < FEWER {
        tick(&mut peak.el);
    }
    peak.expect_little("callbacks of another thread");
}

#[test]
fn t6_finished_tasks_free_their_memory() {
    let mut peak = Peak::new();
    let first = peak.el.spawn(sleep(3600 * 1000 * MILLI));
    let tasks: Vec<Task<()>> = (0..FEWER).map(|_| peak.el.spawn(yield_now())).collect();
    (0..3).for_each(|_| tick(&mut peak.el));
    peak.mark();
    drop(tasks);
    peak.expect_little("tasks that ended");
    drop(first);
}

#[test]
fn t6_cancelled_tasks_free_their_memory() {
    let mut peak = Peak::new();
    let first = peak.el.spawn(sleep(3600 * 1000 * MILLI));
    let tasks: Vec<Task<()>> = (0..FEWER)
        .map(|i| {
            let task = peak.el.spawn(async move {
                let (resolver, promised) = promise::<()>();
                sleep(Duration::from_secs(1 + i as u64)).await;
                drop((resolver, promised));
            });
            task.named("asleep")
        })
        .collect();
    tick(&mut peak.el);
    peak.mark();
    assert!(tasks.iter().all(|task| task.cancel("enough")));
    (0..3).for_each(|_| tick(&mut peak.el));
    assert!(tasks.iter().all(Task::is_finished));
    drop(tasks);
    peak.expect_little("tasks with a name and a timer, cancelled");
    drop(first);
}

/// Runs `check`, the body of the test called `name`, in its own process: select(2) cannot watch the
/// numbers that other tests would get during a peak of fds. Prints a note if there are too few.
fn with_many_fds(name: &str, check: impl FnOnce()) {
    alone(&format!("allocations::peak::{name}"), || {
        if std::env::var("MAINSPRING_SELECTOR").is_ok_and(|kind| kind == "select") {
            println!("skipped: select(2) supports 1024 descriptors only");
        } else if has_room_for(FDS as u64) {
            check();
        }
    });
}

#[test]
fn t6_watchers_free_their_memory() {
    with_many_fds("t6_watchers_free_their_memory", || {
        let (stream, _peer) = UnixStream::pair().expect("a pair of sockets");
        let mut peak = Peak::new();
        let stream = Rc::new(stream);
        let copy = |_| stream.try_clone().expect("a free fd");
        let open: Vec<UnixStream> = (0..FDS / 2).map(copy).collect();
        let count = open.len();
        let watch = |stream| peak.el.watch(stream, Interest::PRIORITY, |_, _, _| Ok(()));
        let watchers: Vec<_> = open.into_iter().map(|stream| watch(stream).expect("fds")).collect();
        peak.mark();
        watchers.iter().for_each(|watcher| assert!(peak.el.cancel(*watcher)));
        drop(watchers);
        peak.expect_little(&format!("{count} watchers"));
    });
}

#[test]
fn t6_sockets_of_tasks_free_their_memory() {
    with_many_fds("t6_sockets_of_tasks_free_their_memory", || {
        let (stream, _peer) = UnixStream::pair().expect("a pair of sockets");
        let mut peak = Peak::new();
        let copy = |_| stream.try_clone().expect("a free fd");
        let open: Vec<UnixStream> = (0..FDS / 2).map(copy).collect();
        let count = open.len();
        let task = peak.el.spawn(async move {
            let streams = open.into_iter().map(|one| net::UnixStream::from_std(one).expect("fds"));
            let streams: Vec<_> = streams.collect();
            for stream in &streams {
                assert!(poll_immediate(stream.read(&mut [0; 1])).await.is_none());
            }
            yield_now().await;
            drop(streams);
        });
        tick(&mut peak.el);
        peak.mark();
        tick(&mut peak.el);
        assert!(task.is_finished());
        drop(task);
        peak.expect_little(&format!("{count} sockets of tasks"));
    });
}
