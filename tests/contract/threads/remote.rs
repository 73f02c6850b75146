//! `Remote`: which types may cross threads, and the calls of other threads (docs/contract.md, X1
//! and X2).

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mainspring::{Error, EventLoop, LoopHandle, PanicPolicy, Remote, ReportKind, WakeupKind};

use crate::support::selector::counted;
use crate::support::{cases, on_every_selector};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Compiles only for types that are neither `Send` nor `Sync`: for others the call below is
/// ambiguous.
trait Local<Which> {
    fn stays() {}
}
struct Sends;
struct Shares;
impl<T: ?Sized> Local<()> for T {}
impl<T: ?Sized + Send> Local<Sends> for T {}
impl<T: ?Sized + Sync> Local<Shares> for T {}

#[test]
fn x1_a_remote_is_send_and_sync_and_a_loop_is_not() {
    fn crosses<T: Send + Sync + Clone + 'static>() {}
    // The state type need not be `Send`: only the closures are sent.
    crosses::<Remote<Rc<()>>>();
    <EventLoop as Local<_>>::stays();
    <LoopHandle as Local<_>>::stays();
    <mainspring::Watched<std::fs::File> as Local<_>>::stays();
}

/// Next number of each thread.
type Expected = Vec<usize>;

const THREADS: usize = 8;
const BURSTS: usize = 40;
const BURST: usize = 250;

fn send_bursts(remote: &Remote<Expected>, thread: usize) {
    let (answer, answered) = mpsc::channel();
    for burst in 0..BURSTS {
        for i in burst * BURST..(burst + 1) * BURST {
            let send = remote.call_soon(move |_, expected: &mut Expected| {
                assert_eq!(expected[thread], i, "out of order");
                expected[thread] += 1;
            });
            send.unwrap();
        }
        // Now and then all threads wait for their answer, and the loop sleeps.
        let answer = answer.clone();
        remote.call_soon(move |_, _| answer.send(()).unwrap()).unwrap();
        answered.recv().unwrap();
    }
}

#[test]
fn x2_closures_of_a_thread_run_once_and_in_order() {
    on_every_selector(|kind| {
        for wakeup in WakeupKind::available().iter().filter(|kind| **kind != WakeupKind::UserEvent)
        {
            let builder = EventLoop::builder().selector(kind).wakeup(*wakeup).inbox_batch(100);
            let mut el = builder.build_with(vec![0; THREADS]).unwrap();
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let remote = el.remote();
                    thread::spawn(move || send_bursts(&remote, thread))
                })
                .collect();
            el.run().unwrap(); // Returns when the last remote is dropped.
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(*el.state(), [BURSTS * BURST; THREADS]);
        }
    });
}

/// Counts its drops.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends until the loop is closed. Returns the number of accepted closures. If the closing thread
/// gets no CPU time, the number stays below a limit.
fn send_until_closed(remote: &Remote<usize>, dropped: &Arc<AtomicUsize>) -> usize {
    const MANY: usize = 10_000;
    for taken in 0.. {
        while taken >= MANY && !remote.is_closed() {
            thread::yield_now();
        }
        let kept = Dropped(dropped.clone());
        match remote.call_soon(move |_, ran| drop((kept, *ran += 1))) {
            // Gives the loop CPU time, so that the inbox does not grow without limit.
            Ok(()) if taken % 64 == 0 => thread::yield_now(),
            Ok(()) => {}
            Err(Error::Closed) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the range has no end")
}

#[test]
fn x2_a_send_during_close_runs_or_is_dropped() {
    on_every_selector(|kind| {
        for round in 0..cases(300) {
            let mut el = EventLoop::builder().selector(kind).inbox_batch(8).build_with(0).unwrap();
            let dropped = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let (remote, dropped) = (el.remote(), dropped.clone());
                    thread::spawn(move || send_until_closed(&remote, &dropped))
                })
                .collect();
            for _ in 0..round % 5 {
                el.tick(None).unwrap();
            }
            el.close();
            let ran = *el.state();
            let taken: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            assert!(ran <= taken, "{ran} ran of {taken}");
            // All accepted closures, and the one that each thread got back.
            assert_eq!(dropped.load(Ordering::SeqCst), taken + 4);
        }
    });
}

