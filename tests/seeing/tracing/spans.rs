//! The spans of tasks: fields, polls and ends (docs/contract.md, R10 and R13).

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use mainspring::{
    CancelScope, EventLoop, Handle, TaskGroup, promise, sleep, spawn, timeout, yield_now,
};

use super::recorder::{Recorder, Wants};
use super::traced;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

/// Counts the polls of a future.
fn counted<F: Future>(polls: Rc<Cell<usize>>, future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        future.as_mut().poll(cx)
    })
}

#[test]
fn r10_a_span_has_the_name_size_and_line_of_its_task() {
    traced(|recorder, mut el| {
        let bytes = [7_u8; 300];
        let body = async move {
            sleep(SECOND).await;
            bytes[299]
        };
        let size = size_of_val(&body);
        let task = el.spawn(body).named("big"); // this line is in the span
        let (line, main_line) = (line!() - 1, line!() + 1);
        assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 7);
        let big = recorder.named("big");
        assert_eq!(big.kind, ("runtime.spawn", "tokio::task".to_owned()));
        assert!(big.is_root);
        assert_eq!((&*big.fields["kind"], &*big.fields["loc.file"]), ("task", file!()));
        assert_eq!(big.fields["size.bytes"], size.to_string());
        assert_eq!(big.fields["loc.line"], line.to_string());
        assert_eq!(big.fields["loc.col"], "23", "the column of spawn");
        let main = recorder.named("");
        assert_eq!(
            (&*main.fields["kind"], &main.fields["loc.line"]),
            ("block_on", &main_line.to_string())
        );
        assert!(!main.fields.contains_key("size.bytes"));
        assert_ne!(big.fields["task.id"], main.fields["task.id"]);
    });
}

#[test]
fn r10_a_name_is_a_field_of_the_span_whenever_it_is_set() {
    traced(|recorder, mut el| {
        let task = el.spawn(sleep(SECOND));
        let handle: Handle = task.handle();
        task.detach();
        tick(&mut el);
        assert_eq!(recorder.named("").name(), "");
        assert!(el.set_name(handle, "late"));
        assert_eq!(recorder.named("late").closes, 0);
        el.run().unwrap();
    });
}

#[test]
fn r10_each_poll_enters_the_span_once() {
    traced(|recorder, mut el| {
        let (polls, main_polls) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let steps = async {
            for _ in 0..5 {
                sleep(SECOND).await;
                yield_now().await;
            }
            join_all([spawn(sleep(SECOND)), spawn(sleep(2 * SECOND))]).await;
        };
        let task = el.spawn(counted(polls.clone(), steps)).named("steps");
        el.run_until_complete(counted(main_polls.clone(), task)).unwrap().unwrap();
        let steps = recorder.named("steps");
        assert!(polls.get() >= 12, "{}", polls.get());
        assert_eq!((steps.enters, steps.exits), (polls.get(), polls.get()));
        let spans = recorder.spans();
        let main = spans.iter().find(|span| span.fields["kind"] == "block_on").unwrap();
        assert_eq!(main.enters, main_polls.get());
    });
}

/// One task for each way to end.
fn spawn_one_of_each(el: &EventLoop) {
    el.spawn(async { 1 }).named("done").detach();
    el.spawn(async { panic!("planted") }).named("panicked").detach();
    let waiting = el.spawn(sleep(SECOND)).named("cancelled");
    let unpolled = el.spawn(async {}).named("never polled");
    unpolled.cancel("unused");
    el.spawn(async move {
        yield_now().await;
        waiting.cancel("late");
        assert!(waiting.await.is_err() && unpolled.await.is_err());
        let scope = CancelScope::new();
        scope.cancel("over");
        scope.run(pending::<()>()).await.unwrap_err();
        let _ = timeout(SECOND, pending::<()>()).await;
        TaskGroup::run(async |group| {
            group.spawn(async { Ok::<_, mainspring::Error>(()) })?.named("child");
            Ok(())
        })
        .await
    })
    .named("structured")
    .detach();
    let task = el.spawn(async {}).named("with a done-callback");
    task.add_done_callback(|_| {});
    task.detach();
}

#[test]
fn r10_each_end_of_a_task_closes_its_span_once() {
    traced(|recorder, mut el| {
        el.set_exception_handler(|_, _, _| {});
        spawn_one_of_each(&el);
        el.run().unwrap();
        for name in ["done", "panicked", "cancelled", "structured", "child"] {
            assert!(recorder.named(name).enters > 0, "{name}");
        }
        assert_eq!(recorder.named("never polled").enters, 0);
        recorder.assert_all_closed(); // before the loop is dropped
    });
}

#[test]
fn r10_a_task_that_is_cancelled_before_its_first_poll_has_a_span() {
    traced(|recorder, mut el| {
        let task = el.spawn(sleep(SECOND)).named("only");
        assert!(task.cancel("unused"));
        el.run().unwrap();
        let only = recorder.named("only");
        assert_eq!(only.fields["size.bytes"], size_of::<mainspring::Sleep>().to_string());
        assert_eq!((only.enters, only.closes), (0, 1));
    });
}

#[test]
fn r10_a_loop_closes_the_spans_of_its_tasks() {
    traced(|recorder, mut el| {
        let (promise, promised) = promise::<()>();
        el.spawn(promised).named("waiting").detach();
        let done = el.spawn(async {}).named("not joined");
        assert!(el.run_until_complete(pending::<()>()).is_err(), "stalled");
        el.spawn(async {}).named("new").detach();
        drop(el);
        assert_eq!(recorder.spans().len(), 4);
        recorder.assert_all_closed();
        assert_eq!(recorder.named("new").enters, 0);
        drop((promise, done));
    });
}

#[test]
fn r10_a_span_belongs_to_the_subscriber_that_opened_it() {
    on_every_selector(|kind| {
        let (first, second) = (Recorder::new(Wants::Everything), Recorder::new(Wants::Spans));
        let (mut el, _clock) = simulated(kind, ());
        el.spawn(sleep(SECOND)).named("before").detach();
        tick(&mut el);
        first.record(|| {
            el.spawn(sleep(SECOND)).named("first").detach();
            tick(&mut el);
        });
        second.record(|| {
            el.spawn(sleep(SECOND)).named("second").detach();
            el.run().unwrap();
        });
        for (recorder, name) in [(&first, "first"), (&second, "second")] {
            assert_eq!((recorder.spans().len(), recorder.named(name).enters), (1, 2));
            recorder.assert_all_closed();
        }
    });
}

#[test]
fn r13_without_a_subscriber_that_wants_them_there_are_no_spans() {
    on_every_selector(|kind| {
        let recorder = Recorder::new(Wants::Nothing);
        let (mut el, _clock) = simulated(kind, ());
        recorder.record(|| {
            el.spawn(sleep(SECOND)).named("task").detach();
            el.run().unwrap();
        });
        assert!(recorder.spans().is_empty());
    });
}
