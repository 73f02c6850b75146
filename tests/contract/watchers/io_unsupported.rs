//! `Io` where something is unsupported or missing: priority data, the loop, or the interest
//! (docs/contract.md, W5 and W10).

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mainspring::{Interest, Io, Readiness, SelectorKind};
use rustix::io::Errno;

use crate::support::descriptors::{hang_up, pair};
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;
const PRIORITY: Interest = Interest::PRIORITY;

/// If the selector does not support priority data, the source is registered without it.
#[test]
fn w10_io_works_without_priority_data() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (ours, mut theirs) = pair();
        let io = Rc::new(Io::with_interest(ours, READ | PRIORITY).unwrap());
        log.refuse_next(Errno::NOSYS);
        let reading = el.spawn({
            let io = io.clone();
            async move { io.read(&mut [0; 8]).await }
        });
        tick(&mut el);
        let calls = log.take();
        let [Call::Register(first, asked), Call::Register(second, READ)] = calls[..] else {
            panic!("{calls:?}")
        };
        assert_eq!((first, asked), (second, READ | PRIORITY));
        theirs.write_all(b"data").unwrap();
        let read = el.run_until_complete(reading).unwrap().unwrap().unwrap();
        assert_eq!(read, 4);
        let refused = el.run_until_complete(async move { io.ready(PRIORITY).await }).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

/// After the close, neither an earlier nor a new wait stays pending.
#[test]
fn q8_io_polled_after_the_loop_was_closed_is_an_error() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        let io = Rc::new(Io::new(ours).unwrap());
        let read = || {
            let io = io.clone();
            Box::pin(async move { io.read(&mut [0; 8]).await })
        };
        let mut begun = read();
        let mut ready = pin!(io.readable());
        el.run_until_complete(std::future::poll_fn(|cx| {
            assert!(begun.as_mut().poll(cx).is_pending());
            assert!(ready.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }))
        .unwrap();
        el.close();
        let mut cx = Context::from_waker(Waker::noop());
        for mut future in [begun, read()] {
            let Poll::Ready(Err(error)) = future.as_mut().poll(&mut cx) else {
                panic!("the wait is pending without a loop")
            };
            assert_eq!(error.kind(), ErrorKind::Other, "{error}");
        }
        assert!(matches!(ready.as_mut().poll(&mut cx), Poll::Ready(Err(_))));
    });
}

/// A task can wait for the peer's end while it reads nothing. Data does not wake it.
#[test]
fn w10_a_task_can_wait_for_the_end_only() {
    on_every_selector(|kind| {
        if kind == SelectorKind::Kqueue {
            return; // A kqueue reports the end with the last byte.
        }
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let io = Rc::new(Io::new(ours).unwrap());
        let ending = el.spawn({
            let io = io.clone();
            async move { io.ready(Interest::READ_CLOSED).await }
        });
        theirs.write_all(b"unread").unwrap();
        (0..3).for_each(|_| _ = tick(&mut el));
        assert!(!ending.is_finished(), "data woke the waiter");
        theirs.shutdown(Shutdown::Write).unwrap();
        (0..3).for_each(|_| _ = tick(&mut el));
        assert!(ending.is_finished());
        let ready_end = el.run_until_complete(ending).unwrap().unwrap().unwrap();
        assert!(ready_end.contains(Readiness::READ_CLOSED), "{ready_end:?}");
    });
}

/// The same for a callback that pauses reading.
#[test]
fn w10_a_watcher_can_wait_for_the_end_only() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let (ours, mut theirs) = pair();
        let watched = el.watch(ours, Interest::READ_CLOSED, |_, seen: &mut Vec<_>, socket| {
            seen.push(socket.readiness().contains(Readiness::HANGUP));
            if socket.interest() == READ {
                let mut buffer = [0; 8];
                assert_eq!(socket.read(&mut buffer)?, 6);
                socket.cancel();
                return Ok(());
            }
            socket.set_interest(READ)
        });
        if kind == SelectorKind::Kqueue {
            let refused = watched.unwrap_err();
            assert!(refused.to_string().starts_with("cannot watch fd "), "{refused}");
            return;
        }
        theirs.write_all(b"unread").unwrap();
        assert_eq!((tick(&mut el), tick(&mut el)), (0, 0), "data woke the waiter");
        crate::support::descriptors::hang_up(theirs);
        assert_eq!((tick(&mut el), tick(&mut el), tick(&mut el)), (1, 1, 0));
        assert_eq!(el.state()[..], [true, true]);
        assert!(!el.is_alive());
    });
}

/// An empty interest pauses a watcher. For a task it is an error, because the task would never
/// wake.
#[test]
fn w5_an_empty_interest_is_a_pause_or_an_error() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, 0);
        let (ours, theirs) = pair();
        let watcher = el.watch(ours, Interest::empty(), |_, calls, _| Ok(*calls += 1)).unwrap();
        assert_eq!(log.take(), []);
        hang_up(theirs);
        assert_eq!((tick(&mut el), el.is_alive()), (0, false));
        el.set_interest(watcher, READ).unwrap();
        assert_eq!(tick(&mut el), 1);
        let (ours, _theirs) = pair();
        let refused = Io::with_interest(ours, Interest::empty()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    });
}
