//! Measured times (docs/contract.md, N3, N4).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, LoopHandle, SelectorKind};

use crate::support::{on_every_selector, simulated_builder};

const MS: Duration = Duration::from_millis(1);

/// Returns a loop that measures, with simulated time.
fn measuring(kind: SelectorKind) -> (EventLoop, SimClock) {
    let (builder, clock) = simulated_builder(kind);
    (builder.measure(true).build().unwrap(), clock)
}

#[test]
fn n3_busy_and_idle_are_the_time_of_the_ticks() {
    on_every_selector(|kind| {
        let (mut el, clock) = measuring(kind);
        let other = clock.clone();
        el.call_later(10 * MS, move |_, ()| other.advance(3 * MS));
        el.run().unwrap();
        let metrics = el.metrics();
        assert_eq!((metrics.busy(), metrics.idle()), (3 * MS, 10 * MS));
        clock.advance(100 * MS);
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!((metrics.busy(), metrics.idle()), (3 * MS, 10 * MS), "outside of ticks");
    });
}

#[test]
fn n3_calls_and_their_delays() {
    on_every_selector(|kind| {
        let (mut el, clock) = measuring(kind);
        for time in [2, 8, 0] {
            let clock = clock.clone();
            el.call_soon(move |_, ()| clock.advance(time * MS));
        }
        el.run().unwrap();
        let metrics = el.metrics();
        let (durations, delays) = (metrics.call_durations(), metrics.delays());
        assert_eq!((durations.count(), durations.sum(), durations.max()), (3, 10 * MS, 8 * MS));
        assert_eq!((delays.count(), delays.sum(), delays.max()), (3, 12 * MS, 10 * MS));
    });
}

#[test]
fn n3_timers_behind_a_long_callback_are_late() {
    on_every_selector(|kind| {
        let (mut el, clock) = measuring(kind);
        el.call_later(5 * MS, |_, ()| {});
        el.call_soon(move |_, ()| clock.advance(50 * MS));
        el.run().unwrap();
        let lateness = el.metrics().lateness();
        assert_eq!((lateness.count(), lateness.max()), (1, 45 * MS));
    });
}

/// Counts the reads of a clock.
#[derive(Debug)]
struct Counted(Rc<Cell<usize>>);

impl Clock for Counted {
    fn now(&self) -> Instant {
        self.0.set(self.0.get() + 1);
        Instant::now()
    }
}

#[test]
fn n3_no_clock_is_read_without_measuring() {
    on_every_selector(|kind| {
        let reads = [false, true].map(|measure| {
            let reads = Rc::new(Cell::new(0));
            let builder = EventLoop::builder().selector(kind).clock(Counted(reads.clone()));
            let mut el = builder.measure(measure).debug(false).build().unwrap();
            reads.set(0);
            (0..10).for_each(|_| _ = el.call_soon(|_, ()| {}));
            el.tick(Some(Duration::ZERO)).unwrap();
            let count = el.metrics().call_durations().count();
            assert_eq!(count, if measure { 10 } else { 0 });
            reads.get()
        });
        assert_eq!(reads, [0, 13], "one for each callback, three for a tick");
    });
}

#[test]
fn n3_the_end_of_a_tick_is_the_beginning_of_the_next_one() {
    on_every_selector(|kind| {
        let reads = Rc::new(Cell::new(0));
        let builder = EventLoop::builder().selector(kind).clock(Counted(reads.clone()));
        let mut el = builder.measure(true).debug(false).build_with(0).unwrap();
        fn link(el: &LoopHandle<u64>, ran: &mut u64) {
            *ran += 1;
            if *ran < 10 {
                el.call_soon(link);
            }
        }
        el.call_soon(link);
        reads.set(0);
        el.run().unwrap();
        assert_eq!(el.metrics().call_durations().count(), 10);
        assert_eq!(reads.get(), 1 + 3 * 10, "the selector's end, and both ends of the callback");
    });
}

