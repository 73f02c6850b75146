//! Counters (docs/contract.md, N1, N2).

use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mainspring::{Interest, Metrics, Signal, yield_now};

use crate::support::descriptors::{pair, readable};
use crate::support::network::{client, echo, listener};
use crate::support::{on_every_selector, simulated};

/// Returns the numbers by name.
fn numbers(metrics: &Metrics) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    metrics.visit(|name, value| all.push((name.to_owned(), value)));
    all
}

#[test]
fn n1_ticks_and_calls_count_what_ran() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        for _ in 0..5 {
            el.call_soon(|_, ()| {});
        }
        let cancelled = el.call_soon(|_, ()| {});
        assert!(el.cancel(cancelled));
        assert_eq!(el.tick(Some(Duration::ZERO)).unwrap(), 5);
        assert_eq!(el.tick(Some(Duration::ZERO)).unwrap(), 0);
        let metrics = el.metrics();
        assert_eq!((metrics.ticks(), metrics.calls(), metrics.ready_peak()), (2, 5, 6));
    });
}

#[test]
fn n1_a_poll_of_a_task_is_a_call() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        el.spawn(async {
            yield_now().await;
            yield_now().await;
        })
        .detach();
        el.run().unwrap();
        assert_eq!(el.metrics().calls(), 3);
    });
}

#[test]
fn n1_events_are_the_reports_of_the_selector() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = readable();
        let (idle, _peer) = pair();
        let busy = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        el.add_reader(idle, |_, (), _| Ok(())).unwrap();
        for _ in 0..3 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!((el.metrics().events(), el.metrics().calls()), (3, 3));
        el.set_interest(busy, Interest::empty()).unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(el.metrics().events(), 3);
    });
}

#[test]
fn n1_timers_and_signals_count_when_they_are_due() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        el.call_later(Duration::from_secs(1), |_, ran| *ran += 1);
        el.call_later(Duration::from_secs(2), |_, ran| *ran += 1);
        let cancelled = el.call_later(Duration::from_secs(2), |_, ran| *ran += 1);
        assert_eq!(el.metrics().timers(), 3);
        el.cancel(cancelled);
        let handler = el.add_signal_handler(Signal::USR2, |_, _| {}).unwrap();
        el.set_background(handler);
        Signal::USR2.raise().unwrap();
        el.run().unwrap();
        let metrics = el.metrics();
        assert_eq!((metrics.timers_run(), metrics.timers(), *el.state()), (2, 0, 2));
        assert_eq!(metrics.signals(), 1);
    });
}

#[test]
fn n1_messages_and_wakeups_of_other_threads() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let remote = el.remote();
        let send = move || {
            for _ in 0..10 {
                remote.call_soon(|_, ran| *ran += 1).unwrap();
            }
        };
        thread::spawn(send).join().unwrap();
        el.run().unwrap();
        assert_eq!((el.metrics().messages(), *el.state()), (10, 10));
        let wakeups = el.metrics().wakeups();
        assert!((1..=10).contains(&wakeups), "{wakeups}");
    });
}

#[test]
fn n1_accepted_connections_and_registrations() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (listener, address) = listener();
        let server = echo(&el, listener);
        let before = el.metrics().callbacks();
        let clients = [client(address), client(address)];
        while server.connections() < 2 {
            el.tick(None).unwrap();
        }
        let metrics = el.metrics();
        assert_eq!((metrics.accepted(), metrics.callbacks()), (2, before + 2));
        assert_eq!(metrics.descriptors(), 3, "two clients and the listener");
        el.spawn(std::future::pending::<()>()).detach();
        assert_eq!(el.metrics().tasks(), 1);
        drop(clients);
    });
}

/// A number is a counter if its name ends in `_total`.
#[test]
fn n1_counters_only_grow() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Cell::new(0));
        let (ours, mut theirs) = pair();
        el.add_reader(ours, |_, _, ours| (&**ours).read(&mut [0; 8]).map(drop).map_err(Into::into))
            .unwrap();
        let counters = |metrics: &Metrics| {
            let all = numbers(metrics).into_iter().filter(|(name, _)| name.ends_with("_total"));
            all.map(|(_, value)| value).collect::<Vec<f64>>()
        };
        let mut last = counters(&el.metrics());
        assert_eq!(last.len(), 22);
        for _ in 0..200 {
            theirs.write_all(b"x").unwrap();
            el.call_later(Duration::from_millis(1), |_, _| {});
            el.tick(None).unwrap();
            let now = counters(&el.metrics());
            assert!(last.iter().zip(&now).all(|(last, now)| last <= now), "{last:?} {now:?}");
            last = now;
        }
    });
}

#[test]
fn n2_numbers_are_read_while_a_callback_does_not_return() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        (0..3).for_each(|_| _ = el.call_soon(|_, ()| {}));
        el.tick(Some(Duration::ZERO)).unwrap();
        let metrics = el.metrics();
        let (ask, asked) = mpsc::channel();
        let (reply, answer) = mpsc::channel();
        let reader = thread::spawn(move || {
            asked.recv().unwrap();
            reply.send((metrics.ticks(), metrics.calls())).unwrap();
            metrics
        });
        // The callback returns only after the other thread has read.
        el.call_soon(move |_, ()| {
            ask.send(()).unwrap();
            assert_eq!(answer.recv().unwrap(), (2, 4), "with the callback that runs");
        });
        el.tick(Some(Duration::ZERO)).unwrap();
        let metrics = reader.join().unwrap();
        assert_eq!(metrics.calls(), 4);
        drop(el);
        assert_eq!(metrics.calls(), 4, "after the end of the loop");
    });
}

#[test]
fn n2_gauges_are_stored_by_the_loop_itself() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let metrics = el.metrics();
        el.call_later(Duration::from_secs(1000), |_, ()| {});
        assert_eq!(metrics.timers(), 0);
        for _ in 0..64 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!((metrics.timers(), metrics.callbacks()), (1, 1));
    });
}