#[test]
fn x2_closures_that_never_ran_are_dropped_with_the_loop() {
    on_every_selector(|kind| {
        let el = EventLoop::builder().selector(kind).build().unwrap();
        let (remote, alive) = (el.remote(), Arc::new(()));
        let kept = alive.clone();
        let sender = thread::spawn(move || {
            remote.call_soon(move |_, ()| drop(kept)).unwrap();
            remote
        });
        let remote = sender.join().unwrap();
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(el);
        assert_eq!(Arc::strong_count(&alive), 1);
        assert!(matches!(remote.call_soon(|_, ()| {}), Err(Error::Closed)));
    });
}

#[test]
fn x2_wakes_merge() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let builder = EventLoop::builder().selector(selector).wakeup(WakeupKind::UserEvent);
        let mut el = builder.build_with(0).unwrap();
        for round in 1..=3 {
            let remote = el.remote().background();
            let sender = thread::spawn(move || {
                (0..1000).for_each(|_| remote.call_soon(|_, ran| *ran += 1).unwrap());
            });
            sender.join().unwrap();
            assert_eq!(calls.wakes.swap(0, Ordering::SeqCst), 1);
            el.run().unwrap();
            assert_eq!(*el.state(), round * 1000);
        }
        // Dropping the last remote may wake the loop.
        assert!(calls.wakes.load(Ordering::SeqCst) <= 1);
    });
}

#[test]
fn x2_a_full_wakeup_still_wakes() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let builder = EventLoop::builder().selector(selector).wakeup(WakeupKind::Pipe);
        let mut el = builder.build_with(0).unwrap();
        let remote = el.remote();
        let wakeup = calls.registered.borrow()[0];
        let Ok(mut pipe) = OpenOptions::new().write(true).open(format!("/dev/fd/{wakeup}")) else {
            return println!("skipped: the write end of the pipe cannot be opened on this system");
        };
        mainspring_sys::fd::set_nonblocking(pipe.as_fd(), true).unwrap();
        let full = (0..).find_map(|_| pipe.write_all(&[1; 256]).err()).unwrap();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let sender = thread::spawn(move || remote.call_soon(|_, ran| *ran += 1).map(|()| remote));
        let remote = sender.join().unwrap().unwrap().background();
        el.tick(None).unwrap();
        assert_eq!(*el.state(), 1);
        for _ in 0..3 {
            el.tick(NOW).unwrap();
        }
        remote.call_soon(|_, ran| *ran += 1).unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
    });
}

#[test]
fn x2_a_failed_wake_is_an_error_and_the_closure_runs_in_the_next_tick() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let builder = EventLoop::builder().selector(selector).wakeup(WakeupKind::UserEvent);
        let mut el = builder.build_with(0).unwrap();
        let remote = el.remote();
        calls.wakes_fail.store(true, Ordering::SeqCst);
        assert!(matches!(remote.call_soon(|_, ran| *ran += 1), Err(Error::Wake(_))));
        el.call_soon(|_, _| {});
        assert_eq!(el.tick(NOW).unwrap(), 2);
        assert_eq!(*el.state(), 1);
        calls.wakes_fail.store(false, Ordering::SeqCst);
        remote.call_soon(|_, ran| *ran += 1).unwrap();
        drop(remote);
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
    });
}

/// Sends from another thread, and waits for that thread.
fn send_elsewhere(remote: &Remote<Vec<u32>>, numbers: std::ops::Range<u32>) {
    let send = || numbers.for_each(|i| remote.call_soon(move |_, ran| ran.push(i)).unwrap());
    thread::scope(|scope| scope.spawn(send).join().unwrap());
}

#[test]
fn x2_a_loop_that_is_awake_is_not_woken() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let builder = EventLoop::builder().selector(selector).wakeup(WakeupKind::UserEvent);
        let mut el = builder.build_with(Vec::new()).unwrap();
        let remote = el.remote().background();
        for round in 1..=3 {
            let (first, again) = (remote.clone(), remote.clone());
            let sent = first.call_soon(move |_, _| {
                send_elsewhere(&again, 0..500);
                again.call_soon(|_, ran: &mut Vec<u32>| ran.push(500)).unwrap();
            });
            sent.unwrap();
            assert_eq!(el.tick(None).unwrap(), 1);
            assert_eq!(el.tick(None).unwrap(), 501, "the loop does not sleep");
            assert_eq!(calls.wakes.load(Ordering::SeqCst), round);
            assert!(el.state_mut().drain(..).eq(0..=500));
            assert_eq!(el.next_deadline(), None, "the loop is idle");
        }
    });
}

