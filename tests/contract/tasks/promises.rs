//! Promises: results, failures and done-callbacks (docs/contract.md, F7 and F8).

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::executor::block_on;
use mainspring::{
    Error, EventLoop, LoopHandle, Promise, Promised, ReportKind, SelectorKind, promise, race,
    spawn, yield_now,
};

use crate::support::simulated;

/// Reports: line and error.
type Reports = Vec<(u32, String)>;

/// Returns a loop that records the failures of promises.
fn loop_with_reports() -> EventLoop<Reports> {
    let (el, _) = simulated(SelectorKind::Poll, Reports::new());
    el.set_exception_handler(|_, reports: &mut Reports, report| {
        assert_eq!((report.kind, &report.name), (ReportKind::Promise, &None));
        assert_eq!(report.location.file(), file!());
        reports.push((report.location.line(), report.error.to_string()));
    });
    el
}

#[test]
fn f8_a_waiter_gets_the_result() {
    let mut el = loop_with_reports();
    for early in [false, true] {
        let (promise, promised) = promise();
        assert!(!promised.is_set() && !promise.is_closed());
        let waits = el.spawn(promised);
        if !early {
            el.run_until_stalled().unwrap();
        }
        promise.set_result(42);
        assert_eq!(el.run_until_complete(waits).unwrap().unwrap().unwrap(), 42);
    }
    let (promise, promised) = promise::<u32>();
    promise.set_error(Error::other("no luck"));
    assert!(promised.is_set());
    assert_eq!(el.run_until_complete(promised).unwrap().unwrap_err().to_string(), "no luck");
    assert!(el.state().is_empty());
}

#[test]
fn f8_a_dropped_promise_is_abandoned() {
    let mut el = loop_with_reports();
    let (promise, promised) = promise::<()>();
    let (waits, late) = (el.spawn(promised), mainspring::promise::<()>().1);
    el.run_until_stalled().unwrap();
    drop(promise);
    let outputs = el.run_until_complete(async { (waits.await.unwrap(), late.await) }).unwrap();
    assert!(matches!(outputs, (Err(Error::Abandoned), Err(Error::Abandoned))));
    drop(mainspring::promise::<()>());
    el.run_until_stalled().unwrap();
    assert!(el.state().is_empty(), "nothing has failed");
}

#[test]
fn f8_is_closed_is_true_without_a_waiter() {
    let (promise, promised) = promise();
    drop(promised);
    assert!(promise.is_closed());
    let alive = Rc::new(());
    promise.set_result(alive.clone());
    assert_eq!(Rc::strong_count(&alive), 1);
}

/// Each closure lets a failure go unobserved, and returns the line that the report must name.
#[test]
fn f8_an_unobserved_failure_is_reported_once_with_its_location() {
    type Fail = fn(&LoopHandle<Reports>) -> u32;
    let fails: [Fail; 4] = [
        |_| {
            let (promise, promised) = promise::<()>();
            promise.set_error(Error::other("no luck"));
            drop(promised);
            line!() - 2
        },
        |_| {
            let (promise, promised) = promise::<()>();
            drop(promised); // The waiter is dropped first.
            promise.set_error(Error::other("no luck"));
            line!() - 1
        },
        |el| {
            // The wait is dropped after the failure and before the waiter's next poll.
            let ((promise, promised), (stop, stopped)) = (promise::<()>(), promise());
            el.spawn(race(stopped, promised)).detach();
            el.call_soon(move |_, _| {
                promise.set_error(Error::other("no luck"));
                stop.set_result(());
            });
            line!() - 3
        },
        |el| {
            // A waiting task is cancelled.
            let (promise, promised) = promise::<()>();
            let task = el.spawn(promised);
            el.call_soon(move |el, _| {
                task.cancel("not interested");
                el.call_soon(|_, _| promise.set_error(Error::other("no luck")));
            });
            line!() - 2
        },
    ];
    for running in [false, true] {
        for fail in fails {
            let mut el = loop_with_reports();
            let line = Rc::new(Cell::new(0));
            if running {
                let line = line.clone();
                el.call_soon(move |el, _| line.set(fail(el)));
            } else {
                let handle = el.handle().clone();
                line.set(el.run_until_complete(async move { fail(&handle) }).unwrap());
            }
            el.run_until_stalled().unwrap();
            assert_eq!(*el.state(), [(line.get(), "no luck".to_owned())]);
        }
    }
}

