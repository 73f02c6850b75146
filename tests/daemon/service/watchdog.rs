//! Pings to the watchdog, on simulated time (docs/contract.md, L6).

use std::time::Duration;

use mainspring::service::Service;
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop};

use super::manager::{Manager, managed};

const PREFIX: &str = "service::watchdog::";

/// The watchdog expects a ping every 8 seconds.
const VARIABLES: [(&str, &str); 1] = [("WATCHDOG_USEC", "8000000")];

const SECOND: Duration = Duration::from_secs(1);

fn simulated() -> (EventLoop, SimClock) {
    let clock = SimClock::new();
    (EventLoop::builder().clock(clock.clone()).build().unwrap(), clock)
}

/// Runs `check` with a loop that pings unless a turn takes more than two seconds. The first ping
/// has come.
#[track_caller]
fn kept_within_two_seconds(name: &str, check: impl Fn(EventLoop, SimClock, Manager)) {
    managed(&format!("{PREFIX}{name}"), &VARIABLES, |service, manager| {
        let (mut el, clock) = simulated();
        service.keep_watchdog_within(&el, 2 * SECOND).unwrap();
        el.run_until_stalled().unwrap();
        assert_eq!(pings(&manager), 1);
        check(el, clock, manager);
    });
}

/// Lets an idle loop run for this time, second by second, and returns the number of pings.
fn idle(el: &mut EventLoop, clock: &SimClock, manager: &Manager, seconds: u32) -> usize {
    for _ in 0..seconds {
        clock.advance(SECOND);
        el.run_until_stalled().unwrap();
    }
    pings(manager)
}

fn pings(manager: &Manager) -> usize {
    let messages = manager.messages();
    assert!(messages.iter().all(|message| message == "WATCHDOG=1"), "{messages:?}");
    messages.len()
}

/// Runs a callback that takes this time.
fn busy(el: &mut EventLoop, clock: &SimClock, time: Duration) {
    let clock = clock.clone();
    el.call_soon(move |_, ()| clock.advance(time));
    el.run_until_stalled().unwrap();
}

#[test]
fn l6_an_idle_loop_pings_at_half_of_the_time() {
    let name = &format!("{PREFIX}l6_an_idle_loop_pings_at_half_of_the_time");
    managed(name, &VARIABLES, |service, manager| {
        let (mut el, clock) = simulated();
        assert_eq!(service.watchdog_time(), Some(8 * SECOND));
        let timer = service.keep_watchdog(&el).unwrap().expect("a watchdog");
        el.run_until_stalled().unwrap();
        assert_eq!(pings(&manager), 1, "the first one comes at once");
        for _ in 0..10 {
            assert_eq!(idle(&mut el, &clock, &manager, 4), 1);
        }
        el.run().unwrap(); // The timer does not keep it going.
        el.cancel(timer);
        assert_eq!(idle(&mut el, &clock, &manager, 20), 0);
    });
}

#[test]
fn l6_a_long_turn_withholds_the_ping() {
    kept_within_two_seconds("l6_a_long_turn_withholds_the_ping", |mut el, clock, manager| {
        // Long turns, one after the other: a timer alone would ping between them.
        for _ in 0..20 {
            busy(&mut el, &clock, 3 * SECOND);
        }
        assert_eq!(pings(&manager), 0);
        // After a sample on time the pings continue.
        assert_eq!(idle(&mut el, &clock, &manager, 1), 1);
        assert_eq!(idle(&mut el, &clock, &manager, 8), 2);
    });
}

/// Pauses between long turns, shorter than the time between two samples, do not help.
#[test]
fn l6_short_pauses_between_long_turns_do_not_help() {
    kept_within_two_seconds(
        "l6_short_pauses_between_long_turns_do_not_help",
        |mut el, clock, manager| {
            for _ in 0..20 {
                busy(&mut el, &clock, 3 * SECOND);
                clock.advance(SECOND / 4);
                el.run_until_stalled().unwrap();
            }
            assert_eq!(pings(&manager), 0);
        },
    );
}

#[test]
fn l6_turns_below_the_limit_are_not_a_hang() {
    kept_within_two_seconds("l6_turns_below_the_limit_are_not_a_hang", |mut el, clock, manager| {
        for _ in 0..20 {
            pings(&manager);
            let before = clock.elapsed();
            while clock.elapsed() - before < 8 * SECOND {
                busy(&mut el, &clock, 2 * SECOND);
            }
            assert!(pings(&manager) >= 1);
        }
    });
}

#[test]
fn l6_a_ping_that_a_full_queue_refused_is_repeated() {
    let name = &format!("{PREFIX}l6_a_ping_that_a_full_queue_refused_is_repeated");
    managed(name, &VARIABLES, |service, manager| {
        let (mut el, clock) = simulated();
        while service.status("busy").is_ok() {}
        service.keep_watchdog(&el).unwrap();
        el.run_until_stalled().unwrap();
        assert!(manager.messages().iter().all(|message| message == "STATUS=busy"));
        assert_eq!(idle(&mut el, &clock, &manager, 1), 1);
    });
}

#[test]
fn l6_without_a_watchdog_there_is_no_timer() {
    let (el, _) = simulated();
    assert!(Service::default().keep_watchdog(&el).unwrap().is_none());
}

#[test]
fn l6_a_limit_of_zero_is_an_error() {
    let name = &format!("{PREFIX}l6_a_limit_of_zero_is_an_error");
    managed(name, &VARIABLES, |service, _| {
        let (mut el, _) = simulated();
        let refused = service.keep_watchdog_within(&el, Duration::ZERO);
        assert!(matches!(refused, Err(Error::ZeroInterval)));
        el.close();
        assert!(matches!(service.keep_watchdog(&el), Err(Error::Closed)));
    });
}
