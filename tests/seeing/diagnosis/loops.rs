//! Loops that never sleep (docs/contract.md, E8).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, FlagKind, LoopHandle, SelectorKind, TriggerMode, sleep, yield_now};
use mainspring_sys::socket::AcceptQueue;

use super::{is_only, kinds, ticks};
use crate::support::descriptors::{hang_up, pair};
use crate::support::network::{client, short_dir};
use crate::support::{on_every_selector, simulated};

const US: Duration = Duration::from_micros(1);

/// Returns a loop after its first diagnosis, which begins the samples.
fn diagnosed(kind: SelectorKind) -> (EventLoop, SimClock) {
    let (el, clock) = simulated(kind, ());
    assert!(el.diagnose().is_healthy());
    (el, clock)
}

#[test]
fn e8_a_task_that_wakes_itself_is_found() {
    on_every_selector(|kind| {
        let (mut el, _clock) = diagnosed(kind);
        let line = line!() + 1;
        let task = el.spawn(async {
            loop {
                yield_now().await;
            }
        });
        el.set_name(task.handle(), "poller");
        task.detach();
        ticks(&mut el, 2000);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::BusyLoop, file!(), line), "{diagnosis}");
        assert!(diagnosis.flags()[0].place().unwrap().starts_with("task poller ("));
    });
}

fn again(el: &LoopHandle, (): &mut ()) {
    el.call_soon(again);
}

#[test]
fn e8_a_closure_that_queues_itself_is_found() {
    on_every_selector(|kind| {
        let (mut el, _clock) = diagnosed(kind);
        again(&el, &mut ());
        let line = line!() - 8;
        ticks(&mut el, 2000);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::BusyLoop, file!(), line), "{diagnosis}");
    });
}

fn arm_again(el: &LoopHandle, (): &mut ()) {
    el.call_later(Duration::ZERO, arm_again);
}

#[test]
fn e8_a_timer_that_is_always_due_is_found() {
    on_every_selector(|kind| {
        let (mut el, _clock) = diagnosed(kind);
        arm_again(&el, &mut ());
        let line = line!() - 8;
        ticks(&mut el, 2000);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::BusyLoop, file!(), line), "{diagnosis}");
        assert!(diagnosis.flags()[0].place().unwrap().starts_with("timer "));
    });
}

#[test]
fn e8_a_task_that_does_not_really_sleep_is_found() {
    on_every_selector(|kind| {
        let (mut el, clock) = diagnosed(kind);
        let line = line!() + 1;
        el.spawn(async {
            loop {
                sleep(Duration::from_nanos(1)).await;
            }
        })
        .detach();
        for _ in 0..2000 {
            clock.advance(Duration::from_nanos(1));
            el.tick(None).unwrap();
        }
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::BusyLoop, file!(), line), "{diagnosis}");
        assert_eq!(diagnosis.flags()[0].figures(), "runs in each tick, while nothing else happens");
    });
}

#[test]
fn e8_near_misses_of_busy_tasks_are_not_flagged() {
    on_every_selector(|kind| {
        // It works in each turn.
        let (mut el, clock) = diagnosed(kind);
        el.spawn(async move {
            loop {
                clock.advance(60 * US);
                yield_now().await;
            }
        })
        .detach();
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
        // It waits in between, but not at the time of a sample.
        let (mut el, _clock) = diagnosed(kind);
        el.spawn(async {
            for _ in 0..1500 {
                yield_now().await;
            }
        })
        .detach();
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
        // Too few ticks for a statement.
        let (mut el, _clock) = diagnosed(kind);
        again(&el, &mut ());
        ticks(&mut el, 900);
        let diagnosis = el.diagnose();
        assert_eq!(kinds(&diagnosis), []);
        assert!(diagnosis.unchecked().iter().any(|it| it.starts_with("busy loops ")));
    });
}

