//! Long callbacks and slow clocks (docs/contract.md, E7).

use std::fs;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, FlagKind, Recorder};

use super::{is_only, kinds};
use crate::support::{on_every_selector, simulated, simulated_builder};

const MS: Duration = Duration::from_millis(1);

/// Runs callbacks of one place that take this long, and timers of 20 µs that are due meanwhile.
/// Returns the place's line.
fn run(el: &mut EventLoop, clock: &SimClock, time: Duration, times: usize) -> u32 {
    for _ in 0..300 {
        let clock = clock.clone();
        el.call_later(MS, move |_, ()| clock.advance(Duration::from_micros(20)));
    }
    let line = line!() + 3;
    for _ in 0..times {
        let clock = clock.clone();
        el.call_soon(move |_, ()| clock.advance(time));
    }
    el.run().unwrap();
    line
}

#[test]
fn e7_repeated_long_callbacks_are_found_by_this_loop_s_own_times() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
        let line = run(&mut el, &clock, 2 * MS, 3);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::LongCallback, file!(), line), "{diagnosis}");
        assert!(!diagnosis.is_healthy());
        let figures = diagnosis.flags()[0].figures();
        assert_eq!(figures, "ran 2.0ms, 3 of 3 turns long, 99 % of the others 20.0µs or less");
    });
}

#[test]
fn e7_a_single_very_long_callback_is_found() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
        let line = run(&mut el, &clock, 100 * MS, 1);
        assert!(is_only(&el.diagnose(), FlagKind::LongCallback, file!(), line));
    });
}

#[test]
fn e7_near_misses_of_long_callbacks_are_not_flagged() {
    on_every_selector(|kind| {
        // A single one that the system may have interrupted; repeated ones of less than ten times;
        // and long ones in a loop in which all are long.
        for (time, times) in [(99 * MS, 2), (Duration::from_micros(190), 50)] {
            let (builder, clock) = simulated_builder(kind);
            let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
            run(&mut el, &clock, time, times);
            assert_eq!(kinds(&el.diagnose()), [], "{time:?}");
        }
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
        let advance = clock.clone();
        for _ in 0..300 {
            let clock = advance.clone();
            el.call_soon(move |_, ()| clock.advance(2 * MS));
        }
        run(&mut el, &clock, 5 * MS, 50);
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

/// Runs pieces of 2 ms, one every 10 ms, and a heartbeat of no length, this long after a piece has
/// begun. Returns the line of the pieces.
fn run_pieces(el: &mut EventLoop, clock: &SimClock, after: Duration) -> u32 {
    let (clock, line) = (clock.clone(), line!() + 1);
    el.call_every(10 * MS, move |_, ()| clock.advance(2 * MS)).unwrap();
    el.call_later(after, |el, ()| {
        el.call_every(10 * MS, |_, ()| {}).unwrap();
    });
    el.call_later(1000 * MS, |el, ()| el.stop());
    el.run().unwrap();
    line
}

#[test]
fn e7_pieces_for_which_no_callback_waits_are_not_flagged() {
    on_every_selector(|kind| {
        for after in [MS * 3 / 2, 2 * MS, 5 * MS] {
            let (builder, clock) = simulated_builder(kind);
            let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
            run_pieces(&mut el, &clock, after);
            assert_eq!(kinds(&el.diagnose()), [], "{after:?}");
        }
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
        let line = run_pieces(&mut el, &clock, MS);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::LongCallback, file!(), line), "{diagnosis}");
    });
}

#[test]
fn e7_long_callbacks_of_long_ago_are_not_flagged() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(20_000)).build().unwrap();
        let line = run(&mut el, &clock, 2 * MS, 3);
        let more = |el: &mut EventLoop, count| {
            for _ in 0..count {
                el.call_soon(|_, ()| {});
            }
            el.run().unwrap();
        };
        more(&mut el, 16_000);
        assert!(is_only(&el.diagnose(), FlagKind::LongCallback, file!(), line));
        run(&mut el, &clock, 2 * MS, 3);
        more(&mut el, 16_400);
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

#[test]
fn e7_a_long_callback_is_flagged_once() {
    on_every_selector(|kind| {
        for is_recorded in [true, false] {
            let (builder, clock) = simulated_builder(kind);
            let builder = match is_recorded {
                true => builder.record(Recorder::ring(20_000)),
                false => builder.measure(true),
            };
            let mut el = builder.build().unwrap();
            for time in [100 * MS, 200 * MS, 150 * MS] {
                run(&mut el, &clock, time, 1);
                assert_eq!(kinds(&el.diagnose()), [FlagKind::LongCallback], "{time:?}");
                assert_eq!(kinds(&el.diagnose()), []);
            }
        }
    });
}

/// The turn that calls `diagnose` has not ended, so the next call examines it.
#[test]
fn e7_a_long_callback_that_diagnoses_is_flagged_by_the_next_call() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(100)).build().unwrap();
        let line = line!() + 1;
        el.call_soon(move |el, ()| {
            assert_eq!(kinds(&el.diagnose()), []);
            clock.advance(100 * MS);
        });
        el.run().unwrap();
        assert!(is_only(&el.diagnose(), FlagKind::LongCallback, file!(), line));
    });
}

#[test]
fn e7_measured_times_find_a_long_callback_without_its_place() {
    on_every_selector(|kind| {
        for (time, expected) in [(100 * MS, vec![FlagKind::LongCallback]), (99 * MS, vec![])] {
            let (builder, clock) = simulated_builder(kind);
            let mut el = builder.measure(true).build().unwrap();
            run(&mut el, &clock, time, 1);
            let diagnosis = el.diagnose();
            assert_eq!(kinds(&diagnosis), expected);
            assert!(diagnosis.flags().iter().all(|flag| flag.place().is_none()));
        }
    });
}

#[test]
fn e7_checks_that_were_not_possible_are_listed() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let diagnosis = el.diagnose();
        let unchecked = diagnosis.unchecked();
        assert!(unchecked.iter().any(|it| it.starts_with("long callbacks: ")), "{diagnosis}");
        assert!(unchecked.iter().any(|it| it.starts_with("busy loops ")), "{diagnosis}");
        let text = diagnosis.to_string();
        assert!(text.starts_with("no red flags\nnot checked: long callbacks: "), "{text}");
    });
}

/// A clock with system calls for each reading: several, because a tracer makes all calls alike.
#[derive(Debug)]
struct Slow(SimClock);

impl Clock for Slow {
    fn now(&self) -> Instant {
        (0..4).for_each(|_| _ = fs::metadata("/"));
        self.0.now()
    }
}

#[test]
fn e7_a_clock_that_makes_system_calls_is_found() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind).clock(Slow(SimClock::new()));
        let diagnosis = builder.build().unwrap().diagnose();
        assert_eq!(kinds(&diagnosis), [FlagKind::SlowClock]);
        let (el, _clock) = simulated(kind, ());
        assert_eq!(kinds(&el.diagnose()), [], "a simulated clock makes none");
    });
}
