//! Tasks that other threads spawn, await, join and cancel (docs/contract.md, X2 and F4).

use std::cell::Cell;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use mainspring::{Error, EventLoop, JoinError, Remote, RemoteTask, ReportKind, sleep, yield_now};

use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

fn reason(error: &JoinError) -> String {
    match error {
        JoinError::Cancelled(reason) => reason.to_string(),
        other => panic!("{other}"),
    }
}

/// Runs `work` in another thread with a remote, while this thread runs the loop.
fn in_thread<T: Send + 'static>(
    el: &mut EventLoop<()>,
    work: impl FnOnce(&Remote) -> T + Send + 'static,
) -> T {
    let remote = el.remote();
    let worker = thread::spawn(move || work(&remote));
    el.run().unwrap();
    worker.join().unwrap()
}

#[test]
fn x2_a_task_can_be_joined_and_awaited_by_another_thread() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let here = thread::current().id();
        let outputs = in_thread(&mut el, move |remote| {
            let slow = remote.spawn_with(move || async move {
                sleep(Duration::from_secs(3600)).await;
                assert_eq!(thread::current().id(), here);
                1
            });
            let made = remote.spawn_with(move || {
                assert_eq!(thread::current().id(), here);
                let local = Rc::new(Cell::new(1));
                async move {
                    yield_now().await;
                    local.set(local.get() + 1);
                    local.get()
                }
            });
            let (slow, made) = (slow.unwrap(), made.unwrap());
            let fails: RemoteTask<()> = remote.spawn(async { panic!("on purpose") }).unwrap();
            let error: JoinError = fails.join().unwrap_err();
            (slow.join().unwrap(), block_on(made).unwrap(), error.to_string())
        });
        assert_eq!(outputs, (1, 2, "the task panicked: on purpose".to_owned()));
    });
}

#[test]
fn f4_a_task_can_be_cancelled_by_another_thread() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let dropped = Arc::new(AtomicBool::new(false));
        struct LogsDrop(Arc<AtomicBool>, thread::ThreadId);
        impl Drop for LogsDrop {
            fn drop(&mut self) {
                assert_eq!(thread::current().id(), self.1);
                self.0.store(true, Ordering::Release);
            }
        }
        let noted = LogsDrop(dropped.clone(), thread::current().id());
        in_thread(&mut el, move |remote| {
            let (started, starts) = mpsc::channel();
            let task: RemoteTask<()> = remote
                .spawn(async move {
                    let _noted = noted;
                    started.send(()).unwrap();
                    pending().await
                })
                .unwrap();
            starts.recv().unwrap();
            assert!(!task.is_finished());
            task.cancel("from another thread");
            assert_eq!(reason(&task.join().unwrap_err()), "from another thread");
            assert!(dropped.load(Ordering::Acquire), "the future is dropped before join returns");
        });
    });
}

/// Both cancellations come before the loop runs, and the first reason wins. An output that is ready
/// wins too.
#[test]
fn f4_the_first_reason_of_another_thread_wins() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let begun = Arc::new(AtomicUsize::new(0));
        let begins = begun.clone();
        let waits = async move {
            begins.fetch_add(1, Ordering::Relaxed);
            pending::<()>().await;
        };
        let task = el.remote().spawn(waits).unwrap();
        task.cancel("first");
        task.cancel("second");
        el.run_until_stalled().unwrap();
        task.cancel("third");
        el.run_until_stalled().unwrap();
        assert!(task.is_finished());
        assert_eq!(reason(&task.join().unwrap_err()), "first");
        let done = el.remote().spawn(async { 42 }).unwrap();
        el.run_until_stalled().unwrap();
        done.cancel("too late");
        el.run_until_stalled().unwrap();
        assert_eq!(done.join().unwrap(), 42);
    });
}

