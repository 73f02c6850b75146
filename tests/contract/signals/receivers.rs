//! Signals for tasks, their number and their sender (docs/contract.md, X9 and X10).
//!
//! Signals belong to the process, so each test runs in its own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, id};
use std::time::Duration;

use mainspring::{
    Error, SelectorKind, Signal, SignalInfo, SignalOrigin, SignalReceiver, race, signal, sleep,
    spawn, yield_now,
};

use crate::support::process::{alone, alone_as};
use crate::support::ticks::{tick, wait_until};
use crate::support::{cases, on_every_selector, simulated};

/// Runs the body of a test on every selector, in its own process.
fn on_each(name: &str, check: impl FnMut(SelectorKind)) {
    alone(name, || on_every_selector(check));
}

#[test]
fn x9_a_task_receives_signals_without_a_handle() {
    on_each("signals::receivers::x9_a_task_receives_signals_without_a_handle", |kind| {
        let (mut el, _clock) = simulated(kind, ());
        let sent = el.run_until_complete(async {
            let waiting = spawn(async { signal(Signal::USR1).await.unwrap().signal() });
            yield_now().await;
            Signal::USR1.raise().unwrap();
            waiting.await.unwrap()
        });
        assert_eq!(sent.unwrap(), Signal::USR1);
    });
}

/// Signals before the first await, between two awaits, and during a wait that is cancelled.
#[test]
fn x9_no_signal_is_lost_between_awaits() {
    on_each("signals::receivers::x9_no_signal_is_lost_between_awaits", |kind| {
        let (mut el, _clock) = simulated(kind, ());
        let counts = el.run_until_complete(async {
            let mut receiver = signal(Signal::USR1);
            let mut counts = Vec::new();
            Signal::USR1.raise().unwrap();
            counts.push(receiver.recv().await.unwrap().count());
            for _ in 0..2 {
                Signal::USR1.raise().unwrap();
                sleep(Duration::from_secs(1)).await;
            }
            counts.push(receiver.recv().await.unwrap().count());
            assert_eq!(receiver.try_recv(), None);
            // The sleep wins, so the wait is dropped. The signal comes later.
            race(sleep(Duration::ZERO), async { _ = receiver.recv().await }).await;
            Signal::USR1.raise().unwrap();
            counts.push(receiver.recv().await.unwrap().count());
            counts
        });
        assert_eq!(counts.unwrap(), [1, 2, 1]);
    });
}

#[test]
fn x9_each_receiver_and_each_handler_gets_the_signal() {
    on_each("signals::receivers::x9_each_receiver_and_each_handler_gets_the_signal", |kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (mut other, _clock) = simulated(kind, 0);
        for el in [&el, &other] {
            let handler = |_: &_, calls: &mut i32| *calls += 1;
            let handler = el.add_signal_handler(Signal::USR1, handler).unwrap();
            el.set_background(handler);
        }
        let received = el.run_until_complete(async {
            let (mut one, mut two) = (signal(Signal::USR1), signal(Signal::USR1));
            Signal::USR1.raise().unwrap();
            (one.recv().await.unwrap().count(), two.recv().await.unwrap().count())
        });
        tick(&mut other);
        assert_eq!((received.unwrap(), *el.state(), *other.state()), ((1, 1), 1, 1));
    });
}

/// A loop over `recv`, under a storm from another process: the counts add up.
#[test]
fn x10_counts_add_up_under_a_storm() {
    on_each("signals::receivers::x10_counts_add_up_under_a_storm", |kind| {
        let (mut el, _clock) = simulated(kind, ());
        let rounds = cases(200);
        let total = el.run_until_complete(async move {
            let mut receiver = signal(Signal::USR2);
            let mut total = 0;
            for round in 0..rounds {
                for _ in 0..=round % 5 {
                    Signal::USR2.raise().unwrap(); // Delivered before it returns: never merged.
                }
                total += receiver.recv().await.unwrap().count();
            }
            assert_eq!(receiver.try_recv(), None);
            total
        });
        assert_eq!(total.unwrap(), (0..rounds).map(|round| round % 5 + 1).sum::<u32>());
    });
}

