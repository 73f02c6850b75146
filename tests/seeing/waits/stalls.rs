//! Loops that nothing can wake (docs/contract.md, O12 and O13).

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{
    CancelScope, Clock, Error, EventLoop, Interest, Io, LoopHandle, SelectorKind, Shutdown, Signal,
    Stalled, as_completed, gather, promise, race_all, signal, sleep, spawn, timeout,
};

use super::recording;
use crate::support::descriptors::pair;
use crate::support::{loopback, on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

#[track_caller]
fn stalled<T: std::fmt::Debug>(ended: mainspring::Result<T>) -> Box<Stalled> {
    match ended {
        Err(Error::Stalled(stalled)) => stalled,
        other => panic!("{other:?}"),
    }
}

/// Two tasks, each of which waits for the other one.
fn deadlock(el: &EventLoop) {
    let (promise, promised) = promise::<()>();
    let first = el.spawn(async move { promised.await.unwrap() }).named("first");
    let second = el.spawn(async move {
        first.await.unwrap();
        promise.set_result(());
    });
    second.named("second").detach();
}

#[test]
fn o12_tasks_that_wait_for_each_other_end_a_run() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let line = line!() - 12;
        deadlock(&el);
        for _ in 0..2 {
            let stalled = stalled(el.run());
            let [first, second] = stalled.tasks() else { panic!("{stalled}") };
            assert_eq!((first.name(), second.name()), (Some("first"), Some("second")));
            assert_eq!(first.location().unwrap().line(), line);
            assert_eq!((first.joins(), second.joins()), (&[][..], &[0][..]));
            let place = |it: &mainspring::StalledTask| {
                (it.awaits()[0].call(), it.awaits()[0].location().line())
            };
            assert_eq!(place(first), ("promise", line));
            assert_eq!(place(second), ("task", line + 2));
        }
        let text = el.run().unwrap_err().to_string();
        let wanted = format!(
            "nothing can wake the loop, and 2 tasks wait: task 0 \"first\" spawned at \
             {file}:{line}:",
            file = file!()
        );
        assert!(text.starts_with(&wanted) && text.ends_with(", which is task 0"), "{text}");
        assert!(!text.contains('\n'));
    });
}

#[test]
fn o12_a_task_joins_another_one_by_its_index() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let first = el.spawn(pending::<()>());
        let second = el.spawn(async move { first.await.unwrap() });
        el.spawn(async move { second.await.unwrap() }).detach();
        let joins: Vec<_> =
            stalled(el.run()).tasks().iter().map(|task| task.joins().to_vec()).collect();
        assert_eq!(joins, [vec![], vec![0], vec![1]]);
    });
}

#[test]
fn o12_a_future_that_nothing_can_wake_ends_run_until_complete() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        assert_eq!(stalled(el.run_until_complete(pending::<()>())).tasks().len(), 1);
        let (promise, promised) = promise::<()>();
        stalled(el.run_until_complete(promised));
        assert!(promise.is_closed(), "the future was dropped");
        // The loop continues: what was stalled can be woken by code outside of the run.
        deadlock(&el);
        stalled(el.run_until_complete(pending::<()>()));
        el.run_until_complete(sleep(HOUR)).unwrap();
        stalled(el.run());
        let task = el.spawn(async {});
        el.run_until_complete(task).unwrap().unwrap();
    });
}

#[test]
fn o12_the_text_has_the_first_eight_tasks() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        for number in 0..10 {
            el.spawn(pending::<()>()).named(&format!("number {number}")).detach();
        }
        let text = stalled(el.run()).to_string();
        assert!(text.starts_with("10 tasks wait: task 0 \"number 0\" spawned at "), "{text}");
        assert!(text.contains("; task 7 ") && !text.contains("task 8 "), "{text}");
        assert!(text.ends_with("; and 2 more"), "{text}");
        // A task that is done, and was not joined, waits for nothing.
        let (mut el, _clock) = recording(kind);
        let done = el.spawn(async {});
        el.spawn(pending::<()>()).detach();
        let text = stalled(el.run()).to_string();
        assert!(text.starts_with("1 task waits: task 0 spawned at "), "{text}");
        drop(done);
    });
}

