//! The end of a service (docs/contract.md, L8).

use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Shutdown, ShutdownEnding, Signal, sleep};

use super::manager::managed;

const PREFIX: &str = "service::stop::";
const SIGNALS: [Signal; 2] = [Signal::TERM, Signal::INT];

#[test]
fn l8_stopping_is_sent_once_and_before_the_callback() {
    let name = &format!("{PREFIX}l8_stopping_is_sent_once_and_before_the_callback");
    managed(name, &[], |service, manager| {
        let mut el = EventLoop::with_state(Vec::new()).unwrap();
        let manager = Rc::new(manager);
        let inner = manager.clone();
        let callback = move |_: &_, log: &mut Vec<Vec<String>>| log.push(inner.messages());
        service.on_stop(&el, &SIGNALS, callback).unwrap();
        el.run().unwrap(); // The handlers do not keep it going.
        for signal in SIGNALS {
            signal.raise().unwrap();
            el.run_until_stalled().unwrap();
        }
        assert_eq!(*el.state(), [vec!["STOPPING=1".to_owned()], vec![]]);
        assert!(manager.messages().is_empty());
    });
}

#[test]
fn l8_a_signal_that_cannot_be_handled_leaves_no_handler_of_the_others() {
    let name =
        &format!("{PREFIX}l8_a_signal_that_cannot_be_handled_leaves_no_handler_of_the_others");
    managed(name, &[], |service, manager| {
        let mut el = EventLoop::with_state(0).unwrap();
        // Without a handler the first one is ignored.
        let signals = [Signal::WINCH, Signal::KILL];
        let added = service.on_stop(&el, &signals, |_, stops| *stops += 1);
        assert!(added.is_err());
        Signal::WINCH.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert_eq!((*el.state(), manager.messages().len()), (0, 0));
    });
}

#[test]
fn l8_the_first_signal_drains_and_the_second_ends() {
    let name = &format!("{PREFIX}l8_the_first_signal_drains_and_the_second_ends");
    managed(name, &[], |service, manager| {
        let clock = SimClock::new();
        let mut el = EventLoop::builder().clock(clock.clone()).build().unwrap();
        let shutdown = Shutdown::new();
        service.drain_on(&el, &SIGNALS, &shutdown, Duration::from_secs(10)).unwrap();
        el.spawn(shutdown.track(sleep(Duration::from_secs(60)))).detach();
        el.call_later(Duration::from_secs(1), |_, ()| Ok(Signal::TERM.raise()?));
        el.call_later(Duration::from_secs(3), |_, ()| Ok(Signal::INT.raise()?));
        let finish = shutdown.clone();
        let ending = el.run_until_complete(async move { finish.finish().await }).unwrap();
        assert_eq!(ending, ShutdownEnding::Cancelled(1));
        assert_eq!(clock.elapsed(), Duration::from_secs(3));
        assert_eq!(manager.messages(), ["STOPPING=1"]);
    });
}

#[test]
fn l8_a_shutdown_without_a_signal_is_announced() {
    let name = &format!("{PREFIX}l8_a_shutdown_without_a_signal_is_announced");
    managed(name, &[], |service, manager| {
        let mut el = EventLoop::new().unwrap();
        let shutdown = Shutdown::new();
        service.drain_on(&el, &SIGNALS, &shutdown, Duration::from_secs(10)).unwrap();
        el.run().unwrap(); // The task that waits does not keep it going.
        assert!(manager.messages().is_empty());
        shutdown.begin(Duration::ZERO);
        el.run_until_stalled().unwrap();
        assert_eq!(manager.messages(), ["STOPPING=1"]);
    });
}

#[test]
fn l8_a_full_queue_does_not_keep_a_service_from_stopping() {
    let name = &format!("{PREFIX}l8_a_full_queue_does_not_keep_a_service_from_stopping");
    managed(name, &[], |service, _manager| {
        let mut el = EventLoop::with_state(0).unwrap();
        el.set_exception_handler(|_, stops: &mut i32, _report| *stops += 10);
        while service.ping_watchdog().is_ok() {}
        service.on_stop(&el, &SIGNALS, |_, stops| *stops += 1).unwrap();
        for _ in 0..2 {
            Signal::TERM.raise().unwrap();
            el.run_until_stalled().unwrap();
        }
        assert_eq!(*el.state(), 22, "two stops, and two reports");
    });
}

/// The end of a reload is sent again while the queue is full, but not by a service that stops.
#[test]
fn l8_a_refused_end_of_a_reload_does_not_keep_run_going() {
    let name = &format!("{PREFIX}l8_a_refused_end_of_a_reload_does_not_keep_run_going");
    managed(name, &[], |service, manager| {
        let clock = SimClock::new();
        let mut el = EventLoop::builder().clock(clock.clone()).build_with(0).unwrap();
        el.set_exception_handler(|_, reports, _| *reports += 1);
        let full = service.clone();
        let fill = move |_: &_, _: &mut _| while full.ping_watchdog().is_ok() {};
        service.on_reload(&el, Signal::HUP, fill).unwrap();
        service.on_stop(&el, &SIGNALS, |_, _| {}).unwrap();
        service.ready().unwrap();
        for signal in [Signal::HUP, Signal::TERM] {
            signal.raise().unwrap();
            el.run_until_stalled().unwrap();
        }
        el.run().unwrap();
        assert_eq!((*el.state(), clock.elapsed()), (1, Duration::ZERO));
        manager.messages();
        clock.advance(Duration::from_secs(1));
        el.run_until_stalled().unwrap();
        assert!(manager.messages().is_empty());
    });
}
