//! States, names, dropping and cancelling of tasks (docs/contract.md, F1, F2 and F4).

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use mainspring::{
    EventLoop, JoinError, LoopHandle, SelectorKind, Task, TaskEnding, TaskState, current_loop,
    spawn, yield_now,
};

use crate::support::{on_every_selector, simulated};

/// Events, in order.
type Seen = Rc<RefCell<Vec<&'static str>>>;

/// Logs its drop.
struct LogsDrop(Seen, &'static str);

impl Drop for LogsDrop {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

fn any_loop() -> EventLoop<()> {
    simulated(SelectorKind::Poll, ()).0
}

fn reason(error: JoinError) -> String {
    match error {
        JoinError::Cancelled(reason) => reason.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn f1_the_states_of_a_task_never_go_back() {
    let mut el = any_loop();
    let (seen, own) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(None)));
    let (inside, itself) = (seen.clone(), own.clone());
    let look = move || inside.borrow_mut().push(itself.borrow().as_ref().map(Task::state));
    let task = el.spawn(async move {
        look();
        yield_now().await;
        look();
    });
    assert_eq!(task.state(), TaskState::Pending);
    *own.borrow_mut() = Some(task);
    let state = || own.borrow().as_ref().map(Task::state).unwrap();
    el.tick(None).unwrap();
    assert_eq!(state(), TaskState::Waiting);
    el.tick(None).unwrap();
    assert_eq!(*seen.borrow(), [Some(TaskState::Running); 2]);
    assert_eq!(state(), TaskState::Done(TaskEnding::Result));
    assert!(!own.borrow().as_ref().unwrap().cancel("too late"));
    el.run_until_stalled().unwrap();
    assert_eq!(state(), TaskState::Done(TaskEnding::Result));
    assert!(own.borrow().as_ref().unwrap().is_finished());
}

/// Records the task's state when it is dropped.
struct RecordsState(Rc<RefCell<Option<Task<()>>>>, Rc<Cell<Option<TaskState>>>);

impl Drop for RecordsState {
    fn drop(&mut self) {
        self.1.set(self.0.borrow().as_ref().map(Task::state));
    }
}

#[test]
fn f1_a_future_dropped_by_a_cancellation_is_running() {
    let mut el = any_loop();
    let (own, seen) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(None)));
    let records_state = RecordsState(own.clone(), seen.clone());
    let task = el.spawn(async move {
        let _records_state = records_state;
        pending().await
    });
    *own.borrow_mut() = Some(task);
    el.tick(None).unwrap();
    assert!(own.borrow().as_ref().unwrap().cancel("enough"));
    el.tick(None).unwrap();
    assert_eq!(seen.get(), Some(TaskState::Running));
    assert_eq!(own.borrow().as_ref().unwrap().state(), TaskState::Done(TaskEnding::Cancelled));
}

#[test]
fn f1_a_task_ends_with_a_result_a_panic_or_a_cancellation() {
    let mut el = any_loop();
    let result = el.spawn(async { "result" });
    let panics = el.spawn(async { panic!("on purpose") });
    let cancelled = el.spawn(pending::<()>());
    assert!(cancelled.cancel("not wanted"));
    assert!(!cancelled.is_finished());
    el.run().unwrap();
    assert_eq!(result.state(), TaskState::Done(TaskEnding::Result));
    assert_eq!(panics.state(), TaskState::Done(TaskEnding::Panicked));
    assert_eq!(cancelled.state(), TaskState::Done(TaskEnding::Cancelled));
    el.run_until_complete(async {
        assert_eq!(result.await.unwrap(), "result");
        let error: JoinError = panics.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.to_string(), "the task panicked: on purpose");
        let JoinError::Panicked(panic) = error else { unreachable!() };
        assert_eq!(panic.message(), "on purpose");
        assert_eq!(panic.into_payload().downcast_ref(), Some(&"on purpose"));
        let error = cancelled.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic());
        assert_eq!(error.to_string(), "the task was cancelled: not wanted");
    })
    .unwrap();
}