#[test]
fn n4_histograms_of_two_loops_are_merged() {
    let (mut one, clock) = measuring(SelectorKind::available()[0]);
    let (mut other, other_clock) = measuring(SelectorKind::available()[0]);
    one.call_soon(move |_, ()| clock.advance(MS));
    other.call_soon(move |_, ()| other_clock.advance(4 * MS));
    one.run().unwrap();
    other.run().unwrap();
    let mut both = one.metrics().call_durations();
    both.merge(&other.metrics().call_durations());
    assert_eq!((both.count(), both.sum(), both.max()), (2, 5 * MS, 4 * MS));
    let median = both.quantile(0.5);
    assert!(MS <= median && median <= MS * 5 / 4, "{median:?}");
}

/// The product of the fraction and the count is rounded: 0.55 * 100.0 is more than 55.
#[test]
fn n4_a_quantile_does_not_count_one_duration_more_than_its_fraction() {
    for (short, count) in [(55, 100), (7, 100), (7, 25), (14, 50), (9, 10), (1, 3)] {
        let (mut el, clock) = measuring(SelectorKind::available()[0]);
        for index in 0..count {
            let (clock, duration) = (clock.clone(), if index < short { MS } else { 1000 * MS });
            el.call_soon(move |_, ()| clock.advance(duration));
        }
        el.run().unwrap();
        let part = f64::from(short) / f64::from(count);
        let durations = el.metrics().call_durations();
        let [at, above] = [part, part + 0.001].map(|part| durations.quantile(part));
        assert!(MS <= at && at <= MS * 5 / 4, "{short} of {count}: {at:?}");
        assert_eq!(above, 1000 * MS, "{short} of {count}");
    }
}

/// The time after a panic, until the next run, is not the loop's.
#[test]
fn n3_a_tick_that_unwinds_is_busy_until_then() {
    on_every_selector(|kind| {
        let (mut el, clock) = measuring(kind);
        let advance = clock.clone();
        el.call_soon(move |_, ()| {
            advance.advance(5 * MS);
            resume_unwind(Box::new("on purpose"));
        });
        let ran = catch_unwind(AssertUnwindSafe(|| el.tick(Some(Duration::ZERO))));
        assert!(ran.is_err());
        clock.advance(150 * MS);
        el.tick(Some(Duration::ZERO)).unwrap();
        let metrics = el.metrics();
        assert_eq!((metrics.busy(), metrics.idle()), (5 * MS, Duration::ZERO));
    });
}

/// The time of a prepare hook, which runs before the selector is called, is busy.
#[test]
fn n3_hooks_are_busy_time() {
    on_every_selector(|kind| {
        let (mut el, clock) = measuring(kind);
        el.on_prepare(move |_, ()| clock.advance(2 * MS)).unwrap();
        el.call_later(10 * MS, |_, ()| {});
        el.tick(None).unwrap();
        let metrics = el.metrics();
        assert_eq!((metrics.busy(), metrics.idle()), (2 * MS, 8 * MS));
    });
}

#[test]
fn n3_timers_of_other_clocks_are_counted_and_late() {
    on_every_selector(|kind| {
        let (mut el, clock) = measuring(kind);
        el.call_later_in_boot_time(5 * MS, |_, ()| {}).unwrap();
        el.call_at_wall_time(el.wall_time() + 10 * MS, |_, ()| {}).unwrap();
        el.call_soon(move |_, ()| clock.advance(50 * MS));
        el.run().unwrap();
        let lateness = el.metrics().lateness();
        assert_eq!((lateness.max(), el.metrics().timers_run()), (45 * MS, 2));
    });
}

#[test]
fn n1_histograms_are_visited_in_seconds() {
    let (mut el, clock) = measuring(SelectorKind::available()[0]);
    for time in [2, 8, 0] {
        let clock = clock.clone();
        el.call_soon(move |_, ()| clock.advance(time * MS));
    }
    el.run().unwrap();
    let mut found = Vec::new();
    el.metrics().visit(|name, value| {
        if let Some(name) = name.strip_prefix("call_durations_seconds_") {
            found.push((name.to_owned(), value));
        }
    });
    let expected = [("count", 3.0), ("sum", 0.010), ("max", 0.008)];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
}