#[test]
fn x2_a_panic_loses_no_message() {
    on_every_selector(|kind| {
        for batch in [1, 2, 1000] {
            let builder = EventLoop::builder().selector(kind).inbox_batch(batch);
            let mut el = builder.build_with(Vec::new()).unwrap();
            let remote = el.remote().background();
            let again = remote.clone();
            let panicking = move |_: &LoopHandle<_>, _: &mut _| -> () {
                send_elsewhere(&again, 2..5);
                panic!("on purpose");
            };
            remote.call_soon(panicking).unwrap();
            send_elsewhere(&remote, 0..2);
            let turn = panic::catch_unwind(AssertUnwindSafe(|| el.tick(None).unwrap()));
            turn.unwrap_err();
            while el.state().len() < 5 {
                assert!(el.next_deadline().is_some_and(|deadline| deadline <= el.now()));
                el.tick(None).unwrap();
            }
            assert_eq!(*el.state(), [0, 1, 2, 3, 4]);
        }
    });
}

/// A hook runs after the wakeup was reported and before the inbox is drained.
#[test]
fn x2_a_tick_ended_by_a_hook_leaves_the_wake_to_the_next_one() {
    on_every_selector(|kind| {
        for (wakeup, close) in
            WakeupKind::available().iter().flat_map(|it| [(it, false), (it, true)])
        {
            let builder = EventLoop::builder().selector(kind).wakeup(*wakeup);
            let Ok(mut el) = builder.build_with(Vec::new()) else { continue };
            el.on_check(|_, _| -> () { panic!("on purpose") }).unwrap();
            send_elsewhere(&el.remote().background(), 0..2);
            let turn = panic::catch_unwind(AssertUnwindSafe(|| el.tick(None).unwrap()));
            turn.unwrap_err();
            assert!(el.next_deadline().is_some(), "the messages are still queued");
            if close {
                el.close();
            } else {
                el.tick(NOW).unwrap();
                assert_eq!(*el.state(), [0, 1]);
            }
            assert_eq!(el.next_deadline(), None, "the loop is idle");
        }
    });
}

#[test]
fn x2_a_failure_is_reported_with_the_line_of_its_send() {
    for policy in [PanicPolicy::Report, PanicPolicy::Propagate] {
        let mut el = EventLoop::builder().build_with(Vec::new()).unwrap();
        el.set_panic_policy(policy);
        el.set_exception_handler(|_, lines, report| {
            lines.push((report.kind, report.location.line(), report.error.to_string()));
        });
        let remote = el.remote().background();
        let failing = |_: &LoopHandle<_>, _: &mut _| Err(Error::other("no luck"));
        let first = line!() + 1;
        remote.call_soon(failing).unwrap();
        remote.call_soon(|_, _| {}).unwrap();
        remote.call_soon(failing).unwrap();
        assert_eq!(el.tick(None).unwrap(), 3);
        let no_luck = |line| (ReportKind::Soon, line, "no luck".to_owned());
        assert_eq!(*el.state(), [no_luck(first), no_luck(first + 2)]);
    }
}

/// A sent closure has no handle, so `current` returns a handle that names nothing.
#[test]
fn x2_a_sent_closure_cannot_be_cancelled() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
        let remote = el.remote();
        el.spawn(std::future::pending::<()>()).detach();
        for _ in 0..3 {
            let sent = remote.call_soon(|el, ran| {
                let this = el.current().unwrap();
                assert!(!el.cancel(this) && !el.set_background(this) && !el.set_name(this, "sent"));
                *ran += 1;
            });
            sent.unwrap();
        }
        assert_eq!(el.tick(None).unwrap(), 4);
        assert_eq!(*el.state(), 3);
    });
}