#[test]
fn f1_a_task_has_a_name_and_a_location() {
    let mut el = any_loop();
    let (here, first) = (line!(), el.spawn(async {}));
    assert_eq!(first.name(), None);
    let first = first.named("first");
    assert_eq!(first.name().as_deref(), Some("first"));
    assert!(el.set_name(first.handle(), "renamed"));
    assert_eq!(first.name().as_deref(), Some("renamed"));
    let place = first.location().unwrap();
    assert_eq!((place.file(), place.line()), (file!(), here));
    let handle = first.handle();
    el.run_until_complete(async move {
        let (here, second) = (line!(), spawn(async { current_loop().unwrap().task() }));
        assert_eq!(second.location().map(|place| place.line()), Some(here));
        let (here, third) = (line!(), current_loop().unwrap().spawn(async {}));
        assert_eq!(third.location().map(|place| place.line()), Some(here));
        assert_eq!(second.handle(), second.await.unwrap().unwrap());
        first.await.unwrap();
    })
    .unwrap();
    assert!(!el.set_name(handle, "joined")); // A task that was joined is gone.
}

#[test]
fn f2_a_dropped_handle_detaches() {
    let mut el = any_loop();
    let ran = Rc::new(Cell::new(0));
    for detach in [drop::<Task<()>>, Task::detach] {
        let begun = ran.clone();
        detach(el.spawn(async move {
            yield_now().await;
            begun.set(begun.get() + 1);
        }));
    }
    let (begun, outer) = (ran.clone(), el.handle().clone());
    drop(el.spawn(async move {
        drop(outer.spawn(async move { begun.set(begun.get() + 1) }));
    }));
    el.run().unwrap();
    assert_eq!(ran.get(), 3);
}

#[test]
fn f2_the_future_is_dropped_before_the_joiner_is_woken() {
    for ending in ["result", "panic", "cancel"] {
        let mut el = any_loop();
        let seen = Seen::default();
        let noted = LogsDrop(seen.clone(), "dropped");
        let task = el.spawn(async move {
            let _noted = noted;
            match ending {
                "result" => yield_now().await,
                "panic" => panic!("on purpose"),
                _ => pending().await,
            }
        });
        let (joined, canceller) = (seen.clone(), el.handle().clone());
        let handle = task.handle();
        el.spawn(async move {
            let _ = task.await;
            joined.borrow_mut().push("joined");
        })
        .detach();
        if ending == "cancel" {
            el.call_soon(move |_, ()| assert!(canceller.cancel(handle)));
        }
        el.run().unwrap();
        assert_eq!(*seen.borrow(), ["dropped", "joined"], "{ending}");
    }
}

/// A waker of another executor is woken at once, so the future must already be dropped.
#[test]
fn f2_the_future_is_dropped_before_the_wake() {
    type Order = Arc<Mutex<Vec<&'static str>>>;
    struct NotesWake(Order);
    impl Wake for NotesWake {
        fn wake(self: Arc<NotesWake>) {
            self.0.lock().unwrap().push("woken");
        }
    }
    struct Dropped(Order);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("dropped");
        }
    }
    let (mut el, order) = (any_loop(), Order::default());
    let dropped = Dropped(order.clone());
    // Unlike an async block, it keeps its captures when it completes.
    let mut task = el.spawn(poll_fn(move |_| {
        let _dropped = &dropped;
        Poll::Ready(())
    }));
    let waker = Waker::from(Arc::new(NotesWake(order.clone())));
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    el.run().unwrap();
    assert_eq!(*order.lock().unwrap(), ["dropped", "woken"]);
}

