//! Panics in every user-supplied part of a task (P98; docs/contract.md, F2 and F8). Each one
//! reaches the joiner or the exception handler, everything is dropped once, and the loop stays
//! usable.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::FutureExt;
use mainspring::{
    EventLoop, PanicPolicy, ReportKind, SelectorKind, Task, TaskEnding, TaskState, sleep, yield_now,
};

use crate::support::simulated;

const SECOND: Duration = Duration::from_secs(1);

/// Texts of the reports.
type Reports = Vec<String>;

fn loop_with_reports() -> EventLoop<Reports> {
    let (el, _) = simulated(SelectorKind::Poll, Reports::new());
    el.set_exception_handler(|_, reports: &mut Reports, report| {
        assert_eq!(report.kind, ReportKind::Task);
        reports.push(report.error.to_string());
    });
    el
}

/// Counts its drops, each of which panics.
struct PanicsOnDrop(Rc<Cell<usize>>, &'static str);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic!("{}", self.1);
    }
}

/// Future that panics when dropped, with an output that does so too.
struct PanickingTask {
    ends: &'static str,
    output: Option<PanicsOnDrop>,
    _future: PanicsOnDrop,
}

impl Future for PanickingTask {
    type Output = Option<PanicsOnDrop>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<PanicsOnDrop>> {
        match self.ends {
            "ready" => Poll::Ready(self.output.take()),
            "panic" => panic!("in poll"),
            _ => Poll::Pending,
        }
    }
}

impl PanickingTask {
    fn new(ends: &'static str, drops: &Rc<Cell<usize>>, with_output: bool) -> PanickingTask {
        let output = with_output.then(|| PanicsOnDrop(drops.clone(), "of the output"));
        PanickingTask { ends, output, _future: PanicsOnDrop(drops.clone(), "of the future") }
    }
}

fn message<T>(output: Result<T, mainspring::JoinError>) -> String {
    output.err().expect("a failure").to_string()
}

#[test]
fn f8_p98_a_panic_in_a_task_affects_no_other_task() {
    for policy in [PanicPolicy::Propagate, PanicPolicy::Report] {
        let mut el = loop_with_reports();
        el.set_panic_policy(policy);
        let neighbours: Vec<_> = (0..3).map(|_| el.spawn(yield_now())).collect();
        let task = el.spawn(async {
            yield_now().await;
            panic!("in poll");
        });
        el.run().unwrap();
        assert!(neighbours.iter().all(Task::is_finished));
        assert_eq!(task.state(), TaskState::Done(TaskEnding::Panicked));
        let output: Result<(), _> = el.run_until_complete(task).unwrap();
        assert_eq!(message(output), "the task panicked: in poll");
        assert!(el.state().is_empty());
    }
}

#[test]
fn f2_p98_a_panicking_drop_of_the_future_reaches_the_joiner() {
    for (ends, expected, bombs) in [
        ("ready", "the task panicked: of the future", 2),
        ("panic", "the task panicked: in poll", 1),
        ("cancel", "the task panicked: of the future", 1),
    ] {
        let mut el = loop_with_reports();
        let drops = Rc::new(Cell::new(0));
        let task = el.spawn(PanickingTask::new(ends, &drops, ends == "ready"));
        el.run_until_stalled().unwrap();
        if ends == "cancel" {
            assert!(task.cancel("cancelled"));
        }
        el.run().unwrap();
        assert_eq!(task.state(), TaskState::Done(TaskEnding::Panicked));
        assert_eq!(message(el.run_until_complete(task).unwrap()), expected, "{ends}");
        assert_eq!(drops.get(), bombs, "{ends}");
        assert_eq!(el.run_until_complete(async { 42 }).unwrap(), 42);
    }
}

#[test]
fn f8_p98_every_panic_of_a_detached_task_is_reported() {
    let mut el = loop_with_reports();
    let drops = Rc::new(Cell::new(0));
    for ends in ["ready", "panic"] {
        el.spawn(PanickingTask::new(ends, &drops, false)).detach_discarding();
        el.run().unwrap();
    }
    let output = drops.clone();
    el.spawn(async move { PanicsOnDrop(output, "of the output") }).detach_discarding();
    el.run().unwrap();
    let output = drops.clone();
    let late = el.spawn(async move { PanicsOnDrop(output, "of the late output") });
    el.run().unwrap();
    drop(late);
    el.run_until_stalled().unwrap();
    let expected = ["of the future", "in poll", "of the output", "of the late output"];
    assert_eq!(*el.state(), expected.map(|text| format!("panicked: {text}")));
    assert_eq!(drops.get(), 4);
}

#[test]
fn f8_p98_an_output_that_panics_after_its_callbacks_is_reported() {
    let mut el = loop_with_reports();
    let drops = Rc::new(Cell::new(0));
    let output = drops.clone();
    let task = el.spawn(async move { PanicsOnDrop(output, "of the output") });
    task.add_done_callback(|_| panic!("in the callback"));
    task.add_done_callback(|output| assert!(output.is_ok()));
    drop(task);
    el.run().unwrap();
    el.run_until_stalled().unwrap();
    let expected = ["in the callback", "of the output"];
    assert_eq!(*el.state(), expected.map(|text| format!("panicked: {text}")));
    assert_eq!(drops.get(), 1);
}