#[test]
fn q8_the_end_of_a_loop_ends_tasks_of_other_threads() {
    on_every_selector(|kind| {
        for started in [false, true] {
            let (mut el, _) = simulated(kind, ());
            let alive = Arc::new(());
            let inside = alive.clone();
            let task = el.remote().spawn(async move {
                let _inside = inside;
                pending::<()>().await;
            });
            let task = task.unwrap();
            if started {
                el.run_until_stalled().unwrap();
            }
            let waits = thread::spawn(move || task.join());
            let remote = el.remote();
            drop(el);
            let error = waits.join().unwrap().unwrap_err();
            assert_eq!(reason(&error), "the loop is closed");
            assert_eq!(Arc::strong_count(&alive), 1);
            let inside = alive.clone();
            let refused = remote.spawn(async move { drop(inside) });
            assert!(matches!(refused, Err(Error::Closed)));
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    });
}

#[test]
fn f2_a_handle_dropped_by_another_thread_detaches() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        in_thread(&mut el, move |remote| {
            for detach in [drop::<RemoteTask<()>>, RemoteTask::detach] {
                let count = count.clone();
                let task = remote.spawn_with(move || async move {
                    sleep(Duration::from_secs(1)).await;
                    count.fetch_add(1, Ordering::Relaxed);
                });
                detach(task.unwrap());
            }
        });
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

/// The report names the line of the spawn in the other thread.
#[test]
fn f8_a_failure_that_no_thread_joins_is_reported() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        el.set_exception_handler(|_, reports: &mut Vec<_>, report| {
            assert_eq!((report.kind, report.location.file()), (ReportKind::Task, file!()));
            reports.push((report.location.line(), report.error.to_string()));
        });
        let remote = el.remote();
        let spawned = line!() + 1;
        remote.spawn::<_>(async { panic!("unheard") }).map(RemoteTask::<()>::detach).unwrap();
        let failed = line!() + 1;
        remote.spawn(async { Err::<(), _>(Error::other("no luck")) }).unwrap().detach();
        let made = line!() + 1;
        let task = remote.spawn_with(|| match () {
            () if true => panic!("not created"),
            () => async {},
        });
        el.run_until_stalled().unwrap();
        let error = task.unwrap().join().unwrap_err();
        assert_eq!(error.to_string(), "the task panicked: not created", "line {made}");
        let reports = [(spawned, "panicked: unheard"), (failed, "no luck")];
        assert_eq!(*el.state(), reports.map(|(line, text)| (line, text.to_owned())));
    });
}

/// The drop of the handle, which follows, does not detach the task again.
#[test]
fn f8_an_error_that_is_discarded_is_not_reported() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        el.set_exception_handler(|_, reports: &mut Vec<_>, report| {
            reports.push((report.error.to_string(), report.name.as_deref().map(str::to_owned)));
        });
        let failing =
            || el.remote().spawn(async { Err::<(), _>(Error::other("no luck")) }).unwrap();
        failing().detach_discarding();
        failing().detach();
        tick(&mut el);
        let tasks = el.snapshot();
        let handles = tasks.entries().iter().filter_map(|entry| entry.handle());
        handles.for_each(|handle| _ = el.set_name(handle, "from afar"));
        el.run_until_stalled().unwrap();
        assert_eq!(*el.state(), [("no luck".to_owned(), Some("from afar".to_owned()))]);
    });
}

/// A task awaits a task of a loop in another thread.
#[test]
fn x2_a_task_awaits_a_task_of_another_loop() {
    on_every_selector(|kind| {
        let (mut one, _) = simulated(kind, ());
        let (mut two, _) = simulated(kind, ());
        let remote = one.remote();
        let (send, remotes) = mpsc::channel();
        let other = thread::spawn(move || {
            let (mut el, _) = simulated(kind, ());
            send.send(el.remote()).unwrap();
            el.run().unwrap();
        });
        let there = remotes.recv().unwrap();
        let task = two.spawn(async move {
            let mut sum = 0;
            for i in 0..20 {
                let mut task = there.spawn(async move {
                    yield_now().await;
                    i
                });
                sum += Pin::new(task.as_mut().unwrap()).await.unwrap();
            }
            sum
        });
        assert_eq!(two.run_until_complete(task).unwrap().unwrap(), 190);
        drop(remote);
        one.run().unwrap();
        other.join().unwrap();
    });
}

/// A second await of a task returns an error, because the output was taken. So does a join.
#[test]
fn f1_a_remote_task_stays_done_when_its_output_is_taken() {
    let mut el = EventLoop::new().unwrap();
    let (first, others, finished) = in_thread(&mut el, |remote| {
        let mut task = remote.spawn(async { 42 }).unwrap();
        let (first, second) = (block_on(&mut task), block_on(&mut task));
        let finished = task.is_finished();
        (first, [second, task.join()], finished)
    });
    assert_eq!(first.unwrap(), 42);
    for other in others {
        assert_eq!(reason(&other.unwrap_err()), "its output was returned before");
    }
    assert!(finished);
}
