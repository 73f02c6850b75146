//! Timers: deadlines, order, and intervals (docs/contract.md, T1 to T5).

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainspring::{Error, EventLoop, TimerHandle};

use crate::support::{on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);
const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn t1_no_timer_runs_a_nanosecond_early() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let start = el.now();
        el.call_later(SECOND, |_, ran| ran.push("later"));
        el.call_at(start + SECOND, |_, ran| ran.push("at"));
        el.call_every(SECOND, |_, ran| ran.push("every")).unwrap();
        let timer = el.add_timer(|_, ran| ran.push("timer")).unwrap();
        assert!(el.reset_at(timer, start + SECOND));
        clock.advance(SECOND - NANO);
        assert_eq!(el.tick(NOW).unwrap(), 0);
        assert_eq!(el.next_deadline(), Some(start + SECOND));
        clock.advance(NANO);
        assert_eq!(el.tick(NOW).unwrap(), 4);
        assert_eq!(*el.state(), ["later", "at", "every", "timer"]);
    });
}

#[test]
fn t1_no_timer_runs_early_on_the_real_clock() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
        for micros in [1, 499, 500, 501, 999, 1_000, 1_001, 2_500] {
            let delay = Duration::from_micros(micros);
            let due = Instant::now() + delay;
            el.call_later(delay, move |_, ran| {
                assert!(Instant::now() >= due);
                *ran += 1;
            });
        }
        el.run().unwrap();
        assert_eq!(*el.state(), 8);
    });
}

#[test]
fn t1_a_delay_counts_from_the_call() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let busy = clock.clone();
        el.call_soon(move |el, _| {
            busy.advance(5 * SECOND); // The callback takes five seconds.
            let (first, second) = (busy.clone(), busy.clone());
            el.call_later(SECOND, move |el, at: &mut Vec<_>| {
                at.push(first.elapsed());
                first.advance(SECOND);
                el.call_later(SECOND, move |_, at| at.push(second.elapsed()));
            });
        });
        el.run().unwrap();
        assert_eq!(*el.state(), [6 * SECOND, 8 * SECOND]);
        assert_eq!(clock.elapsed(), 8 * SECOND);
    });
}

#[test]
fn t2_equal_deadlines_run_in_order_of_registration() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let due = el.now() + SECOND;
        let timers: Vec<TimerHandle> =
            (0..1000).map(|i| el.call_at(due, move |_, ran: &mut Vec<_>| ran.push(i))).collect();
        for timer in timers.iter().step_by(10) {
            assert!(el.cancel(*timer));
        }
        // Re-arming counts as registration: to the same deadline too, and after another deadline.
        assert!(el.reset_at(timers[1], due));
        assert!(el.reset_at(timers[2], due + SECOND) && el.reset_at(timers[2], due));
        assert!(el.disarm(timers[3]) && el.reset_at(timers[3], due));
        el.run().unwrap();
        let rest = (4..1000).filter(|i| i % 10 != 0);
        assert_eq!(*el.state(), rest.chain([1, 2, 3]).collect::<Vec<_>>());
    });
}

#[test]
fn t3_zero_delays_and_past_deadlines_run_in_the_next_tick_once() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let past = el.now();
        clock.advance(SECOND);
        el.call_soon(move |el, _| {
            el.call_later(Duration::ZERO, |_, ran: &mut Vec<_>| ran.push("zero"));
            el.call_at(past, |_, ran| ran.push("past"));
            el.call_at(past - SECOND, |_, ran| ran.push("before the loop"));
        });
        assert_eq!(el.tick(None).unwrap(), 1);
        assert!(el.state().is_empty());
        assert_eq!(el.tick(None).unwrap(), 3);
        assert_eq!(*el.state(), ["past", "before the loop", "zero"]);
        assert!(!el.is_alive());
        assert_eq!(clock.elapsed(), SECOND);
    });
}

#[test]
fn t3_a_timer_added_by_a_timer_runs_in_the_next_tick() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        for _ in 0..10 {
            el.call_later(Duration::ZERO, |el, ran| {
                *ran += 1;
                el.call_later(Duration::ZERO, |_, ran| *ran += 100);
            });
        }
        assert_eq!(el.tick(None).unwrap(), 10);
        assert_eq!(*el.state(), 10);
        assert_eq!(el.tick(None).unwrap(), 10);
        assert_eq!((*el.state(), el.is_alive()), (1010, false));
    });
}

#[test]
fn t3_a_timer_moved_within_its_batch_does_not_run_in_it() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let moved = Rc::new(Cell::new(None::<TimerHandle>));
        let target = moved.clone();
        el.call_later(SECOND, move |el, _| assert!(el.reset_after(target.get().unwrap(), SECOND)));
        let time = clock.clone();
        let timer = el.call_later(SECOND, move |_, ran: &mut Vec<_>| ran.push(time.elapsed()));
        moved.set(Some(timer));
        el.run().unwrap();
        assert_eq!(*el.state(), [2 * SECOND]);
    });
}