/// A stall that begins later is found when the loop would sleep.
#[test]
fn o12_a_stall_after_other_work_is_found() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        deadlock(&el);
        let (ours, theirs) = pair();
        el.add_reader(ours, |_, (), _| Err::<(), _>(Error::other("over"))).unwrap();
        el.set_exception_handler(|_, (), _| {});
        el.call_later(HOUR, move |_, ()| drop(theirs));
        stalled(el.run());
        assert_eq!(clock.elapsed(), HOUR);
    });
}

/// Regions keep the waker of the task around them. They do not hide a stall.
#[test]
fn o12_scopes_do_not_hide_a_stall() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let main = CancelScope::new().run(async {
            let (_promise, promised) = promise::<()>();
            CancelScope::new().run(promised).await
        });
        stalled(el.run_until_complete(main));
        let group = mainspring::TaskGroup::run(async |group| {
            group.spawn(pending::<mainspring::Result<()>>())?;
            Ok(())
        });
        stalled(el.run_until_complete(group));
    });
}

/// Neither do sets of tasks, and a shutdown.
#[test]
fn o12_sets_of_tasks_do_not_hide_a_stall() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let stuck = || [spawn(pending::<mainspring::Result<()>>())];
        stalled(el.run_until_complete(async { gather(stuck()).await }));
        stalled(el.run_until_complete(async { race_all(stuck()).await.map(drop) }));
        stalled(el.run_until_complete(async { as_completed(stuck()).next().await.map(drop) }));
        stalled(el.run_until_complete(Shutdown::new().started()));
    });
}

/// Runs the loop with a stuck task and `source`, which ends the run by a stop.
#[track_caller]
fn assert_runs(kind: SelectorKind, prepare: impl FnOnce(&mut EventLoop)) {
    let (mut el, _clock) = simulated(kind, ());
    deadlock(&el);
    prepare(&mut el);
    el.run().unwrap();
}

#[test]
fn o13_a_timer_can_wake_the_loop() {
    on_every_selector(|kind| {
        assert_runs(kind, |el| {
            let timer = el.call_later(HOUR, |el, ()| el.stop());
            el.set_background(timer);
        });
        assert_runs(kind, |el| {
            let handle = el.handle().clone();
            let task = el.spawn(async move {
                sleep(HOUR).await;
                handle.stop();
            });
            el.set_background(task.handle());
            task.detach();
        });
        assert_runs(kind, |el| {
            let handle = el.handle().clone();
            let clock = async move {
                mainspring::sleep_in_boot_time(HOUR).await;
                handle.stop();
            };
            el.spawn(clock).detach();
        });
        assert_runs(kind, |el| {
            let handle = el.handle().clone();
            let limit = async move {
                let _ = timeout(HOUR, pending::<()>()).await;
                handle.stop();
            };
            el.spawn(limit).detach();
        });
    });
}

#[test]
fn o13_a_descriptor_can_wake_the_loop() {
    on_every_selector(|kind| {
        assert_runs(kind, |el| {
            let (ours, theirs) = pair();
            let watcher = el.add_reader(ours, |el, (), _| Ok(el.stop())).unwrap();
            el.set_background(watcher);
            write_later(theirs);
        });
        assert_runs(kind, |el| {
            let (ours, theirs) = pair();
            let handle = el.handle().clone();
            let reader = async move {
                Io::new(ours).unwrap().readable().await.unwrap();
                handle.stop();
            };
            el.spawn(reader).detach();
            write_later(theirs);
        });
        // A descriptor that no code waits for cannot wake the loop.
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        let watcher = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        el.set_interest(watcher, Interest::empty()).unwrap();
        let (ours, _theirs) = pair();
        let idle = async move {
            let io = Io::new(ours).unwrap();
            let _ = CancelScope::new();
            poll_fn(|cx| {
                let _ = io.poll_ready(cx, Interest::WRITABLE);
                Poll::Ready(())
            })
            .await;
            pending::<()>().await;
            drop(io);
        };
        el.spawn(idle).detach();
        stalled(el.run());
    });
}

/// Writes from another thread, so that the loop sleeps first in most runs.
fn write_later(stream: std::os::unix::net::UnixStream) {
    thread::spawn(move || {
        thread::yield_now();
        std::io::Write::write_all(&mut &stream, b"x").unwrap();
    });
}

