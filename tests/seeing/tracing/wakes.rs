//! The wakes of tasks as events (docs/contract.md, R11).

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io::Write;
use std::mem;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use mainspring::net::UnixStream;
use mainspring::{EventLoop, SelectorKind, promise, sleep, sleep_in_boot_time, spawn, yield_now};

use super::recorder::{Recorder, SpanRecord, Wants};
use super::traced;
use crate::support::loopback::deliver;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

/// Runs a task until it is done, and returns its span.
fn span_of<F>(kind: SelectorKind, body: impl FnOnce(&mut EventLoop) -> F) -> SpanRecord
where
    F: Future + 'static,
    F::Output: 'static,
{
    let recorder = Recorder::new(Wants::Everything);
    let (mut el, _clock) = simulated(kind, ());
    recorder.record(|| {
        let body = body(&mut el);
        let task = el.spawn(body).named("task");
        el.run_until_complete(task).unwrap().unwrap();
    });
    recorder.assert_all_closed();
    recorder.named("task")
}

#[test]
fn r11_each_wake_of_a_timer_a_descriptor_and_a_promise_is_an_event() {
    on_every_selector(|kind| {
        let timers = span_of(kind, |_| async {
            sleep(SECOND).await;
            sleep(SECOND).await;
        });
        assert_eq!((timers.wakes, timers.enters), ((2, 0), 3));
        let descriptor = span_of(kind, |el| {
            let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
            el.call_later(SECOND, move |_, _| {
                writer.write_all(b"x")?;
                deliver();
                Ok(())
            });
            async move { UnixStream::from_std(reader).unwrap().read_chunk().await.unwrap().len() }
        });
        assert_eq!((descriptor.wakes, descriptor.enters), ((1, 0), 2));
        let promised = span_of(kind, |el| {
            let (promise, promised) = promise();
            el.call_later(SECOND, move |_, _| promise.set_result(()));
            promised
        });
        assert_eq!((promised.wakes, promised.enters), ((1, 0), 2));
        assert_eq!(promised.woken_in, [0; 0], "a callback woke it");
    });
}

#[test]
fn r11_a_wake_is_recorded_inside_the_task_that_wakes() {
    on_every_selector(|kind| {
        let yielding = span_of(kind, |_| async {
            yield_now().await;
            yield_now().await;
        });
        assert_eq!((yielding.wakes, yielding.enters), ((0, 2), 3), "it wakes itself");
        let joining = span_of(kind, |_| async { spawn(async {}).await.unwrap() });
        assert_eq!((joining.wakes, joining.woken_in.len()), ((1, 0), 0), "the child is over");
        let promised = span_of(kind, |_| async {
            let (promise, promised) = promise();
            let other = spawn(async { promise.set_result(()) });
            promised.await.unwrap();
            other.await.unwrap();
        });
        assert_eq!(promised.woken_in.len(), 1, "the other task woke it");
    });
}

#[test]
fn r11_a_wake_of_another_thread_is_recorded_by_the_loop() {
    on_every_selector(|kind| {
        let span = span_of(kind, |_| {
            let mut is_woken = false;
            poll_fn(move |cx| {
                if mem::replace(&mut is_woken, true) {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread::spawn(move || waker.wake()).join().unwrap();
                Poll::Pending
            })
        });
        assert_eq!((span.wakes, span.enters), ((1, 0), 2));
    });
}

#[test]
fn r11_a_task_that_nothing_can_wake_has_no_waker() {
    traced(|recorder, mut el| {
        el.spawn(pending::<()>()).named("lost").detach();
        el.spawn(sleep(SECOND)).named("timer").detach();
        el.spawn(sleep_in_boot_time(SECOND)).named("boot").detach();
        let kept = RefCell::new(None);
        let keeps = poll_fn(move |cx| {
            kept.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        });
        el.spawn(keeps).named("keeps").detach();
        let (promise, promised) = promise::<()>();
        el.spawn(promised).named("promise").detach();
        tick(&mut el);
        assert_eq!(recorder.named("lost").wakers, (0, 0));
        for name in ["timer", "boot", "keeps", "promise"] {
            assert_eq!(recorder.named(name).wakers, (1, 0), "{name}");
        }
        drop((el, promise));
    });
}

/// A task without a span leaves its key with a timer in the same tick.
#[test]
fn r11_the_waker_of_another_task_is_not_recorded() {
    on_every_selector(|kind| {
        let recorder = Recorder::new(Wants::Everything);
        let (mut el, _clock) = simulated(kind, ());
        el.spawn(async {
            yield_now().await;
            sleep(SECOND).await;
        })
        .detach();
        tick(&mut el);
        recorder.record(|| {
            el.spawn(pending::<()>()).named("before").detach();
            tick(&mut el);
            el.spawn(pending::<()>()).named("lost").detach();
            tick(&mut el);
            for name in ["before", "lost"] {
                assert_eq!(recorder.named(name).wakers, (0, 0), "{name}");
            }
            drop(el);
        });
        recorder.assert_all_closed();
    });
}