#[test]
fn t4_deadlines_beyond_the_clock_are_accepted_and_never_run() {
    on_every_selector(|kind| {
        let (selector, calls) = crate::support::selector::counted(kind);
        let clock = mainspring::testing::SimClock::new();
        let builder = EventLoop::builder().selector(selector).clock(clock.clone());
        let mut el = builder.build_with(0).unwrap();
        let soon_over = el.call_later(Duration::MAX, |_, ran| *ran += 1_000);
        let too_far = el.call_later(Duration::from_secs(u64::MAX), |_, ran| *ran += 1_000);
        let far = el.now().checked_add(Duration::from_secs(1 << 40));
        let far_away = far.map(|far| el.call_at(far, |_, ran| *ran += 1_000));
        let every = el.call_every(Duration::MAX, |_, ran| *ran += 1_000).unwrap();
        let timer = el.add_timer(|_, ran| *ran += 1_000).unwrap();
        assert!(el.reset_after(timer, Duration::MAX));
        // They are timers like any other: `run` continues until they are cancelled.
        assert_eq!((el.next_deadline(), el.is_alive()), (None, true));
        el.call_later(SECOND, |_, ran| *ran += 1);
        el.tick(None).unwrap();
        // A simulated clock does not sleep; the only wait was for the only deadline.
        assert_eq!((calls.selects.get(), clock.elapsed(), *el.state()), (1, SECOND, 1));
        assert!(el.cancel(soon_over) && !el.cancel(soon_over));
        assert!(el.is_alive());
        assert!(el.set_background(too_far) && el.cancel(every) && el.disarm(timer));
        assert!(far_away.is_none_or(|far_away| el.set_background(far_away)));
        el.run().unwrap();
        assert_eq!(*el.state(), 1);
    });
}

#[test]
fn t4_a_loop_without_a_deadline_waits_without_a_limit() {
    on_every_selector(|kind| {
        let (selector, calls) = crate::support::selector::counted(kind);
        let mut el = EventLoop::builder().selector(selector).build().unwrap();
        el.call_later(Duration::MAX, |_, ()| {});
        let remote = el.remote();
        let waker = std::thread::spawn(move || remote.stop().unwrap());
        el.run_forever().unwrap();
        waker.join().unwrap();
        assert_eq!(calls.timeout.get(), None);
        assert!(calls.selects.get() <= 2, "{} waits", calls.selects.get());
    });
}

#[test]
fn t5_an_interval_stays_on_its_grid() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let time = clock.clone();
        el.call_every(SECOND, move |el, seen: &mut Vec<_>| {
            let at = time.elapsed();
            seen.push((at.as_millis(), el.missed_ticks()));
            // Busy for less than a period, then for several periods, then for exactly two.
            match seen.len() {
                1 => time.advance(Duration::from_millis(300)),
                2 => time.advance(Duration::from_millis(3_500)),
                3 => time.advance(2 * SECOND),
                4 => el.stop(),
                _ => unreachable!("the loop was stopped"),
            }
        })
        .unwrap();
        el.run().unwrap();
        // At 5,500 ms the ticks 3, 4 and 5 are past. Then two more ticks are due, and one of them
        // is missed.
        assert_eq!(*el.state(), [(1000, 0), (2000, 0), (5500, 2), (7500, 1)]);
        assert_eq!(el.next_deadline(), Some(el.now() + Duration::from_millis(500)));
        assert_eq!(el.missed_ticks(), 0);
    });
}

#[test]
fn t5_a_busy_loop_gets_one_tick_and_no_burst() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let milli = Duration::from_millis(1);
        el.call_every(milli, |el, seen: &mut Vec<_>| seen.push(el.missed_ticks())).unwrap();
        el.call_soon(move |_, _| clock.advance(50 * milli));
        for _ in 0..3 {
            el.tick(None).unwrap();
        }
        assert_eq!(*el.state(), [49, 0]);
    });
}

#[test]
fn t5_a_period_of_zero_is_an_error() {
    let el = EventLoop::new().unwrap();
    assert!(matches!(el.call_every(Duration::ZERO, |_, ()| {}), Err(Error::ZeroInterval)));
    assert!(el.next_deadline().is_none());
}

#[test]
fn t5_an_interval_that_ends_itself_or_fails_is_over() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, (0, 0));
        el.set_exception_handler(|_, (_, reports), report| {
            assert_eq!(report.error.to_string(), "enough");
            *reports += 1;
        });
        el.call_every(SECOND, |_, (ran, _)| {
            *ran += 1;
            if *ran == 3 { Err(Error::other("enough")) } else { Ok(()) }
        })
        .unwrap();
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), ((3, 1), 3 * SECOND));
    });
}