#[test]
fn o13_a_signal_can_wake_the_loop() {
    on_every_selector(|kind| {
        assert_runs(kind, |el| {
            let handler = el.add_signal_handler(Signal::USR1, |el, ()| el.stop()).unwrap();
            el.set_background(handler);
            thread::spawn(|| Signal::USR1.raise().unwrap());
        });
        let (mut el, _clock) = simulated(kind, ());
        let received = async {
            let mut usr1 = signal(Signal::USR1);
            let sender = poll_fn(|cx| {
                let _ = usr1.poll_recv(cx);
                Poll::Ready(thread::spawn(|| Signal::USR1.raise().unwrap()))
            });
            sender.await.join().unwrap();
            usr1.recv().await.unwrap()
        };
        el.run_until_complete(received).unwrap();
    });
}

#[test]
fn o13_a_process_or_a_job_can_wake_the_loop() {
    on_every_selector(|kind| {
        assert_runs(kind, |el| {
            let mut command = std::process::Command::new("true");
            let child = el.spawn_child(&mut command, |el, (), _| Ok(el.stop())).unwrap();
            el.set_background(child.handle().unwrap());
        });
        let (mut el, _clock) = simulated(kind, ());
        deadlock(&el);
        let done = el.run_until_complete(async {
            mainspring::spawn_blocking(|| thread::sleep(Duration::from_millis(1))).await.is_ok()
        });
        assert!(done.unwrap());
    });
}

#[test]
fn o13_a_process_that_a_task_awaits_can_wake_the_loop() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let status = el.run_until_complete(async {
            mainspring::process::Child::spawn(std::process::Command::new("true"))?.wait().await
        });
        assert!(status.unwrap().unwrap().success());
    });
}

/// A clock of the user that limits each sleep, and that stops the loop after one.
#[derive(Debug)]
struct Limited(SimClock, Rc<RefCell<Option<LoopHandle>>>);

impl Clock for Limited {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        self.0.max_wait(wanted.or(Some(HOUR)))
    }

    fn on_timeout(&self, _: Option<Duration>) {
        self.1.borrow().as_ref().inspect(|handle| handle.stop());
    }
}

#[test]
fn o13_a_clock_that_limits_each_sleep_can_wake_the_loop() {
    on_every_selector(|kind| {
        let handle = Rc::new(RefCell::new(None));
        let clock = Limited(SimClock::new(), handle.clone());
        let builder = EventLoop::builder().selector(loopback::selector(kind)).clock(clock);
        let mut el = builder.build().unwrap();
        handle.replace(Some(el.handle().clone()));
        deadlock(&el);
        el.run().unwrap();
        handle.replace(None);
    });
}

#[test]
fn o13_a_remote_can_wake_the_loop() {
    on_every_selector(|kind| {
        for background in [false, true] {
            assert_runs(kind, |el| {
                let remote = el.remote();
                let remote = if background { remote.background() } else { remote };
                thread::spawn(move || remote.stop().unwrap());
            });
        }
    });
}

/// A thread that keeps a waker may wake the task at any time. When it drops the waker unused, the
/// loop sleeps on; no event reports that.
#[test]
fn o13_a_waker_in_a_thread_can_wake_the_loop() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (send, receive) = mpsc::channel::<Waker>();
        let thread = thread::spawn(move || receive.recv().unwrap().wake());
        let mut sender = Some(send);
        let woken = el.run_until_complete(poll_fn(move |cx| match sender.take() {
            Some(send) => {
                send.send(cx.waker().clone()).unwrap();
                Poll::Pending
            }
            None => Poll::Ready(7),
        }));
        assert_eq!(woken.unwrap(), 7);
        thread.join().unwrap();
        // Without the waker nothing is left.
        stalled(el.run_until_complete(pending::<()>()));
    });
}

/// `tick`, `run_until_stalled` and `run_forever` do not return `Error::Stalled`.
#[test]
fn o13_other_runs_do_not_check() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        deadlock(&el);
        assert_eq!(el.tick(Some(Duration::ZERO)).unwrap(), 2);
        el.run_until_stalled().unwrap();
        el.stop();
        el.run_forever().unwrap();
        let remote = el.remote();
        thread::spawn(move || remote.stop().unwrap());
        el.run_forever().unwrap();
    });
}
