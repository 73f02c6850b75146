//! Timers, by their number. The clock is simulated.
//!
//! With a hundred thousand timers or more an iteration takes many milliseconds, and other load
//! affects it. The bench `timers` measures CPU time instead.

use std::iter;
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::ItemsCount;
use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, TimerHandle};

/// Numbers of timers. In a test, a thousand suffice.
const SIZES: &[usize] =
    if cfg!(debug_assertions) { &[1000] } else { &[1000, 10_000, 100_000, 1_000_000] };

const HOUR: Duration = Duration::from_secs(3600);

/// Number of resets of each timer in `re_arm` before the call of `next_deadline`.
const RESETS: u32 = 10;

struct Timers {
    el: EventLoop<usize>,
    clock: SimClock,
}

impl Timers {
    fn new() -> Timers {
        let clock = SimClock::new();
        let el = EventLoop::builder().clock(clock.clone()).build_with(0);
        Timers { el: el.expect("the system has a selector"), clock }
    }

    fn insert(&self, deadline: Instant) -> TimerHandle {
        self.el.call_at(deadline, |_, ran| *ran += 1)
    }

    fn insert_and_cancel(&self, bencher: Bencher<'_, '_>, deadlines: &[Instant]) {
        let mut timers = Vec::with_capacity(deadlines.len());
        bencher.counter(ItemsCount::new(deadlines.len())).bench_local(|| {
            timers.extend(deadlines.iter().map(|deadline| self.insert(*deadline)));
            for timer in timers.drain(..) {
                assert!(self.el.cancel(timer));
            }
        });
        assert_eq!(self.el.next_deadline(), None);
    }
}

/// Returns random delays within an hour, without end.
fn random_delays() -> impl Iterator<Item = Duration> {
    let mut noise = 1u64;
    iter::repeat_with(move || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Duration::from_nanos((noise >> 20) % HOUR.as_nanos() as u64)
    })
}

/// Inserts timers in the order of their deadlines, and cancels them from the first to the last.
#[divan::bench(args = SIZES)]
fn insert_cancel_in_order(bencher: Bencher<'_, '_>, count: usize) {
    let timers = Timers::new();
    let start = timers.clock.now() + HOUR;
    let deadlines: Vec<Instant> =
        (0..count as u64).map(|at| start + Duration::from_micros(at)).collect();
    timers.insert_and_cancel(bencher, &deadlines);
}

/// Inserts timers in random order, and cancels them in the order of insertion.
#[divan::bench(args = SIZES)]
fn insert_cancel_at_random(bencher: Bencher<'_, '_>, count: usize) {
    let timers = Timers::new();
    let start = timers.clock.now() + HOUR;
    let deadlines: Vec<Instant> = random_delays().map(|delay| start + delay).take(count).collect();
    timers.insert_and_cancel(bencher, &deadlines);
}

/// Inserts timers in random order, and runs all in one tick. Each iteration has another order,
/// because the branch predictor would adapt to the order of a thousand timers.
#[divan::bench(args = SIZES)]
fn insert_run(bencher: Bencher<'_, '_>, count: usize) {
    let Timers { mut el, clock } = Timers::new();
    let mut delays = random_delays();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        for delay in delays.by_ref().take(count) {
            el.call_later(delay, |_, ran| *ran += 1);
        }
        clock.advance(HOUR);
        el.tick(Some(Duration::ZERO)).expect("the selector works");
    });
    assert!(*el.state() >= count);
    assert_eq!(el.next_deadline(), None);
}

/// Moves each deadline back ten times, like the idle limit of a connection on each packet. Then
/// `next_deadline` does all postponed work.
#[divan::bench(args = SIZES)]
fn re_arm(bencher: Bencher<'_, '_>, count: usize) {
    let timers = Timers::new();
    let mut deadline = timers.clock.now() + HOUR;
    let handles: Vec<TimerHandle> = (0..count).map(|_| timers.insert(deadline)).collect();
    bencher.counter(ItemsCount::new(count * RESETS as usize)).bench_local(|| {
        for _ in 0..RESETS {
            for handle in &handles {
                deadline += Duration::from_nanos(1);
                assert!(timers.el.reset_at(*handle, deadline));
            }
        }
        assert!(timers.el.next_deadline().is_some());
    });
}
