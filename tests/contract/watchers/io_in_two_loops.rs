//! An `Io` that has waited in one loop and is used in another, while the first loop exists
//! (docs/contract.md, W13).

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mainspring::{EventLoop, Interest, Io, SelectorKind};

use crate::support::descriptors::pair;
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;

/// Returns two loops, a source that the first loop watches without a waiting task, and its peer.
fn watched_in_the_first(
    kind: SelectorKind,
) -> (EventLoop<()>, EventLoop<()>, Rc<Io<UnixStream>>, UnixStream) {
    let (mut first, _) = simulated(kind, ());
    let (second, _) = simulated(kind, ());
    let (ours, mut theirs) = pair();
    let io = Rc::new(Io::new(ours).unwrap());
    let reading = first.spawn(read(&io));
    tick(&mut first);
    theirs.write_all(b"1").unwrap();
    assert_eq!(first.run_until_complete(reading).unwrap().unwrap().unwrap(), b'1');
    (first, second, io, theirs)
}

fn read(io: &Rc<Io<UnixStream>>) -> impl Future<Output = std::io::Result<u8>> + use<> {
    let io = io.clone();
    async move {
        let mut byte = [0];
        io.read(&mut byte).await?;
        Ok(byte[0])
    }
}

#[test]
fn w13_a_source_moves_to_the_loop_that_waits_for_it() {
    on_every_selector(|kind| {
        let (mut first, mut second, io, mut theirs) = watched_in_the_first(kind);
        for round in 0..3 {
            let el = if round % 2 == 0 { &mut second } else { &mut first };
            let reading = el.spawn(read(&io));
            tick(el);
            assert!(!reading.is_finished());
            theirs.write_all(b"2").unwrap();
            (0..3).for_each(|_| _ = tick(el));
            assert!(reading.is_finished(), "{round}");
        }
    });
}

/// The same with `readable`, `try_io` and poll functions.
#[test]
fn w13_each_way_to_wait_moves_the_source() {
    on_every_selector(|kind| {
        let (_first, mut second, io, mut theirs) = watched_in_the_first(kind);
        let waiting = second.spawn({
            let io = io.clone();
            async move { io.readable().await }
        });
        tick(&mut second);
        theirs.write_all(b"2").unwrap();
        (0..3).for_each(|_| _ = tick(&mut second));
        assert!(waiting.is_finished(), "readable");

        let (_first, mut second, io, mut theirs) = watched_in_the_first(kind);
        let waiting = second.spawn({
            let io = io.clone();
            async move {
                let refused = io.try_io(READ, |mut source| source.read(&mut [0]));
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::WouldBlock);
                io.readable().await
            }
        });
        tick(&mut second);
        theirs.write_all(b"2").unwrap();
        (0..3).for_each(|_| _ = tick(&mut second));
        assert!(waiting.is_finished(), "try_io");

        let (mut first, mut second, io, mut theirs) = watched_in_the_first(kind);
        let poll = |io: &Rc<Io<UnixStream>>| {
            let io = io.clone();
            std::future::poll_fn(move |cx| io.poll_read_with(cx, |mut it| it.read(&mut [0])))
        };
        drop(first.spawn(poll(&io))); // A poll function leaves its waker behind.
        tick(&mut first);
        let waiting = second.spawn(poll(&io));
        tick(&mut second);
        theirs.write_all(b"2").unwrap();
        (0..3).for_each(|_| _ = tick(&mut second));
        assert!(waiting.is_finished(), "poll_read_with");
    });
}

/// Moving the source away from a waiting task is refused, and that task is served.
#[test]
fn w13_a_source_with_a_waiting_task_in_another_loop_is_refused() {
    on_every_selector(|kind| {
        let (mut first, mut second, io, mut theirs) = watched_in_the_first(kind);
        let waiting = first.spawn(read(&io));
        tick(&mut first);
        let error = second.run_until_complete(read(&io)).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let text = error.to_string();
        assert!(text.starts_with("cannot watch fd "), "{text}");
        theirs.write_all(b"2").unwrap();
        assert_eq!(first.run_until_complete(waiting).unwrap().unwrap().unwrap(), b'2');
    });
}

/// One future is polled in both loops.
#[test]
fn w13_a_future_moves_with_its_source() {
    on_every_selector(|kind| {
        let (mut first, mut second, io, mut theirs) = watched_in_the_first(kind);
        let mut reading = pin!(read(&io));
        let outside = reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(outside.is_pending());
        first
            .run_until_complete(std::future::poll_fn(|cx| {
                assert!(reading.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            }))
            .unwrap();
        theirs.write_all(b"2").unwrap();
        assert_eq!(second.run_until_complete(reading).unwrap().unwrap(), b'2');
        tick(&mut first);
    });
}

/// The source is deregistered from the first loop's selector.
#[test]
fn w3_the_first_loop_deregisters_the_source() {
    on_every_selector(|kind| {
        let (mut first, log) = logged(kind, ());
        let (mut second, _) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let io = Rc::new(Io::new(ours).unwrap());
        let waiting = first.spawn(read(&io));
        tick(&mut first);
        assert!(first.cancel(waiting.handle()));
        tick(&mut first);
        log.take();
        let reading = second.spawn(read(&io));
        tick(&mut second);
        assert!(matches!(log.take()[..], [Call::Deregister(_)]));
        theirs.write_all(b"2").unwrap();
        assert_eq!(second.run_until_complete(reading).unwrap().unwrap().unwrap(), b'2');
    });
}