/// Nothing in a task that is not `Send` leaves its thread, whatever thread ends the task (P102).
#[test]
fn f2_p102_a_future_is_dropped_on_its_own_thread() {
    struct Guard(thread::ThreadId, Rc<Cell<usize>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.0);
            self.1.set(self.1.get() + 1);
        }
    }
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let dropped = Rc::new(Cell::new(0));
        let guard = || Guard(thread::current().id(), dropped.clone());
        // The last waker of a waiting task, and of a finished one, is dropped on another thread.
        for over in [false, true] {
            let (inside, (send, wakers)) = (guard(), std::sync::mpsc::channel());
            el.spawn(async move {
                let _inside = inside;
                poll_fn(|cx| {
                    send.send(cx.waker().clone()).unwrap();
                    if over { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            })
            .detach();
            el.tick(None).unwrap();
            thread::spawn(move || drop(wakers.recv().unwrap())).join().unwrap();
            assert_eq!(dropped.get(), usize::from(over));
            dropped.set(0);
        }
        // The task is cancelled from another thread.
        let (inside, remote) = ((guard(), guard()), el.remote());
        let keep = el.spawn(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        let handle = keep.handle();
        thread::spawn(move || remote.call_soon(move |el, ()| _ = el.cancel(handle)).unwrap());
        while !keep.is_finished() {
            el.tick(None).unwrap();
        }
        assert_eq!(dropped.get(), 2);
        drop(el);
        assert_eq!(dropped.get(), 3); // The third is the one that waited for the dropped waker.
    });
}

#[test]
fn f4_a_cancelled_task_that_never_began_is_not_polled() {
    let mut el = any_loop();
    let seen = Seen::default();
    let noted = LogsDrop(seen.clone(), "dropped");
    let task = el.spawn(async move {
        noted.0.borrow_mut().push("polled");
        drop(noted);
    });
    assert!(task.cancel("first"));
    assert!(!task.cancel("second"));
    assert!(seen.borrow().is_empty()); // It is dropped at its next poll, not inside `cancel`.
    let error = el.run_until_complete(task).unwrap().unwrap_err();
    assert_eq!(reason(error), "first");
    assert_eq!(*seen.borrow(), ["dropped"]);
}

#[test]
fn f4_a_waiting_task_is_dropped_at_its_next_poll() {
    let mut el = any_loop();
    let seen = Seen::default();
    let noted = LogsDrop(seen.clone(), "dropped");
    let task = el.spawn(async move {
        let _noted = noted;
        pending::<()>().await;
    });
    el.tick(None).unwrap();
    assert!(el.cancel(task.handle()) && !el.cancel(task.handle()));
    assert!(!task.cancel("first reason wins"));
    assert!(seen.borrow().is_empty());
    assert_eq!(el.tick(None).unwrap(), 1);
    assert_eq!(*seen.borrow(), ["dropped"]);
    assert!(!task.cancel("too late") && task.is_finished());
    assert_eq!(reason(el.run_until_complete(task).unwrap().unwrap_err()), "cancelled");
}

/// A task that cancels itself, directly or through a neighbour, is never dropped inside its own
/// poll.
#[test]
fn f4_a_task_that_cancels_itself_is_dropped_after_its_poll() {
    for completes in [false, true] {
        let mut el = any_loop();
        let seen = Seen::default();
        let (noted, own) = (LogsDrop(seen.clone(), "dropped"), Rc::new(RefCell::new(None)));
        let itself: Rc<RefCell<Option<Task<u32>>>> = own.clone();
        *own.borrow_mut() = Some(el.spawn(async move {
            assert!(itself.borrow().as_ref().unwrap().cancel("by itself"));
            assert_eq!(itself.borrow().as_ref().unwrap().state(), TaskState::Running);
            noted.0.borrow_mut().push("goes on");
            if !completes {
                yield_now().await;
                noted.0.borrow_mut().push("never");
            }
            42
        }));
        el.run().unwrap();
        assert_eq!(*seen.borrow(), ["goes on", "dropped"]);
        let task = own.take().unwrap();
        match el.run_until_complete(task).unwrap() {
            Ok(output) => assert!(completes && output == 42), // A result that is ready wins.
            Err(error) => assert!(!completes && reason(error) == "by itself"),
        }
    }
}

#[test]
fn f4_a_ready_output_wins_over_a_cancellation() {
    let mut el = any_loop();
    let done = el.spawn(async { 42 });
    let stopped = el.spawn(async { pending().await });
    el.tick(None).unwrap();
    assert!(!done.cancel("too late") && !el.cancel(done.handle()));
    assert!(stopped.cancel("in time"));
    el.tick(None).unwrap();
    assert!(!stopped.cancel("twice"));
    let outputs = el.run_until_complete(async { (done.await, stopped.await) }).unwrap();
    assert_eq!(outputs.0.unwrap(), 42);
    assert_eq!(reason(Result::<(), _>::unwrap_err(outputs.1)), "in time");
}

#[test]
fn f4_a_second_cancel_during_the_drop_returns_false() {
    struct CancelsOnDrop(LoopHandle, Rc<Cell<Option<mainspring::Handle>>>, Seen);
    impl Drop for CancelsOnDrop {
        fn drop(&mut self) {
            assert!(!self.0.cancel(self.1.get().unwrap()));
            self.2.borrow_mut().push("dropped");
        }
    }
    let mut el = any_loop();
    let (seen, own) = (Seen::default(), Rc::new(Cell::new(None)));
    let cancels_on_drop = CancelsOnDrop(el.handle().clone(), own.clone(), seen.clone());
    let task = el.spawn(async move {
        let _meddler = cancels_on_drop;
        pending::<()>().await;
    });
    own.set(Some(task.handle()));
    el.tick(None).unwrap();
    assert!(task.cancel("once"));
    el.run().unwrap();
    assert_eq!(*seen.borrow(), ["dropped"]);
    assert_eq!(task.state(), TaskState::Done(TaskEnding::Cancelled));
}
