//! Timers: CPU nanoseconds per operation. The hand-written loop has no timers to compare with.
//!
//! * `insert`: `call_at` with deadlines in random order.
//! * `cancel`: each timer in the order of insertion. Daemons cancel nearly all their timers.
//! * `run`: all timers are due at once, and run in one tick.
//! * `push back`: `reset_at` of armed timers to a later deadline, like the idle limit of a
//!   connection.
//! * `pull in`: `reset_at` to an earlier deadline, which moves the timer. Both end with a call of
//!   `next_deadline`, which does all postponed work.
//!
//! The clock is simulated. A cell of `--cells` is a number of timers; push back and pull in use a
//! hundredth of it, with a thousand operations for each.

mod raw;
mod support;

use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, TimerHandle};
use support::figures::{Spread, figure};
use support::options::Options;
use support::run;
use support::table::Table;

fn main() {
    run("timers", run_bench, |_, _| {});
}

fn run_bench(options: &Options) {
    let cells = options.cells(&[&[1000]], &[&[1_000_000]], &[&[10_000], &[1_000_000]]);
    let heading = ["ns", "insert", "cancel", "insert", "run", "push back", "pull in"];
    let mut table = Table::new(&heading);
    for cell in cells {
        let count = cell[0];
        options.progress(&count.to_string());
        let rounds: Vec<[f64; 6]> = (0..options.rounds).map(|_| round(count)).collect();
        let medians = (0..6).map(|at| Spread::of(rounds.iter().map(|round| round[at])).median);
        table.row([count.to_string()].into_iter().chain(medians.map(figure)));
    }
    table.print(options);
}

fn round(count: usize) -> [f64; 6] {
    let [insert, cancel] = insert_and_cancel(count);
    let [insert_again, run] = insert_and_run(count);
    let few = (count / 100).max(1);
    let later = |step: u32, number: u32| step * 1000 + number;
    let sooner = |step: u32, number: u32| (RESETS - step) * 1000 + number;
    [insert, cancel, insert_again, run, reset(few, later), reset(few, sooner)]
}

/// Number of resets of each timer.
const RESETS: u32 = 1000;

struct Timers {
    el: EventLoop<u64>,
    clock: SimClock,
    start: Instant,
}

impl Timers {
    fn new() -> Timers {
        let clock = SimClock::new();
        let el = EventLoop::builder().clock(clock.clone()).build_with(0);
        Timers { el: el.expect("the system has a selector"), start: clock.now(), clock }
    }

    /// Inserts timers with deadlines within an hour, in random order.
    fn insert(&mut self, count: usize) -> (f64, Vec<TimerHandle>) {
        let mut noise = 1u64;
        let deadlines: Vec<Instant> = (0..count)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                self.start + Duration::from_nanos((noise >> 20) % 3_600_000_000_000)
            })
            .collect();
        let mut timers = Vec::with_capacity(count);
        let took = timed(count, || {
            timers.extend(deadlines.iter().map(|at| self.el.call_at(*at, |_, ran| *ran += 1)));
        });
        (took, timers)
    }
}

/// Returns the CPU time per operation in nanoseconds.
fn timed(operations: usize, work: impl FnOnce()) -> f64 {
    let before = raw::cpu_of_this_thread();
    work();
    (raw::cpu_of_this_thread() - before).as_nanos() as f64 / operations as f64
}

fn insert_and_cancel(count: usize) -> [f64; 2] {
    let mut timers = Timers::new();
    let (insert, handles) = timers.insert(count);
    let cancel = timed(count, || {
        for handle in handles {
            assert!(timers.el.cancel(handle));
        }
    });
    [insert, cancel]
}

fn insert_and_run(count: usize) -> [f64; 2] {
    let mut timers = Timers::new();
    let (insert, _handles) = timers.insert(count);
    timers.clock.advance(Duration::from_secs(3600));
    let run = timed(count, || {
        timers.el.tick(Some(Duration::ZERO)).expect("the selector works");
    });
    assert_eq!(*timers.el.state(), count as u64);
    [insert, run]
}

/// Resets all timers in turn, many times. `place` returns the deadline in microseconds for a step
/// and a timer.
fn reset(count: usize, place: impl Fn(u32, u32) -> u32) -> f64 {
    let timers = Timers::new();
    let far = timers.start + Duration::from_secs(3600);
    let handles: Vec<TimerHandle> =
        (0..count).map(|_| timers.el.call_at(far, |_, ran| *ran += 1)).collect();
    let start = timers.start + Duration::from_secs(1);
    for handle in &handles {
        timers.el.reset_at(*handle, start + Duration::from_micros(u64::from(place(0, 0))));
    }
    timed(count * RESETS as usize, || {
        for step in 1..RESETS + 1 {
            for (number, handle) in (0..).zip(&handles) {
                let micros = u64::from(place(step, number % 1000));
                assert!(timers.el.reset_at(*handle, start + Duration::from_micros(micros)));
            }
        }
        assert!(timers.el.next_deadline().is_some());
    })
}
