//! Done-callbacks of tasks (docs/contract.md, F7).

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use mainspring::{EventLoop, SelectorKind};

use crate::support::simulated;

/// Events, in order.
type Seen = Rc<RefCell<Vec<&'static str>>>;

fn any_loop() -> EventLoop<()> {
    simulated(SelectorKind::Poll, ()).0
}

#[test]
fn f7_done_callbacks_run_once_in_order_before_the_joiner() {
    let mut el = any_loop();
    let seen = Seen::default();
    let task = el.spawn(async { 42 });
    for name in ["first", "second", "third"] {
        let seen = seen.clone();
        task.add_done_callback(move |output| {
            assert_eq!(*output.unwrap(), 42);
            seen.borrow_mut().push(name);
        });
    }
    let joined = seen.clone();
    let task = Rc::new(RefCell::new(Some(task)));
    let joiner = task.clone();
    el.spawn(async move {
        let mut task = joiner.borrow_mut().take().unwrap();
        assert_eq!(Pin::new(&mut task).await.unwrap(), 42);
        joined.borrow_mut().push("joined");
    })
    .detach();
    el.tick(None).unwrap();
    assert!(seen.borrow().is_empty()); // They run in the next tick, through the ready deque.
    el.run().unwrap();
    assert_eq!(*seen.borrow(), ["first", "second", "third", "joined"]);
}

#[test]
fn f7_a_callback_added_after_the_end_runs_in_the_next_tick() {
    let mut el = any_loop();
    let seen = Seen::default();
    let task = el.spawn(async { "output" });
    el.run().unwrap();
    for _ in 0..2 {
        let seen = seen.clone();
        task.add_done_callback(move |output| seen.borrow_mut().push(output.unwrap()));
    }
    assert!(seen.borrow().is_empty());
    let output = el.run_until_complete(task).unwrap().unwrap();
    assert_eq!((output, &*seen.borrow()), ("output", &vec!["output"; 2]));
}

#[test]
fn f7_a_panicking_callback_does_not_affect_the_others() {
    let mut el = any_loop();
    let seen = Seen::default();
    let reports = Seen::default();
    let reported = reports.clone();
    el.set_exception_handler(move |_, (), report| {
        assert_eq!(report.location.line(), line!() + 7);
        assert_eq!(report.error.to_string(), "panicked: on purpose");
        reported.borrow_mut().push("reported");
    });
    let task = el.spawn(async { "output" });
    let (first, last) = (seen.clone(), seen.clone());
    task.add_done_callback(move |output| first.borrow_mut().push(output.unwrap()));
    task.add_done_callback(|_| panic!("on purpose"));
    task.add_done_callback(move |output| last.borrow_mut().push(output.unwrap()));
    assert_eq!(el.run_until_complete(task).unwrap().unwrap(), "output");
    assert_eq!((seen.borrow().len(), reports.borrow().len()), (2, 1));
}

#[test]
fn f7_a_detached_task_keeps_its_callbacks() {
    let mut el = any_loop();
    let seen = Seen::default();
    let reports = Seen::default();
    let reported = reports.clone();
    el.set_exception_handler(move |_, (), _| reported.borrow_mut().push("reported"));
    let (task, fails) = (el.spawn(async { "output" }), el.spawn(async { panic!("seen") }));
    let (result, failure) = (seen.clone(), seen.clone());
    task.add_done_callback(move |output| result.borrow_mut().push(output.unwrap()));
    fails.add_done_callback(move |output: Result<&(), _>| {
        failure.borrow_mut().push(if output.unwrap_err().is_panic() { "panic" } else { "" });
    });
    drop((task, fails));
    el.run().unwrap();
    assert_eq!(*seen.borrow(), ["output", "panic"]);
    assert!(reports.borrow().is_empty(), "a failure that a callback has seen is not reported");
}