#[test]
fn f8_a_failure_that_a_callback_has_seen_is_not_reported() {
    let mut el = loop_with_reports();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let callback = |seen: &Rc<RefCell<Vec<String>>>| {
        let seen = seen.clone();
        move |result: Result<&(), &Error>| seen.borrow_mut().push(format!("{result:?}"))
    };
    el.run_until_complete(async {
        let (promise, promised) = promise();
        promised.add_done_callback(callback(&seen));
        promise.set_error(Error::Closed); // The callback runs before the drop,
        yield_now().await;
        drop(promised);
        let (promise, promised) = mainspring::promise();
        promised.add_done_callback(callback(&seen));
        drop(promised); // after it,
        promise.set_error(Error::Closed);
        let (promise, promised) = mainspring::promise();
        promise.set_error(Error::Closed);
        promised.add_done_callback(callback(&seen)); // or is added after the failure.
        drop(promised);
    })
    .unwrap();
    el.run_until_stalled().unwrap();
    assert_eq!(*seen.borrow(), ["Err(the loop is closed)"; 3]);
    assert!(el.state().is_empty());
}

#[test]
fn f7_callbacks_of_a_promise_run_in_order_before_the_waiter() {
    let mut el = loop_with_reports();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (promise, promised) = promise();
    for i in 0..3 {
        let seen = seen.clone();
        promised.add_done_callback(move |result| seen.borrow_mut().push((i, *result.unwrap())));
    }
    let (waited, later) = (seen.clone(), seen.clone());
    el.spawn(async move {
        let result = promised.await.unwrap();
        waited.borrow_mut().push((9, result));
    })
    .detach();
    el.run_until_stalled().unwrap();
    el.call_soon(move |_, _| {
        promise.set_result(42);
        assert!(later.borrow().is_empty(), "callbacks run through the deque");
    });
    el.run_until_stalled().unwrap();
    assert_eq!(*seen.borrow(), [(0, 42), (1, 42), (2, 42), (9, 42)]);
    // A callback added after the result was set also runs before the waiter.
    let (promise, promised) = mainspring::promise();
    let added = seen.clone();
    promise.set_result(7);
    promised.add_done_callback(move |result| added.borrow_mut().push((0, *result.unwrap())));
    assert_eq!(el.run_until_complete(promised).unwrap().unwrap(), 7);
    assert_eq!(seen.borrow().last(), Some(&(0, 7)));
}

#[test]
fn f7_a_panicking_callback_of_a_promise_does_not_affect_the_others() {
    let (mut el, _) = simulated(SelectorKind::Poll, Vec::new());
    el.set_exception_handler(|_, reports: &mut Vec<String>, report| {
        reports.push(format!("{} {}", report.kind, report.error));
    });
    let seen = Rc::new(Cell::new(0));
    let (promise, promised) = promise();
    let (before, after) = (seen.clone(), seen.clone());
    promised.add_done_callback(move |_| before.set(before.get() + 1));
    promised.add_done_callback(|_| panic!("on purpose"));
    promised.add_done_callback(move |_| after.set(after.get() + 1));
    el.call_soon(|_, _| promise.set_result(42));
    assert_eq!(el.run_until_complete(promised).unwrap().unwrap(), 42);
    assert_eq!((seen.get(), el.state().len()), (2, 1));
    assert_eq!(el.state()[0], "task panicked: on purpose");
}

#[test]
fn f8_a_promise_works_without_a_loop() {
    let (promise, promised) = promise();
    let seen = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let seen = seen.clone();
        promised.add_done_callback(move |result| seen.set(seen.get() + *result.unwrap()));
    }
    let both = futures::future::join(promised, async move { promise.set_result(21) });
    assert_eq!(block_on(both).0.unwrap(), 21);
    assert_eq!(seen.get(), 42);
}

/// A promise can be awaited on another executor while the loop sets it, and on another loop of the
/// same thread.
#[test]
fn f8_a_promise_can_be_awaited_elsewhere() {
    let mut el = loop_with_reports();
    let (promise, promised) = promise();
    el.call_soon(|_, _| promise.set_result(42));
    let turns = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if el.run_until_stalled().unwrap() == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    let (result, ()) = block_on(futures::future::join(promised, turns));
    assert_eq!(result.unwrap(), 42);

    let mut other = loop_with_reports();
    let (promise, promised) = mainspring::promise();
    let waits = other.spawn(promised);
    other.run_until_stalled().unwrap();
    el.call_soon(|_, _| promise.set_result(7));
    el.run_until_stalled().unwrap();
    assert_eq!(other.run_until_complete(waits).unwrap().unwrap().unwrap(), 7);
}

