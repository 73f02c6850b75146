//! Timers that count the time of suspends (docs/contract.md, T8).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use mainspring::snapshot::{EntryKind, Wait};
use mainspring::{Clock, sleep, sleep_in_boot_time, sleep_until_boot_time, sleep_until_wall_time};

use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn t8_a_suspend_counts_for_boot_time_and_not_for_other_timers() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let log = |text: &'static str| move |_: &_, seen: &mut Vec<_>| seen.push(text);
        el.call_later(10 * MINUTE, log("uptime"));
        el.call_later_in_boot_time(60 * MINUTE, log("boot time")).unwrap();
        el.call_at_boot_time(clock.boot_time() + 61 * MINUTE, log("deadline")).unwrap();
        el.call_at_wall_time(clock.wall_time() + 62 * MINUTE, log("wall")).unwrap();
        el.call_every(4 * MINUTE, |el, _| el.stop()).unwrap();
        el.run_forever().unwrap();
        clock.suspend(56 * MINUTE - Duration::from_nanos(1));
        assert_eq!(clock.elapsed(), 4 * MINUTE);
        el.run_until_stalled().unwrap();
        assert!(el.state().is_empty(), "not a nanosecond early");
        clock.advance(Duration::from_nanos(1));
        el.run_until_stalled().unwrap();
        assert_eq!(*el.state(), ["boot time"]);
        el.run_forever().unwrap(); // The eighth minute of uptime.
        assert_eq!(*el.state(), ["boot time", "deadline", "wall"]);
        el.run_forever().unwrap();
        assert_eq!(*el.state(), ["boot time", "deadline", "wall", "uptime"]);
    });
}

#[test]
fn t8_a_suspend_wakes_a_loop_that_sleeps_longer() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let suspended = clock.clone();
        el.call_later(MINUTE, move |_, ()| suspended.suspend(58 * MINUTE));
        el.run_until_complete(sleep_in_boot_time(60 * MINUTE)).unwrap();
        assert_eq!(clock.elapsed(), 2 * MINUTE);
        el.run_until_complete(sleep_until_boot_time(clock.boot_time() + MINUTE)).unwrap();
        assert_eq!(clock.elapsed(), 3 * MINUTE);
        el.run_until_complete(sleep_until_boot_time(MINUTE)).unwrap();
        let suspended = clock.clone();
        el.call_later(MINUTE, move |_, ()| suspended.suspend(60 * MINUTE));
        el.run_until_complete(sleep(5 * MINUTE)).unwrap();
        assert_eq!(clock.elapsed(), 8 * MINUTE);
    });
}

#[test]
fn t8_steps_of_the_wall_clock_do_not_count() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        el.call_later_in_boot_time(10 * MINUTE, |_, calls| *calls += 1).unwrap();
        clock.set_wall_time(clock.wall_time() + 60 * MINUTE);
        el.run_until_stalled().unwrap();
        assert_eq!(*el.state(), 0);
        clock.set_wall_time(clock.wall_time() - 120 * MINUTE);
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), (1, 10 * MINUTE));
    });
}

#[test]
fn t8_a_timer_can_be_cancelled_and_keeps_the_loop_running() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        let timer = el.call_later_in_boot_time(MINUTE, |_, calls: &mut i32| *calls += 1).unwrap();
        assert!(el.is_alive() && el.keeps_running(timer));
        assert!(el.cancel(timer) && !el.cancel(timer) && !el.is_alive());
        let background = el.call_later_in_boot_time(MINUTE, |_, calls| *calls += 1).unwrap();
        assert!(el.set_background(background));
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), (0, Duration::ZERO));
        el.call_later_in_boot_time(Duration::MAX, |_, calls| *calls += 1).unwrap();
        clock.suspend(60 * MINUTE); // The timer in the background is due.
        el.run_until_stalled().unwrap();
        assert_eq!(*el.state(), 1, "the other one never comes");
        // A cancelled task takes its timer with it.
        let sleeping = el.spawn(sleep_in_boot_time(MINUTE));
        tick(&mut el);
        sleeping.cancel("enough");
        tick(&mut el);
        assert_eq!(el.next_deadline(), None);
    });
}

#[test]
fn t8_a_closed_loop_refuses_the_timers() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        el.call_later_in_boot_time(MINUTE, |_, ()| {}).unwrap();
        el.spawn(sleep_in_boot_time(MINUTE)).detach();
        tick(&mut el);
        el.close();
        assert!(el.call_later_in_boot_time(MINUTE, |_, ()| {}).is_err());
        assert!(el.call_at_boot_time(MINUTE, |_, ()| {}).is_err());
        clock.suspend(MINUTE); // No loop is notified.
    });
}

#[test]
fn t8_t7_a_snapshot_shows_the_time_left_by_their_clocks() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let boot = el.call_later_in_boot_time(10 * MINUTE, |_, ()| {}).unwrap();
        let evening = clock.wall_time() + 20 * MINUTE;
        let wall = el.call_at_wall_time(evening, |_, ()| {}).unwrap();
        let task = el.spawn(sleep_in_boot_time(30 * MINUTE));
        tick(&mut el);
        clock.suspend(4 * MINUTE);
        let snapshot = el.snapshot();
        let left = |handle| {
            let entry = snapshot.get(handle).unwrap();
            assert_eq!((entry.kind(), entry.keeps_alive()), (EntryKind::Timer, true));
            entry.due_in()
        };
        assert_eq!((left(boot), left(wall)), (Some(6 * MINUTE), Some(16 * MINUTE)));
        let task = snapshot.get(task.handle()).unwrap();
        assert_eq!(task.waits(), [Wait::Time(Some(26 * MINUTE))]);
    });
}

/// A sleep that one task began wakes the task that polls it last.
#[test]
fn t8_t7_a_sleep_may_move_to_another_task() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        let evening = clock.wall_time() + MINUTE;
        let sleeps: [Pin<Box<dyn Future<Output = ()>>>; 2] =
            [Box::pin(sleep_in_boot_time(MINUTE)), Box::pin(sleep_until_wall_time(evening))];
        for mut sleep in sleeps {
            let begun = el.spawn(async move {
                poll_fn(|cx| {
                    assert!(sleep.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                Some(sleep)
            });
            let ended = el.spawn(async move { begun.await.unwrap().unwrap().await });
            el.run_until_stalled().unwrap();
            clock.advance(MINUTE);
            el.run_until_stalled().unwrap();
            assert!(ended.is_finished());
        }
    });
}
