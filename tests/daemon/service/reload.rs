//! Reloads (docs/contract.md, L7).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, PanicPolicy, Signal, promise};

use super::manager::managed;

const PREFIX: &str = "service::reload::";
const RELOADING: &str = "RELOADING=1\nMONOTONIC_USEC=..";

/// A loop that keeps the texts of its reports.
fn reporting() -> EventLoop<Vec<String>> {
    let builder = EventLoop::builder().clock(SimClock::new());
    let el = builder.build_with(Vec::new()).unwrap();
    el.set_exception_handler(|_, log: &mut Vec<String>, report| log.push(report.error.chain()));
    el
}

#[test]
fn l7_the_manager_is_notified_of_the_beginning_and_the_end() {
    let name = &format!("{PREFIX}l7_the_manager_is_notified_of_the_beginning_and_the_end");
    managed(name, &[], |service, manager| {
        let manager = Rc::new(manager);
        let mut el = reporting();
        let inner = manager.clone();
        service.on_reload(&el, Signal::HUP, move |_, log| log.extend(inner.messages())).unwrap();
        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert_eq!(el.state().len(), 0, "before the service is ready");
        service.ready().unwrap();
        service.status("fine").unwrap();
        for _ in 0..2 {
            manager.messages();
            el.state_mut().clear();
            Signal::HUP.raise().unwrap();
            el.run_until_stalled().unwrap();
            assert_eq!(*el.state(), [RELOADING]);
            assert_eq!(manager.messages(), ["READY=1\nSTATUS=fine"]);
        }
        service.stopping().unwrap();
        manager.messages();
        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert!(manager.messages().is_empty());
    });
}

#[test]
fn l7_a_failed_reload_is_a_status_and_a_report() {
    let name = &format!("{PREFIX}l7_a_failed_reload_is_a_status_and_a_report");
    managed(name, &[], |service, manager| {
        let mut el = reporting();
        let mut results = vec![Ok(()), Err(Error::other("line 3:\nREADY=0"))];
        service.on_reload(&el, Signal::HUP, move |_, _| results.pop().unwrap()).unwrap();
        service.ready().unwrap();
        service.status("fine").unwrap();
        manager.messages();
        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        let status = "READY=1\nSTATUS=the reload failed: line 3:\\nREADY=0";
        assert_eq!(manager.messages(), [RELOADING, status]);
        assert_eq!(*el.state(), ["line 3:\\nREADY=0"]);
        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert_eq!(manager.messages(), [RELOADING, "READY=1\nSTATUS=fine"]);
        assert_eq!(el.state().len(), 1);
    });
}

#[test]
fn l7_a_panic_ends_the_reload() {
    let name = &format!("{PREFIX}l7_a_panic_ends_the_reload");
    managed(name, &[], |service, manager| {
        let mut el = reporting();
        el.set_panic_policy(PanicPolicy::Report);
        service.on_reload(&el, Signal::HUP, |_, _| panic!("half-changed")).unwrap();
        service.ready().unwrap();
        manager.messages();
        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        let status = "READY=1\nSTATUS=the reload failed: it panicked or was cancelled";
        assert_eq!(manager.messages(), [RELOADING, status]);
        assert_eq!(*el.state(), ["panicked: half-changed"]);
    });
}

#[test]
fn l7_a_reload_may_be_a_task() {
    let name = &format!("{PREFIX}l7_a_reload_may_be_a_task");
    managed(name, &[], |service, manager| {
        let mut el = reporting();
        let open = Rc::new(RefCell::new(Vec::new()));
        let promises = open.clone();
        let reload = move |_: &_, _: &mut _| {
            let (promise, promised) = promise::<mainspring::Result<()>>();
            promises.borrow_mut().push(promise);
            async move { promised.await.unwrap_or(Err(Error::Abandoned)) }
        };
        service.on_reload_task(&el, Signal::HUP, reload).unwrap();
        service.ready().unwrap();
        manager.messages();
        let next = || open.borrow_mut().pop().unwrap();

        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert_eq!(manager.messages(), [RELOADING]);
        for _ in 0..3 {
            Signal::HUP.raise().unwrap();
            el.run_until_stalled().unwrap();
        }
        assert!(manager.messages().is_empty(), "one at a time");
        next().set_result(Err(Error::other("no such file")));
        el.run_until_stalled().unwrap();
        let status = "READY=1\nSTATUS=the reload failed: no such file";
        assert_eq!(manager.messages(), [status, RELOADING]);
        assert_eq!(*el.state(), ["no such file"]);
        next().set_result(Ok(()));
        el.run_until_stalled().unwrap();
        assert_eq!(manager.messages(), ["READY=1\nSTATUS="]);
        assert!(open.borrow().is_empty());

        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert_eq!(manager.messages(), [RELOADING]);
        el.close(); // Cancels the task.
        let status = "READY=1\nSTATUS=the reload failed: it panicked or was cancelled";
        assert_eq!(manager.messages(), [status]);
    });
}

#[test]
fn l7_the_end_is_sent_again_after_a_full_queue() {
    let name = &format!("{PREFIX}l7_the_end_is_sent_again_after_a_full_queue");
    managed(name, &[], |service, manager| {
        let clock = SimClock::new();
        let mut el = EventLoop::builder().clock(clock.clone()).build_with(0).unwrap();
        let full = service.clone();
        service
            .on_reload(&el, Signal::HUP, move |_, _| while full.ping_watchdog().is_ok() {})
            .unwrap();
        service.ready().unwrap();
        Signal::HUP.raise().unwrap();
        el.run_until_stalled().unwrap();
        assert!(!manager.messages().contains(&"READY=1\nSTATUS=".to_owned()));
        clock.advance(Duration::from_secs(1));
        el.run_until_stalled().unwrap();
        assert_eq!(manager.messages(), ["READY=1\nSTATUS="]);
    });
}