#[test]
fn f8_a_promised_moves_between_tasks_and_loops() {
    let (mut one, mut two) = (loop_with_reports(), loop_with_reports());
    let (promise, promised) = promise();
    let shared = Rc::new(RefCell::new(promised));
    let polls = Rc::new(Cell::new(0));
    let wait = || {
        let (shared, polls) = (shared.clone(), polls.clone());
        poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            Pin::new(&mut *shared.borrow_mut()).poll(cx)
        })
    };
    let before = [one.spawn(wait()), two.spawn(wait()), one.spawn(wait())];
    for el in [&mut one, &mut two] {
        el.run_until_stalled().unwrap();
    }
    let last = two.spawn(wait());
    two.run_until_stalled().unwrap();
    assert_eq!(polls.get(), 4);
    promise.set_result(42);
    assert_eq!(two.run_until_complete(last).unwrap().unwrap().unwrap(), 42);
    one.run_until_stalled().unwrap();
    two.run_until_stalled().unwrap();
    assert_eq!(polls.get(), 5, "only the last waiter is woken");
    assert!(before.iter().all(|task| !task.is_finished()));
}

/// The callbacks run in the loop that last polled the promise, not in the oldest loop.
#[test]
fn f7_callbacks_of_a_promise_run_in_the_running_loop() {
    let _idle = loop_with_reports();
    let mut el = loop_with_reports();
    let ran = Rc::new(Cell::new(false));
    let inside = ran.clone();
    el.run_until_complete(async move {
        let (promise, promised) = promise();
        promised.add_done_callback(move |_| inside.set(true));
        promise.set_result(());
        promised.await.unwrap();
    })
    .unwrap();
    assert!(ran.get());
}

/// 100,000 callbacks run on a loop, without a loop, and are dropped on a loop that closes
/// meanwhile.
#[test]
fn f7_a_promise_can_have_many_callbacks() {
    const MANY: usize = 100_000;
    let many = || {
        let (promise, promised) = promise();
        let ran = Rc::new(Cell::new(0));
        for _ in 0..MANY {
            let ran = ran.clone();
            promised.add_done_callback(move |_| ran.set(ran.get() + 1));
        }
        (promise, promised, ran)
    };
    let (promise, promised, ran) = many();
    promise.set_result(());
    drop(promised);
    assert_eq!(ran.get(), MANY);

    let mut el = loop_with_reports();
    let (promise, promised, ran) = many();
    el.call_soon(|_, _| promise.set_result(()));
    el.run_until_complete(promised).unwrap().unwrap();
    assert_eq!(ran.get(), MANY);

    let (promise, promised, ran) = many();
    el.spawn(async move { drop(promised.await) }).detach();
    el.call_soon(|_, _| promise.set_result(()));
    el.tick(None).unwrap();
    el.tick(None).unwrap();
    drop(el);
    assert_eq!(Rc::strong_count(&ran), 1, "all callbacks were dropped");
}

/// Outside a loop, if two callbacks panic, the caller gets one panic.
#[test]
fn f7_callbacks_of_a_promise_may_panic_outside_a_loop() {
    let (promise, promised) = promise();
    for _ in 0..2 {
        promised.add_done_callback(|_| panic!("on purpose"));
    }
    let set = std::panic::AssertUnwindSafe(|| promise.set_result(42));
    assert!(std::panic::catch_unwind(set).is_err());
    assert_eq!(block_on(promised).unwrap(), 42);
}

thread_local! {
    static LAST: Cell<Option<Promise<u32>>> = const { Cell::new(None) };
}

/// A replaced waker is dropped when the promise is consistent, so its `Drop` may even set the
/// promise (P104).
#[test]
fn f8_p104_the_drop_of_a_waker_may_set_the_promise() {
    struct Setter;
    impl Wake for Setter {
        fn wake(self: Arc<Setter>) {
            drop(self); // Clippy takes an empty function for `Waker::noop`.
        }
    }
    impl Drop for Setter {
        fn drop(&mut self) {
            if let Some(promise) = LAST.take() {
                promise.set_result(42);
            }
        }
    }
    let poll = |promised: &mut Promised<u32>, waker: &Waker| {
        Pin::new(promised).poll(&mut Context::from_waker(waker)).is_ready()
    };
    for in_a_loop in [false, true] {
        let (promise, mut promised) = promise();
        LAST.set(Some(promise));
        let test = async move {
            assert!(!poll(&mut promised, &Waker::from(Arc::new(Setter))));
            if !poll(&mut promised, Waker::noop()) {
                assert!(poll(&mut promised, Waker::noop()), "the result was lost");
            }
        };
        match in_a_loop {
            true => loop_with_reports()
                .run_until_complete(async { spawn(test).await.unwrap() })
                .unwrap(),
            false => block_on(test),
        }
    }
}