/// A closure that is queued because each tick has an event is busy with good reason.
#[test]
fn e8_a_task_under_load_is_not_flagged() {
    on_every_selector(|kind| {
        let (mut el, _clock) = diagnosed(kind);
        let (ours, mut theirs) = pair();
        el.add_reader(ours, |el, (), ours| {
            let _ = (&**ours).read(&mut [0; 8])?;
            el.call_soon(|_, ()| {});
            Ok(())
        })
        .unwrap();
        for _ in 0..2000 {
            theirs.write_all(b"x").unwrap();
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

/// Another thread wakes a task before each tick, and the task queues a closure.
#[test]
fn e8_a_task_that_a_thread_wakes_is_not_flagged() {
    on_every_selector(|kind| {
        let (mut el, _clock) = diagnosed(kind);
        let (send, wakers) = mpsc::channel::<Waker>();
        let (woken, is_woken) = mpsc::channel();
        let waking = thread::spawn(move || {
            for waker in wakers {
                waker.wake();
                woken.send(()).unwrap();
            }
        });
        let handle = el.handle().clone();
        let waits = poll_fn(move |cx| {
            handle.call_soon(|_, ()| {});
            send.send(cx.waker().clone()).unwrap();
            Poll::<()>::Pending
        });
        let task = el.spawn(waits);
        ticks(&mut el, 1);
        for _ in 0..2000 {
            is_woken.recv().unwrap();
            ticks(&mut el, 1);
        }
        assert_eq!(kinds(&el.diagnose()), []);
        drop((task, el));
        waking.join().unwrap();
    });
}

/// Returns a loop with a reader that calls `read`, after a first diagnosis.
fn reading(
    kind: SelectorKind,
    mode: TriggerMode,
    mut read: impl FnMut(&UnixStream) + 'static,
) -> (EventLoop, UnixStream, u32) {
    let (el, _clock) = simulated(kind, ());
    let (ours, theirs) = pair();
    let interest = mainspring::Interest::READABLE;
    let line = line!() + 1;
    el.watch_with_mode(ours, interest, mode, move |_, (), watched| Ok(read(watched))).unwrap();
    assert!(el.diagnose().is_healthy());
    (el, theirs, line)
}

#[test]
fn e8_a_descriptor_that_is_never_drained_is_found() {
    on_every_selector(|kind| {
        let (mut el, mut theirs, line) = reading(kind, TriggerMode::Level, |_| {});
        theirs.write_all(b"unread").unwrap();
        ticks(&mut el, 2000);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::UndrainedDescriptor, file!(), line), "{diagnosis}");
    });
}

#[test]
fn e8_a_descriptor_at_its_end_that_is_kept_is_found() {
    on_every_selector(|kind| {
        let read = |mut ours: &UnixStream| _ = ours.read(&mut [0; 64]);
        let (mut el, theirs, line) = reading(kind, TriggerMode::Level, read);
        hang_up(theirs);
        ticks(&mut el, 2000);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::UndrainedDescriptor, file!(), line), "{diagnosis}");
    });
}

#[test]
fn e8_near_misses_of_undrained_descriptors_are_not_flagged() {
    on_every_selector(|kind| {
        // One byte comes and goes in each tick.
        let read = |mut ours: &UnixStream| _ = ours.read(&mut [0; 64]).unwrap();
        let (mut el, mut theirs, _) = reading(kind, TriggerMode::Level, read);
        for _ in 0..2000 {
            theirs.write_all(b"x").unwrap();
            ticks(&mut el, 1);
        }
        assert_eq!(kinds(&el.diagnose()), []);
        // A long input is read piece by piece, and is ready in each tick.
        let (mut el, mut theirs, _) = reading(kind, TriggerMode::Level, |mut ours| {
            _ = ours.read(&mut [0; 8]).unwrap();
        });
        theirs.write_all(&[0; 20_000]).unwrap();
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
        // Datagrams of one length come and go, and one always waits.
        let (mut el, _clock) = simulated(kind, ());
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        el.add_reader(ours, |_, (), ours| Ok(_ = ours.recv(&mut [0; 8])?)).unwrap();
        assert!(el.diagnose().is_healthy());
        theirs.send(b"x").unwrap();
        for _ in 0..2000 {
            theirs.send(b"x").unwrap();
            ticks(&mut el, 1);
        }
        assert_eq!(kinds(&el.diagnose()), []);
        // A writer runs in each tick, and no input waits.
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        el.add_writer(ours, |_, (), _| Ok(())).unwrap();
        assert!(el.diagnose().is_healthy());
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
        // It is ready, and reported once.
        let (mut el, mut theirs, _) = reading(kind, TriggerMode::Oneshot, |_| {});
        theirs.write_all(b"unread").unwrap();
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

/// Clients come as fast as they are accepted, so that some always wait.
#[test]
fn e8_a_listener_under_load_is_not_flagged() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let path = short_dir().join(format!("e8-{}-{kind}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        el.add_reader(listener, |_, (), listener| Ok(_ = listener.accept()?)).unwrap();
        assert!(el.diagnose().is_healthy());
        let mut clients = VecDeque::from([UnixStream::connect(&path).unwrap()]);
        for _ in 0..1200 {
            clients.push_back(UnixStream::connect(&path).unwrap());
            ticks(&mut el, 1);
            clients.pop_front();
        }
        assert_eq!(kinds(&el.diagnose()), []);
        std::fs::remove_file(&path).unwrap();
        // A hundred wait. Two are accepted in 32 calls, one of which a sample checks.
        let (mut el, _clock) = simulated(kind, 0_u32);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        el.add_reader(listener, |_, calls, listener| {
            *calls += 1;
            if *calls % 32 < 2 {
                listener.accept()?;
            }
            Ok(())
        })
        .unwrap();
        assert!(el.diagnose().is_healthy());
        let _clients: Vec<_> = (0..100).map(|_| client(address)).collect();
        ticks(&mut el, 1200);
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

#[test]
fn e8_a_listener_that_never_accepts_is_found() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = client(listener.local_addr().unwrap());
        let line = line!() + 1;
        el.add_reader(listener, |_, (), _| Ok(())).unwrap();
        assert!(el.diagnose().is_healthy());
        ticks(&mut el, 2000);
        let diagnosis = el.diagnose();
        if AcceptQueue::IS_KNOWN {
            assert!(
                is_only(&diagnosis, FlagKind::UndrainedDescriptor, file!(), line),
                "{diagnosis}"
            );
        }
    });
}
