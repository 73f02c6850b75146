//! Timers that follow steps of the wall clock (docs/contract.md, T7).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, LoopHandle, SelectorKind, sleep_until_wall_time};

use crate::support::selector::counted;
use crate::support::{loopback, on_every_selector, simulated};

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
        // After the step, the deadline 1300 is over.
        assert_eq!(*el.state(), [at(1100), at(1200), at(1950), at(2000), at(1300)]);
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

#[test]
fn t7_a_simulated_day_costs_a_wait_for_each_deadline() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let clock = SimClock::new();
        clock.set_wall_time(at(0));
        let builder = EventLoop::builder().selector(selector).clock(clock.clone());
        let mut el = builder.build_with(0).unwrap();
        let day = 24 * 3600 * SECOND;
        el.call_at_wall_time(at(0) + day, |el, _| el.stop()).unwrap();
        el.run_forever().unwrap();
        assert_eq!(clock.elapsed(), day);
        assert!(calls.selects.take() <= 3);
        let hourly = |now: SystemTime| {
            let hours = now.duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600;
            Some(at((hours + 1) * 3600))
        };
        el.call_on_wall_schedule(hourly, |el, hours| {
            *hours += 1;
            if *hours == 24 {
                el.stop();
            }
        })
        .unwrap();
        el.run_forever().unwrap();
        assert_eq!(clock.elapsed(), 2 * day);
        assert!(calls.selects.get() <= 2 * 24 + 3, "{} waits", calls.selects.get());
    });
}

/// A simulated clock that does not announce its jumps.
#[derive(Debug)]
struct Quiet(SimClock);

impl Clock for Quiet {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall_time(&self) -> SystemTime {
        self.0.wall_time()
    }

    fn boot_time(&self) -> Duration {
        self.0.boot_time()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        self.0.max_wait(wanted)
    }

    fn on_timeout(&self, wanted: Option<Duration>) {
        self.0.on_timeout(wanted);
    }
}

#[test]
fn t7_t8_a_clock_without_notices_is_compared_once_a_second() {
    on_every_selector(|kind| {
        let clock = SimClock::new();
        clock.set_wall_time(at(1000));
        let builder = EventLoop::builder().selector(loopback::selector(kind));
        let mut el = builder.clock(Quiet(clock.clone())).build_with(Vec::new()).unwrap();
        let seen = clock.clone();
        let log = move |text: &'static str| {
            let seen = seen.clone();
            move |_: &_, log: &mut Vec<_>| log.push((text, seen.elapsed()))
        };
        el.call_at_wall_time(at(5000), log("wall")).unwrap();
        el.call_later_in_boot_time(5000 * SECOND, log("boot")).unwrap();
        let once = |now| next(now).filter(|time| *time <= at(6100));
        el.call_on_wall_schedule(once, log("schedule")).unwrap();
        let (stepped, suspended) = (clock.clone(), clock.clone());
        let half = SECOND / 2;
        el.call_later(10 * SECOND + half, move |_, _| stepped.set_wall_time(at(6000)));
        el.call_later(20 * SECOND + half, move |_, _| suspended.suspend(5000 * SECOND));
        el.run().unwrap();
        // The schedule was due at 1100, before the other one.
        let times = [("schedule", 11), ("wall", 11), ("schedule", 21), ("boot", 21)];
        assert_eq!(*el.state(), times.map(|(text, seconds)| (text, seconds * SECOND)));
    });
}

/// `next` is called at the registration, in the next tick, after a call, and after a jump.
#[test]
fn t7_a_schedule_is_read_again_only_when_that_is_needed() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        clock.set_wall_time(at(1050));
        el.run_until_stalled().unwrap(); // A jump that no timer has seen.
        let reads = Rc::new(Cell::new(0));
        let counter = reads.clone();
        let counted = move |now| {
            counter.set(counter.get() + 1);
            next(now)
        };
        let other = el.call_at_wall_time(at(9000), |_, _| {}).unwrap();
        let schedule = el.call_on_wall_schedule(counted, |_, calls| *calls += 1).unwrap();
        assert_eq!(reads.get(), 1);
        el.run_until_stalled().unwrap();
        assert_eq!(reads.get(), 2);
        clock.advance(49 * SECOND);
        el.run_until_stalled().unwrap();
        assert_eq!((reads.get(), *el.state()), (2, 0));
        clock.advance(SECOND);
        el.run_until_stalled().unwrap();
        assert_eq!((reads.get(), *el.state()), (3, 1));
        clock.set_wall_time(at(550));
        el.run_until_stalled().unwrap();
        assert_eq!((reads.get(), *el.state()), (4, 1));
        clock.advance(50 * SECOND);
        el.run_until_stalled().unwrap();
        assert_eq!((reads.get(), *el.state()), (5, 2));
        assert!(el.cancel(schedule) && el.cancel(other));
        el.call_at_wall_time(at(9000), |_, _| {}).unwrap(); // Its table has room for one timer.
        clock.set_wall_time(at(5000));
        el.run().unwrap();
        assert_eq!((reads.get(), *el.state()), (5, 2));
    });
}

