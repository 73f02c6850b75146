//! Timers that follow steps of the wall clock (docs/contract.md, T7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainspring::{Clock, sleep_until_wall_time};

use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Every hundred seconds.
fn next(now: SystemTime) -> Option<SystemTime> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    Some(at((seconds / 100 + 1) * 100))
}

#[test]
fn t7_a_timer_runs_at_its_time_of_day_and_not_before() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, None);
        clock.set_wall_time(at(1000));
        let seen = clock.clone();
        let callback = move |_: &_, time: &mut Option<_>| *time = Some(seen.wall_time());
        el.call_at_wall_time(at(1010) + Duration::from_nanos(1), callback).unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), Some(at(1010) + Duration::from_nanos(1)));
        assert_eq!(clock.elapsed(), 10 * SECOND + Duration::from_nanos(1));
        // A time that has passed: the next tick.
        el.call_at_wall_time(at(5), |_, time: &mut Option<_>| *time = None).unwrap();
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), (None, 10 * SECOND + Duration::from_nanos(1)));
    });
}

#[test]
fn t7_a_timer_follows_steps_in_both_directions() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        clock.set_wall_time(at(1000));
        let timer = el.call_at_wall_time(at(2000), |_, calls: &mut i32| *calls += 1).unwrap();
        clock.advance(999 * SECOND);
        clock.set_wall_time(at(1500)); // One second before, the clock goes back.
        el.run_until_stalled().unwrap();
        clock.advance(499 * SECOND);
        el.run_until_stalled().unwrap();
        assert_eq!(*el.state(), 0);
        clock.set_wall_time(at(2500));
        clock.advance(SECOND);
        el.run_until_stalled().unwrap();
        assert_eq!(*el.state(), 1);
        assert!(!el.cancel(timer));
        let cancelled = el.call_at_wall_time(at(9000), |_, calls: &mut i32| *calls += 1).unwrap();
        assert!(el.cancel(cancelled));
        el.run().unwrap();
        assert_eq!(*el.state(), 1);
    });
}

#[test]
fn t7_a_schedule_runs_once_for_a_step_over_several_times() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        clock.set_wall_time(at(1050));
        let seen = clock.clone();
        el.call_on_wall_schedule(next, move |el, times: &mut Vec<_>| {
            times.push(seen.wall_time());
            match times.len() {
                2 => seen.set_wall_time(at(1950)), // Over 1300 to 1900.
                4 => seen.set_wall_time(at(1250)), // Back.
                5 => el.stop(),
                _ => {}
            }
        })
        .unwrap();
        el.run().unwrap();
        // After the step, the deadline 1300 is over: seen one second later at the latest.
        assert_eq!(*el.state(), [at(1100), at(1200), at(1951), at(2000), at(1300)]);
    });
}

#[test]
fn t7_a_schedule_ends_with_none() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        clock.set_wall_time(at(1050));
        let until = |now| next(now).filter(|time| *time <= at(1300));
        el.call_on_wall_schedule(until, |_, calls: &mut i32| *calls += 1).unwrap();
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), (3, 250 * SECOND));
    });
}

#[test]
fn t7_a_task_sleeps_until_a_time_of_day() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        clock.set_wall_time(at(1000));
        let stepped = clock.clone();
        el.call_later(10 * SECOND, move |_, ()| stepped.set_wall_time(at(1950)));
        el.run_until_complete(sleep_until_wall_time(at(2000))).unwrap();
        assert_eq!(clock.wall_time(), at(2000));
        assert_eq!(clock.elapsed(), 60 * SECOND);
        el.run_until_complete(sleep_until_wall_time(at(1))).unwrap();
        assert_eq!(clock.elapsed(), 60 * SECOND);
    });
}