#[test]
fn f2_p98_everything_is_dropped_although_drops_panic_in_close() {
    let mut el = loop_with_reports();
    let drops = Rc::new(Cell::new(0));
    let mut tasks = Vec::new();
    for ends in ["pending", "ready", "pending", "panic"] {
        tasks.push(el.spawn(PanickingTask::new(ends, &drops, false)));
    }
    let output = drops.clone();
    let done = el.spawn(async move { PanicsOnDrop(output, "of the output") });
    el.run_until_stalled().unwrap();
    let waits = el.spawn(pending::<()>());
    let callback = PanicsOnDrop(drops.clone(), "of the callback");
    waits.add_done_callback(move |_| drop(callback));
    tasks.push(el.spawn(PanickingTask::new("pending", &drops, false))); // Never polled.
    drop(el);
    assert!(tasks.iter().all(Task::is_finished) && done.is_finished() && waits.is_finished());
    assert_eq!(drops.get(), 5 + 1 + 1);
}

/// Waker of another executor that panics on wake or on drop.
struct PanickingWaker {
    when: &'static str,
    count: AtomicUsize,
}

impl Wake for PanickingWaker {
    fn wake(self: Arc<PanickingWaker>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        assert!(self.when != "wake", "on purpose");
    }
}

impl Drop for PanickingWaker {
    fn drop(&mut self) {
        assert!(self.when != "drop", "on purpose");
    }
}

fn panicking_waker(when: &'static str) -> Waker {
    Waker::from(Arc::new(PanickingWaker { when, count: AtomicUsize::new(0) }))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn f3_p98_a_panicking_waker_leaves_the_loop_usable() {
    for when in ["wake", "drop"] {
        let mut el = loop_with_reports();
        let mut task = el.spawn(async { 42 });
        assert!(poll(&mut task, &panicking_waker(when)).is_pending());
        let ran = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let ran = ran.clone();
            el.spawn(async move { ran.set(ran.get() + 1) }).detach();
        }
        // The panic propagates out of `run`, because the waker belongs to no task of this loop.
        assert!(catch_unwind(AssertUnwindSafe(|| el.run())).is_err(), "{when}");
        assert_eq!(task.state(), TaskState::Done(TaskEnding::Result));
        el.run().unwrap();
        assert_eq!(ran.get(), 3, "the rest of the batch ran");
        assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 42);
    }
}

#[test]
fn f3_p98_a_waker_that_panics_on_drop_loses_no_wake() {
    let mut el = loop_with_reports();
    type Wait = Pin<Box<dyn Future<Output = ()>>>;
    let waits: [fn(&EventLoop<Reports>) -> Wait; 2] =
        [|_| Box::pin(sleep(SECOND)), |el| Box::pin(el.spawn(sleep(SECOND)).map(Result::unwrap))];
    for wait in waits {
        let slot = Rc::new(RefCell::new(Some(wait(&el))));
        let (inside, other) = (slot.clone(), panicking_waker("never"));
        el.call_soon(move |_, _| {
            let mut wait = inside.borrow_mut();
            let wait = wait.as_mut().unwrap();
            let panicking_waker = panicking_waker("drop");
            assert!(poll(wait, &panicking_waker).is_pending());
            drop(panicking_waker);
            let replaced = catch_unwind(AssertUnwindSafe(|| poll(wait, &other).is_pending()));
            assert!(replaced.is_err(), "this poll drops the old waker");
            assert!(poll(wait, &other).is_pending());
        });
        el.run_until_stalled().unwrap();
        el.run_until_complete(sleep(SECOND)).unwrap();
        let mut wait = slot.borrow_mut().take().unwrap();
        assert!(poll(&mut wait, Waker::noop()).is_ready());
    }
    let mut task = el.spawn(pending::<()>());
    assert!(poll(&mut task, &panicking_waker("drop")).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());
    assert!(el.run_until_stalled().is_ok());
}

/// All waiting wakers are woken when the loop closes, even if one of them panics.
#[test]
fn f3_p98_all_wakers_are_woken_in_close_although_one_panics() {
    for when in ["wake", "drop"] {
        let el = loop_with_reports();
        let mut tasks: Vec<_> = (0..3).map(|_| el.spawn(pending::<()>())).collect();
        let counts = ["never", when, "never"].map(|when| {
            let panicking_waker = Arc::new(PanickingWaker { when, count: AtomicUsize::new(0) });
            (Arc::downgrade(&panicking_waker), Waker::from(panicking_waker))
        });
        let mut counts = counts.into_iter();
        let held: Vec<_> = (tasks.iter_mut().zip(&mut counts))
            .map(|(task, (count, waker))| {
                assert!(poll(task, &waker).is_pending());
                let others = (count.upgrade().unwrap().when == "never").then_some(waker);
                (count, others)
            })
            .collect();
        assert!(
            catch_unwind(AssertUnwindSafe(|| drop(el))).is_err(),
            "the panic propagates after all wakers were woken"
        );
        for (count, waker) in [&held[0], &held[2]] {
            assert!(waker.is_some());
            assert_eq!(count.upgrade().unwrap().count.load(Ordering::Relaxed), 1, "{when}");
        }
        assert!(tasks.iter().all(Task::is_finished));
        assert!(tasks.into_iter().all(|mut task| poll(&mut task, Waker::noop()).is_ready()));
    }
}