/// A schedule that does not move on is followed once a second, and does not spin.
#[test]
fn t7_a_schedule_that_stands_still_does_not_spin() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        clock.set_wall_time(at(1050));
        el.call_on_wall_schedule(
            |_| Some(at(1000)),
            |el, calls| {
                *calls += 1;
                if *calls == 10 {
                    el.stop();
                }
            },
        )
        .unwrap();
        el.run().unwrap();
        assert!(clock.elapsed() >= 8 * SECOND, "{:?}", clock.elapsed());
    });
}

/// The schedule is due, and is not called. Its timer is free, and another one gets the slot.
#[test]
fn t7_a_schedule_that_is_cancelled_while_it_is_read_moves_no_other_timer() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        clock.set_wall_time(at(1050));
        let schedule = Rc::new(Cell::new(None));
        let (own, handle) = (schedule.clone(), LoopHandle::clone(&el));
        let cancelling = move |now| {
            if let Some(own) = own.take() {
                assert!(handle.cancel(own));
                let other = |_: &_, log: &mut Vec<_>| log.push("other");
                handle.call_at_wall_time(at(1060), other).unwrap();
            }
            Some(now)
        };
        let added = el.call_on_wall_schedule(cancelling, |_, log| log.push("schedule")).unwrap();
        schedule.set(Some(added));
        el.run().unwrap();
        assert_eq!((&el.state()[..], clock.elapsed()), (&["other"][..], 10 * SECOND));
    });
}

/// A simulated clock that uses a loop, if it has one, whenever the time of day is read, and when a
/// later time is read.
#[derive(Debug)]
struct Busy {
    clock: SimClock,
    el: Rc<RefCell<Option<LoopHandle<i32>>>>,
    on_read: fn(&LoopHandle<i32>),
    latest: Cell<Option<Instant>>,
}

impl Busy {
    fn use_loop(&self) {
        let el = self.el.take(); // The callee reads the clock as well.
        el.iter().for_each(self.on_read);
        self.el.replace(el);
    }
}

impl Clock for Busy {
    fn now(&self) -> Instant {
        let now = self.clock.now();
        if self.latest.replace(Some(now)) < Some(now) {
            self.use_loop();
        }
        now
    }

    fn wall_time(&self) -> SystemTime {
        self.use_loop();
        self.clock.wall_time()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        self.clock.max_wait(wanted)
    }

    fn on_timeout(&self, wanted: Option<Duration>) {
        self.clock.on_timeout(wanted);
    }
}

/// A loop with a busy clock, the clock, and the place for the handle that the clock uses.
type BusyLoop = (EventLoop<i32>, SimClock, Rc<RefCell<Option<LoopHandle<i32>>>>);

fn busy(kind: SelectorKind, on_read: fn(&LoopHandle<i32>)) -> BusyLoop {
    let (clock, handle) = (SimClock::new(), Rc::default());
    clock.set_wall_time(at(1000));
    let busy =
        Busy { clock: clock.clone(), el: Rc::clone(&handle), on_read, latest: Cell::default() };
    let builder = EventLoop::builder().selector(loopback::selector(kind)).clock(busy);
    (builder.build_with(0).unwrap(), clock, handle)
}

#[test]
fn t7_a_clock_may_use_the_loop() {
    on_every_selector(|kind| {
        let (mut el, clock, handle) = busy(kind, |el| {
            let timer = el.call_at_wall_time(at(9000), |_, _| {}).unwrap();
            assert!(el.cancel(timer) && !el.snapshot().entries().is_empty());
            el.call_soon(|_, _| {});
        });
        el.call_at_wall_time(at(1003), |_, calls| *calls += 1).unwrap();
        handle.replace(Some(LoopHandle::clone(&el)));
        assert_eq!(el.snapshot().entries().len(), 2, "the timer, and a closure of the clock");
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), (1, 3 * SECOND));
        handle.take();
    });
}

/// The loop wakes for the earlier of two timers, which was added while the other was being added.
#[test]
fn t7_a_timer_that_a_clock_adds_is_not_late() {
    on_every_selector(|kind| {
        let (mut el, clock, handle) = busy(kind, |el| {
            let soon = at(1000) + Duration::from_millis(500);
            el.call_at_wall_time(soon, |el, _| el.stop()).unwrap();
        });
        handle.replace(Some(LoopHandle::clone(&el)));
        el.call_at_wall_time(at(1010), |_, _| {}).unwrap();
        handle.take();
        el.run_forever().unwrap();
        assert_eq!(clock.elapsed(), Duration::from_millis(500));
    });
}

/// The clock is set back, in a loop that adds and removes timers four times a second.
#[test]
fn t7_other_timers_do_not_delay_a_schedule() {
    on_every_selector(|kind| {
        let (mut el, clock, _) = busy(kind, |_| {});
        el.call_on_wall_schedule(next, |el, _| el.stop()).unwrap();
        el.call_every(SECOND / 4, |el, _| {
            let timer = el.call_at_wall_time(at(9000), |_, _| {}).unwrap();
            assert!(el.cancel(timer));
        })
        .unwrap();
        let stepped = clock.clone();
        el.call_later(10 * SECOND, move |_, _| stepped.set_wall_time(at(895)));
        el.call_later(60 * SECOND, |el, _| el.stop());
        el.run_forever().unwrap();
        assert_eq!(clock.elapsed(), 15 * SECOND);
    });
}
