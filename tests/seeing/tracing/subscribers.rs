//! Subscribers that use the loop, or panic (docs/contract.md, R12).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use mainspring::{
    EventLoop, PanicPolicy, ReportKind, SelectorKind, promise, sleep, spawn, yield_now,
};

use super::recorder::{Recorder, Wants, with_hook};
use crate::support::{on_every_selector, simulated, simulated_builder};

const SECOND: Duration = Duration::from_secs(1);
const METHODS: [&str; 6] = ["enter", "event", "exit", "new_span", "record", "try_close"];

/// Runs tasks that cause a call of each method.
fn use_each_method(el: &mut EventLoop<Vec<ReportKind>>) {
    let (promise, promised) = promise::<()>();
    let first = el.spawn(async move {
        yield_now().await;
        sleep(SECOND).await;
        promise.set_result(());
    });
    let handle = first.handle();
    let second = el.spawn(async move {
        promised.await.unwrap();
        first.await.unwrap();
        7
    });
    el.tick(Some(Duration::ZERO)).unwrap();
    assert!(el.set_name(handle, "first"));
    assert_eq!(el.run_until_complete(second).unwrap().unwrap(), 7);
    el.run().unwrap();
}

#[test]
fn r12_a_subscriber_may_spawn_and_wake_in_each_call() {
    on_every_selector(|kind| {
        let recorder = Recorder::new(Wants::Everything);
        let (mut el, _clock) = simulated(kind, Vec::new());
        let handle = el.handle().clone();
        let called = Rc::new(RefCell::new(BTreeSet::new()));
        let ran = Rc::new(Cell::new(0));
        let (methods, count) = (called.clone(), ran.clone());
        let hook = move |method| {
            methods.borrow_mut().insert(method);
            let count = count.clone();
            let task = handle.spawn(async move { count.set(count.get() + 1) });
            handle.call_soon(|_, _| {});
            task.detach();
            let (promise, promised) = promise();
            handle.spawn(promised).detach();
            promise.set_result(());
        };
        recorder.record(|| with_hook(hook, || use_each_method(&mut el)));
        assert_eq!(*called.borrow(), BTreeSet::from(METHODS));
        assert_eq!(recorder.spans().len(), 3, "its own tasks have no spans");
        assert!(ran.get() > 15, "{ran:?}");
        recorder.assert_all_closed();
    });
}

/// Returns a loop that reports panics, or ends the run at the first one.
fn with_policy(kind: SelectorKind, policy: PanicPolicy) -> EventLoop<Vec<ReportKind>> {
    let el = simulated_builder(kind).0.panic_policy(policy).build_with(Vec::new()).unwrap();
    el.set_exception_handler(|_, reports: &mut Vec<_>, report| reports.push(report.kind));
    el
}

#[test]
fn r12_a_panic_of_a_subscriber_is_a_report_and_the_tasks_go_on() {
    on_every_selector(|kind| {
        for method in METHODS {
            let recorder = Recorder::new(Wants::Everything);
            let mut el = with_policy(kind, PanicPolicy::Report);
            let hook = move |called| assert_ne!(called, method, "planted");
            recorder.record(|| with_hook(hook, || use_each_method(&mut el)));
            let reports = el.state();
            assert!(!reports.is_empty(), "{method}");
            assert!(
                reports.iter().all(|kind| *kind == ReportKind::Subscriber),
                "{method}: {reports:?}"
            );
        }
    });
}

#[test]
fn r12_a_panic_of_a_subscriber_follows_the_policy_of_the_loop() {
    on_every_selector(|kind| {
        let recorder = Recorder::new(Wants::Everything);
        let mut el = with_policy(kind, PanicPolicy::Propagate);
        let hook = |called| assert_ne!(called, "exit", "planted");
        let ran = Rc::new(Cell::new(false));
        recorder.record(|| {
            with_hook(hook, || {
                let ran = ran.clone();
                el.spawn(async move { ran.set(true) }).detach();
                let run = std::panic::AssertUnwindSafe(|| el.run());
                assert!(std::panic::catch_unwind(run).is_err());
            });
            assert!(ran.get());
            el.run_until_complete(async { spawn(async {}).await.unwrap() }).unwrap();
            drop(el);
        });
        recorder.assert_all_closed();
    });
}

/// A wake of a task with a span, and a call of the subscriber inside of another one.
#[test]
fn r12_what_a_subscriber_does_in_a_call_is_not_recorded() {
    on_every_selector(|kind| {
        let recorder = Recorder::new(Wants::Everything);
        let (mut el, _clock) = simulated(kind, ());
        let (promise, promised) = promise::<()>();
        let (handle, promise) = (el.handle().clone(), Cell::new(Some(promise)));
        recorder.record(|| {
            let waiting = el.spawn(promised).named("waiting");
            let task = waiting.handle();
            el.tick(Some(Duration::ZERO)).unwrap();
            let hook = move |method| {
                if method == "enter"
                    && let Some(promise) = promise.take()
                {
                    assert!(handle.set_name(task, "woken"));
                    handle.spawn(async {}).detach();
                    promise.set_result(());
                }
            };
            el.spawn(async {}).named("other").detach();
            with_hook(hook, || el.run().unwrap());
            assert!(waiting.is_finished());
        });
        assert_eq!(recorder.spans().len(), 2, "its own task has no span");
        assert_eq!(recorder.named("woken").wakes, (0, 0));
        recorder.assert_all_closed();
    });
}