#[test]
fn x9_the_last_drop_restores_the_disposition() {
    let name = "signals::receivers::x9_the_last_drop_restores_the_disposition";
    let check = || {
        let (mut el, _clock) = simulated(SelectorKind::available()[0], ());
        let drop_last = async {
            let (one, mut two) = (signal(Signal::USR1), signal(Signal::USR1));
            drop(one);
            Signal::USR1.raise().unwrap();
            two.recv().await.unwrap();
            drop(two);
            Signal::USR1.raise().unwrap();
            println!("not reached");
        };
        el.run_until_complete(drop_last).unwrap();
    };
    if let Some(output) = alone_as(name, check, |child| child) {
        assert_eq!(output.status.signal(), Some(Signal::USR1.raw()));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("not reached"));
    }
}

#[test]
fn x9_errors_are_results_of_each_await() {
    on_each("signals::receivers::x9_errors_are_results_of_each_await", |kind| {
        let (mut el, _clock) = simulated(kind, ());
        let of = |result: mainspring::Result<SignalInfo>| result.unwrap_err().to_string();
        let errors = el.run_until_complete(async {
            let mut kill = signal(Signal::KILL);
            (of(kill.recv().await), of(kill.recv().await))
        });
        let (first, second) = errors.unwrap();
        assert_eq!(first, second);
        assert!(first.contains("SIGKILL"), "{first}");
        let mut kept = el
            .run_until_complete(std::future::poll_fn(|_| {
                std::task::Poll::Ready(signal(Signal::USR1))
            }))
            .unwrap();
        drop(el);
        let polled = futures::executor::block_on(kept.recv());
        assert!(matches!(polled, Err(Error::Closed)), "{polled:?}");
        let mut outside: SignalReceiver = signal(Signal::USR1);
        let polled = futures::executor::block_on(outside.recv());
        assert!(matches!(polled, Err(Error::NoLoop { .. })), "{polled:?}");
    });
}

#[test]
fn x10_the_sender_is_a_process_and_its_user() {
    on_each("signals::receivers::x10_the_sender_is_a_process_and_its_user", |kind| {
        let (mut el, _clock) = simulated(kind, None);
        el.add_signal_handler(Signal::USR1, |el, info: &mut Option<SignalInfo>| {
            *info = el.latest_signal(Signal::USR1);
            el.stop();
        })
        .unwrap();
        assert_eq!(el.latest_signal(Signal::USR1), None);
        let script = format!("kill -USR1 {}; echo $$", id());
        let sender = Command::new("sh").args(["-c", &script]).output().unwrap();
        let pid = String::from_utf8(sender.stdout).unwrap().trim().parse::<u32>().unwrap();
        el.run_forever().unwrap();
        let info = el.state().unwrap();
        assert_eq!((info.signal(), info.count()), (Signal::USR1, 1));
        let uid = rustix::process::getuid().as_raw();
        let known = SignalOrigin::Process { pid, uid };
        assert!([known, SignalOrigin::Unknown].contains(&info.origin()), "{info:?}");
        let is_linux_like = std::path::Path::new("/proc/self/stat").exists();
        assert!(!is_linux_like || info.origin() == known, "{info:?}");
    });
}

