//! Reports of failed tasks that no task joins, and of slow tasks in debug mode (docs/contract.md,
//! F8).

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, LoopHandle, ReportKind, Task, promise, spawn, yield_now};

/// Reports: line, name and error.
type Reports = Rc<RefCell<Vec<(u32, Option<String>, String)>>>;

const MILLI: Duration = Duration::from_millis(1);

fn loop_with_reports(debug: bool) -> (EventLoop<()>, SimClock, Reports) {
    let clock = SimClock::new();
    let builder = EventLoop::builder().clock(clock.clone()).debug(debug);
    let (el, reports) = (builder.build().unwrap(), Reports::default());
    let noted = reports.clone();
    el.set_exception_handler(move |_, (), report| {
        assert_eq!((report.kind, report.location.file()), (ReportKind::Task, file!()));
        let name = report.name.as_deref().map(str::to_owned);
        noted.borrow_mut().push((report.location.line(), name, report.error.to_string()));
    });
    (el, clock, reports)
}

#[test]
fn f8_a_failure_of_a_detached_task_is_reported_once() {
    type Fail = fn(&LoopHandle) -> (u32, Task<mainspring::Result<()>>);
    let fails: [(Fail, &str); 2] = [
        (|el| (line!(), el.spawn(async { panic!("on purpose") })), "panicked: on purpose"),
        (|el| (line!(), el.spawn(async { Err(Error::other("no luck")) })), "no luck"),
    ];
    for (fail, expected) in fails {
        for when in ["before", "after", "named", "by the loop's end"] {
            let (mut el, _, reports) = loop_with_reports(false);
            let (line, mut task) = fail(&el);
            match when {
                "before" => drop(task),
                "after" => {
                    el.run().unwrap();
                    assert!(reports.borrow().is_empty(), "the task may still be joined");
                    drop(task);
                }
                "named" => {
                    task = task.named("worker");
                    task.detach();
                }
                _ => {
                    el.run().unwrap();
                    el.close();
                    drop(task);
                }
            }
            if when != "by the loop's end" {
                el.run_until_stalled().unwrap();
            }
            drop(el);
            let name = (when == "named").then(|| "worker".to_owned());
            assert_eq!(*reports.borrow(), [(line, name, expected.to_owned())], "{when}");
        }
    }
}

/// Error types that an `async fn` commonly returns, besides this crate's own.
#[test]
fn f8_common_error_types_are_reported() {
    type AnyError = Box<dyn std::error::Error>;
    let (mut el, _, reports) = loop_with_reports(false);
    el.spawn(async { Err::<(), _>(std::io::Error::other("of a call")) }).detach();
    el.spawn(async { Err::<(), AnyError>("boxed".into()) }).detach();
    el.spawn(async { Err::<(), AnyError>("boxed".into()) }).detach();
    el.spawn(async { Err::<(), Box<dyn std::error::Error + Send + Sync>>("sent".into()) }).detach();
    el.spawn(async { Ok::<(), std::io::Error>(()) }).detach();
    el.spawn(async { Ok::<(), AnyError>(()) }).detach();
    el.run().unwrap();
    let texts: Vec<String> = reports.borrow().iter().map(|(_, _, error)| error.clone()).collect();
    assert_eq!(texts, ["of a call", "boxed", "boxed", "sent"]);
}

#[test]
fn f8_joined_and_cancelled_tasks_are_not_reported() {
    let (mut el, _, reports) = loop_with_reports(false);
    let asked = el.spawn(async { panic!("asked for") });
    let output: Result<(), _> = el.run_until_complete(asked).unwrap();
    assert!(output.unwrap_err().is_panic());
    let asked = el.spawn(async { Err::<(), _>(Error::other("asked for")) });
    assert!(el.run_until_complete(asked).unwrap().unwrap().is_err());
    let cancelled = el.spawn(pending::<()>());
    cancelled.cancel("not wanted");
    drop(cancelled);
    drop(el.spawn(async { Err::<(), &str>("not an error of this crate") }));
    el.spawn(async { Ok::<(), Error>(()) }).detach();
    el.run().unwrap();
    drop(el);
    assert!(reports.borrow().is_empty());
}

/// The owner of the task is itself dropped when the loop closes.
#[test]
fn f8_a_failure_owned_by_a_callback_is_reported_when_the_loop_closes() {
    let (mut el, _, reports) = loop_with_reports(false);
    let (line, task) = (line!(), el.spawn(async { panic!("held") }));
    el.run().unwrap();
    el.call_later(MILLI, move |_, ()| drop::<Task<()>>(task));
    drop(el);
    assert_eq!(*reports.borrow(), [(line, None, "panicked: held".to_owned())]);

    let el = EventLoop::<()>::new().unwrap();
    let promises = Rc::new(RefCell::new(0));
    let noted = promises.clone();
    el.set_exception_handler(move |_, (), report| {
        assert_eq!(report.kind, ReportKind::Promise);
        *noted.borrow_mut() += 1;
    });
    let (promise, promised) = promise::<()>();
    promise.set_error(Error::other("held"));
    el.call_later(MILLI, move |_, ()| drop(promised));
    drop(el);
    assert_eq!(*promises.borrow(), 1);
}

#[test]
fn f8_a_report_names_the_task_its_location_and_its_error() {
    let (mut el, _, _) = loop_with_reports(false);
    let lines = Rc::new(RefCell::new(Vec::new()));
    let noted = lines.clone();
    el.set_exception_handler(move |_, (), report| noted.borrow_mut().push(report.to_string()));
    let place = format!("{}:{}:", file!(), line!() + 1);
    drop::<Task<()>>(el.spawn(async { panic!("on purpose") }).named("worker"));
    el.run().unwrap();
    let line = lines.borrow()[0].clone();
    assert!(line.starts_with(&format!("task \"worker\" spawned at {place}")), "{line}");
    assert!(line.ends_with(": panicked: on purpose"), "{line}");
}

#[test]
fn e10_a_slow_task_is_reported_with_its_location_and_name() {
    let (mut el, clock, reports) = loop_with_reports(true);
    let busy = clock.clone();
    let (line, task) = (line!(), el.spawn(slow(busy)));
    let task = task.named("busy");
    el.run().unwrap();
    assert!(task.is_finished());
    let expected =
        |took: u32| (line, Some("busy".to_owned()), format!("a callback ran for {took}ms"));
    assert_eq!(*reports.borrow(), [expected(100), expected(250)]);
    drop(reports.take());
    // The main future is reported like a task.
    let busy = clock.clone();
    let line = line!() + 1;
    el.run_until_complete(async move {
        slow(busy.clone()).await;
        let child = spawn(async {});
        child.await.unwrap();
    })
    .unwrap();
    el.run_until_stalled().unwrap();
    let expected = |took: u32| (line, None, format!("a callback ran for {took}ms"));
    assert_eq!(*reports.borrow(), [expected(100), expected(250)]);
}

async fn slow(clock: SimClock) {
    clock.advance(100 * MILLI);
    yield_now().await;
    clock.advance(99 * MILLI); // Below the limit.
    yield_now().await;
    clock.advance(250 * MILLI);
}