/// A signal of another process, and then one of this process: one delivery, with the last sender.
#[test]
fn x10_a_delivery_has_its_last_sender() {
    on_each("signals::receivers::x10_a_delivery_has_its_last_sender", |kind| {
        // A signal handler runs through the loops in the order of their age, or against it. The
        // one in the middle has the signal when the outer ones have it.
        let mut loops = [(); 3].map(|()| simulated(kind, 0).0);
        for el in &loops {
            el.add_signal_handler(Signal::USR1, |_, calls: &mut u32| *calls += 1).unwrap();
        }
        let script = format!("kill -USR1 {}", id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        for outer in [0, 2] {
            wait_until(&mut loops[outer], |el| *el.state() == 1);
        }
        Signal::USR1.raise().unwrap();
        tick(&mut loops[1]);
        assert_eq!(*loops[1].state(), 1);
        let info = loops[1].latest_signal(Signal::USR1).unwrap();
        assert_eq!(info.count(), 2);
        let uid = rustix::process::getuid().as_raw();
        let this = SignalOrigin::Process { pid: id(), uid };
        assert!([this, SignalOrigin::Unknown].contains(&info.origin()), "{info:?}");
    });
}

/// Two deliveries that a receiver has not read: the counts are added, and the last sender remains.
#[test]
fn x10_deliveries_that_were_not_read_are_added() {
    on_each("signals::receivers::x10_deliveries_that_were_not_read_are_added", |kind| {
        let (mut el, _clock) = simulated(kind, 0);
        el.add_signal_handler(Signal::USR1, |_, calls: &mut u32| *calls += 1).unwrap();
        let mut receiver = signal(Signal::USR1);
        el.run_until_complete(std::future::poll_fn(|cx| {
            assert!(receiver.poll_recv(cx).is_pending()); // It has a loop from here on.
            std::task::Poll::Ready(())
        }))
        .unwrap();
        let script = format!("kill -USR1 {}", id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        wait_until(&mut el, |el| *el.state() == 1);
        (0..2).for_each(|_| Signal::USR1.raise().unwrap());
        tick(&mut el);
        let info = receiver.try_recv().unwrap();
        assert_eq!((info.count(), *el.state()), (3, 2));
        let uid = rustix::process::getuid().as_raw();
        let this = SignalOrigin::Process { pid: id(), uid };
        assert!([this, SignalOrigin::Unknown].contains(&info.origin()), "{info:?}");
        assert_eq!(receiver.try_recv(), None);
    });
}

/// A signal that no handler has seen is not counted for a later handler.
#[test]
fn x10_a_new_handler_counts_from_its_registration() {
    on_each("signals::receivers::x10_a_new_handler_counts_from_its_registration", |kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let add = |el: &mainspring::EventLoop<u32>| {
            el.add_signal_handler(Signal::USR1, |_, calls: &mut u32| *calls += 1).unwrap()
        };
        let former = add(&el);
        Signal::USR1.raise().unwrap();
        assert!(el.cancel(former));
        add(&el);
        tick(&mut el);
        assert_eq!((*el.state(), el.latest_signal(Signal::USR1)), (0, None));
        Signal::USR1.raise().unwrap();
        tick(&mut el);
        assert_eq!((*el.state(), el.latest_signal(Signal::USR1).unwrap().count()), (1, 1));
    });
}

/// Many senders at once: each report is of one of them.
#[test]
fn x10_senders_are_never_mixed() {
    on_each("signals::receivers::x10_senders_are_never_mixed", |kind| {
        let (mut el, _clock) = simulated(kind, ());
        let script = format!("n=0; while [ $n -lt 40 ]; do kill -USR1 {}; n=$((n+1)); done", id());
        let origins = el.run_until_complete(async move {
            let mut receiver = signal(Signal::USR1);
            let mut senders: Vec<_> =
                (0..4).map(|_| Command::new("sh").args(["-c", &script]).spawn().unwrap()).collect();
            let pids: Vec<_> = senders.iter().map(|child| child.id()).collect();
            let mut origins = Vec::new();
            while senders.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
                yield_now().await;
                origins.extend(receiver.try_recv().map(|info| info.origin()));
            }
            (origins, pids, receiver)
        });
        let (origins, pids, receiver) = origins.unwrap();
        // The last signal may be on its way to another thread, where the default action would end
        // the process. So the handler stays.
        std::mem::forget((el, receiver));
        let uid = rustix::process::getuid().as_raw();
        for origin in origins {
            let is_one = |pid: &u32| origin == SignalOrigin::Process { pid: *pid, uid };
            assert!(origin == SignalOrigin::Unknown || pids.iter().any(is_one), "{origin:?}");
        }
    });
}
