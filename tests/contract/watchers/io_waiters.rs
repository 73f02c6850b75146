//! Several waiters of one descriptor: order, cancellation, and cost (docs/contract.md, W1, F3 and
//! F4).

use std::cell::RefCell;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write, pipe};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::join;
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Interest, Io, SelectorKind, Task, spawn, yield_now};

use crate::support::descriptors::{fill, pair};
use crate::support::selector::counted;
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector, simulated};

type Shared = Rc<Io<UnixStream>>;

fn io_pair() -> (Shared, UnixStream) {
    let (ours, theirs) = pair();
    (Rc::new(Io::new(ours).unwrap()), theirs)
}

async fn read_one(io: &Io<UnixStream>) -> u8 {
    let mut byte = [0];
    assert_eq!(io.read(&mut byte).await.unwrap(), 1);
    byte[0]
}

/// Spawns a task that reads one byte.
fn reading<S>(el: &EventLoop<S>, io: &Shared) -> Task<u8> {
    let io = io.clone();
    el.spawn(async move { read_one(&io).await })
}

fn tick_until_idle<S>(el: &mut EventLoop<S>) {
    el.run_until_stalled().unwrap();
}

fn finished<T: 'static>(tasks: &[Task<T>]) -> Vec<bool> {
    tasks.iter().map(Task::is_finished).collect()
}

#[test]
fn w1_waiting_tasks_are_served_in_order() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let tasks = [(); 4].map(|()| reading(&el, &io));
        tick_until_idle(&mut el);
        peer.write_all(b"a").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(finished(&tasks), [true, false, false, false]);
        peer.write_all(b"bcd").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(finished(&tasks), [true; 4]);
        let read = el.run_until_complete(futures::future::join_all(tasks)).unwrap();
        assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), b"abcd");
    });
}

/// A waiter is cancelled after it was woken and before its poll (P106).
#[test]
fn f4_a_cancelled_waiter_loses_no_wake() {
    on_every_selector(|kind| {
        for cancelled in 0..3 {
            let (mut el, _) = simulated(kind, ());
            let (io, mut peer) = io_pair();
            let tasks = [(); 3].map(|()| reading(&el, &io));
            tick_until_idle(&mut el);
            peer.write_all(b"xy").unwrap();
            tasks[cancelled].cancel("in the tick of the event");
            tick_until_idle(&mut el);
            assert_eq!(finished(&tasks), [true; 3], "{cancelled} was cancelled");
        }
    });
}

#[test]
fn f4_a_cancelled_waiter_leaves_the_queue() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let tasks = [(); 5].map(|()| reading(&el, &io));
        tick_until_idle(&mut el);
        for gone in [0, 2, 4] {
            tasks[gone].cancel("enough");
            tick_until_idle(&mut el);
        }
        assert_eq!(finished(&tasks), [true, false, true, false, true]);
        peer.write_all(b"x").unwrap();
        assert_eq!(tick(&mut el), 1);
        assert_eq!(finished(&tasks), [true, true, true, false, true]);
        drop(peer.write_all(b"y"));
        tick_until_idle(&mut el);
        assert!(tasks[3].is_finished());
    });
}

/// Two futures of one task wait under one key. If one of them ends, the other still waits.
#[test]
fn f3_two_futures_of_one_task_wait_independently() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let task = el.spawn(async move {
            let mut first = Box::pin(io.readable());
            let mut second = Box::pin(read_one(&io));
            let mut third = Box::pin(io.readable());
            poll_fn(|cx| {
                assert!(first.as_mut().poll(cx).is_pending());
                assert!(second.as_mut().poll(cx).is_pending());
                assert!(third.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(first);
            // All three were woken. One waits again, and another is dropped without having been
            // polled.
            third.await.unwrap();
            let byte = second.await;
            io.clear_readiness(Interest::READABLE);
            let mut late = Box::pin(read_one(&io));
            let mut early = Box::pin(io.readable());
            poll_fn(|cx| Poll::Ready(assert!(early.as_mut().poll(cx).is_pending()))).await;
            poll_fn(|cx| Poll::Ready(assert!(late.as_mut().poll(cx).is_pending()))).await;
            drop(early);
            (byte, late.await)
        });
        for byte in [b"1", b"2"] {
            tick_until_idle(&mut el);
            peer.write_all(byte).unwrap();
        }
        tick_until_idle(&mut el);
        assert!(task.is_finished(), "a wake was lost");
        assert_eq!(el.run_until_complete(task).unwrap().unwrap(), (b'1', b'2'));
    });
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// A future that was woken is dropped without having been polled, while another future of the same
/// task waits.
#[test]
fn f3_a_woken_future_that_is_dropped_loses_no_wake() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let left: Rc<RefCell<Option<Boxed>>> = Rc::default();
        let (inside, own) = (left.clone(), io.clone());
        let task = el.spawn(async move {
            let reader = own.clone();
            let mut woken = Box::pin(async move { own.readable().await.unwrap() });
            poll_fn(|cx| Poll::Ready(assert!(woken.as_mut().poll(cx).is_pending()))).await;
            *inside.borrow_mut() = Some(woken);
            (read_one(&reader).await, read_one(&reader).await)
        });
        tick_until_idle(&mut el);
        peer.write_all(b"1").unwrap();
        tick_until_idle(&mut el);
        drop(left.take());
        peer.write_all(b"2").unwrap();
        tick_until_idle(&mut el);
        assert!(task.is_finished(), "a wake was lost");
        assert_eq!(el.run_until_complete(task).unwrap().unwrap(), (b'1', b'2'));
    });
}

#[test]
fn w1_one_future_waits_for_either_direction() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        crate::support::descriptors::fill(&*io);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (inside, own) = (seen.clone(), io.clone());
        let both = Interest::READABLE | Interest::WRITABLE;
        let task = el.spawn(async move {
            for _ in 0..2 {
                let ready = own.ready(both).await.unwrap();
                inside.borrow_mut().push(Interest::answered_by(ready));
                let _ = own.get_ref().read(&mut [0; 8]);
                own.clear_readiness(both);
            }
        });
        tick_until_idle(&mut el);
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(*seen.borrow(), [Interest::READABLE]);
        peer.set_nonblocking(true).unwrap();
        while peer.read(&mut [0; 4096]).is_ok() {}
        tick_until_idle(&mut el);
        assert!(task.is_finished() && seen.borrow()[1].contains(Interest::WRITABLE));
    });
}

/// Wakers of combinators, in place of the task's own.
#[test]
fn f3_foreign_wakers_wait_like_tasks() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let counts = [(); 2].map(|()| Arc::new(Count::default()));
        let wakers = counts.clone().map(Waker::from);
        let own = io.clone();
        let (mut stays, mut goes) = (Box::pin(own.readable()), Box::pin(io.readable()));
        el.run_until_complete(async {
            assert!(stays.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
            assert!(stays.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
            assert!(goes.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
        })
        .unwrap();
        drop(goes);
        drop(wakers);
        assert_eq!(Arc::strong_count(&counts[1]), 1, "the waker of a dropped wait is kept");
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        let woken = |count: &Arc<Count>| count.0.load(Ordering::Relaxed);
        assert_eq!([woken(&counts[0]), woken(&counts[1])], [1, 0]);
        assert!(stays.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        // A waiter is also woken when the loop closes.
        let waker = Waker::from(counts[0].clone());
        io.clear_readiness(Interest::READABLE);
        let mut left = Box::pin(io.readable());
        assert!(left.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        el.close();
        assert_eq!(woken(&counts[0]), 2);
        assert!(left.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    });
}

#[test]
fn q8_a_source_outlives_its_loop_and_works_in_the_next() {
    on_every_selector(|kind| {
        let (io, mut peer) = io_pair();
        for round in 0..3 {
            let (mut el, _) = simulated(kind, ());
            let task = reading(&el, &io);
            tick_until_idle(&mut el);
            assert!(!task.is_finished());
            peer.write_all(&[round]).unwrap();
            tick_until_idle(&mut el);
            assert_eq!(el.run_until_complete(task).unwrap().unwrap(), round);
            let left = reading(&el, &io);
            tick_until_idle(&mut el);
            drop(el);
            assert!(left.is_finished());
        }
    });
}

/// A wait that is left over from a closed loop is not in the queue of the next loop.
#[test]
fn q8_a_wait_left_by_a_closed_loop_is_not_queued_in_the_next() {
    on_every_selector(|kind| {
        let (io, mut peer) = io_pair();
        let mut left = Box::pin(read_one(&io));
        let (mut el, _) = simulated(kind, ());
        let once = poll_fn(|cx| Poll::Ready(left.as_mut().poll(cx).is_pending()));
        assert!(el.run_until_complete(once).unwrap());
        drop(el);
        let (mut el, _) = simulated(kind, ());
        let reading = reading(&el, &io);
        tick_until_idle(&mut el);
        drop(left);
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        assert!(reading.is_finished(), "the old wait took the event");
    });
}

#[test]
fn f3_try_io_clears_the_readiness_on_would_block() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let own = io.clone();
        let task = el.spawn(async move {
            let mut calls = 0;
            for _ in 0..2 {
                loop {
                    own.readable().await.unwrap();
                    calls += 1;
                    let read = own.try_io(Interest::READABLE, |mut io| io.read(&mut [0; 8]));
                    match read {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        read => break assert_eq!(read.unwrap(), 1),
                    }
                }
            }
            calls
        });
        tick_until_idle(&mut el);
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        // The second of three calls returned `WouldBlock`.
        assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 3);
    });
}

/// Tasks that use a source which is always ready do not block other tasks.
#[test]
fn q5_a_greedy_task_lets_others_run() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let zero = Rc::new(Io::new(File::open("/dev/zero").unwrap()).unwrap());
        let own = zero.clone();
        el.spawn(async move { while own.read(&mut [0; 8]).await.is_ok() {} }).detach();
        el.spawn(async move { while zero.readable().await.is_ok() {} }).detach();
        let mut turns = 0;
        el.run_until_complete(async {
            while turns < 100 {
                yield_now().await;
                turns += 1;
            }
        })
        .unwrap();
        assert_eq!(turns, 100);
    });
}

/// A steady exchange costs one wait for each request, and no change of a registration.
#[test]
fn q10_a_steady_exchange_changes_no_registration() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = EventLoop::builder().selector(selector).build().unwrap();
        let (io, mut peer) = io_pair();
        let own = io.clone();
        el.spawn(async move {
            let mut buffer = [0; 64];
            loop {
                let count = own.read(&mut buffer).await.unwrap();
                own.write_all(&buffer[..count]).await.unwrap();
            }
        })
        .detach();
        let mut request = |el: &mut EventLoop| {
            peer.write_all(b"ping").unwrap();
            assert_eq!(el.tick(None).unwrap(), 1);
            peer.read_exact(&mut [0; 4]).unwrap();
        };
        tick_until_idle(&mut el);
        (0..3).for_each(|_| request(&mut el));
        calls.take();
        (0..100).for_each(|_| request(&mut el));
        assert_eq!(calls.take(), (100, 0), "waits and changes on {kind}");
    });
}

#[test]
fn w1_pipes_and_terminals_can_be_watched() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (reader, writer) = pipe().unwrap();
        let (reader, writer) = (Io::new(reader).unwrap(), Io::new(writer).unwrap());
        let (master, slave) = crate::support::descriptors::terminal();
        let (master, slave) = (Io::new(master).unwrap(), Io::new(slave).unwrap());
        // A pipe feeds a terminal, and the other end of the terminal is read.
        let piping = el.spawn(async move {
            let mut buffer = [0; 64];
            loop {
                match reader.read(&mut buffer).await.unwrap() {
                    0 => return,
                    count => master.write_all(&buffer[..count]).await.unwrap(),
                }
                reader.clear_readiness(Interest::READABLE);
            }
        });
        let typed = el.spawn(async move {
            let (mut typed, mut buffer) = (Vec::new(), [0; 7]);
            while typed.len() < 300 {
                let count = slave.read(&mut buffer).await.unwrap();
                typed.extend_from_slice(&buffer[..count]);
            }
            typed
        });
        for line in 0..30 {
            tick_until_idle(&mut el);
            let line = format!("line {line:4}\n");
            el.run_until_complete(writer.write_all(line.as_bytes())).unwrap().unwrap();
        }
        tick_until_idle(&mut el);
        let typed = el.run_until_complete(typed).unwrap().unwrap();
        assert_eq!((typed.len(), &typed[290..]), (300, &b"line   29\n"[..]));
        drop(writer);
        // Not in a number of ticks: a child of another test has a copy of the writer until it runs
        // its program.
        el.run_until_complete(piping).unwrap().unwrap();
    });
}

/// In debug mode the report of a slow task names that task, not another one that has waited longer
/// for the same descriptor.
#[test]
fn w9_a_slow_task_is_named_in_the_report() {
    on_every_selector(|kind| {
        let clock = SimClock::new();
        let builder = EventLoop::builder()
            .selector(loopback::selector(kind))
            .clock(clock.clone())
            .debug(true);
        let mut el = builder.build_with(Vec::new()).unwrap();
        el.set_exception_handler(|_, reports: &mut Vec<String>, report| {
            reports.push(format!("{} {:?}", report.kind, report.name));
        });
        let (io, mut peer) = io_pair();
        fill(io.get_ref());
        peer.set_nonblocking(true).unwrap();
        let _other = reading(&el, &io).named("other");
        tick_until_idle(&mut el);
        let slow = el.spawn(async move {
            io.writable().await.unwrap();
            clock.advance(Duration::from_secs(1));
        });
        let slow = slow.named("slow");
        tick_until_idle(&mut el);
        while peer.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        tick_until_idle(&mut el);
        assert!(slow.is_finished());
        assert_eq!(*el.state(), ["task Some(\"slow\")"]);
    });
}

/// Poll functions keep only the latest waker of each direction.
#[test]
fn f3_poll_functions_wake_only_the_latest_caller() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let (io, mut peer) = io_pair();
    let poll =
        |io: &Shared, cx: &mut Context<'_>| io.poll_read_with(cx, |mut io| io.read(&mut [0; 8]));
    let tasks = [(); 2].map(|()| {
        let io = io.clone();
        el.spawn(async move { poll_fn(|cx| poll(&io, cx)).await.unwrap() })
    });
    tick_until_idle(&mut el);
    peer.write_all(b"x").unwrap();
    tick_until_idle(&mut el);
    assert_eq!(finished(&tasks), [false, true]);
    let (one, other) = (io.clone(), io);
    let write = async move { poll_fn(|cx| one.poll_write_with(cx, |mut io| io.write(b"y"))).await };
    let (written, read) = el
        .run_until_complete(async move {
            let answering = spawn(async move { peer.write_all(b"z").unwrap() });
            let both = join(write, poll_fn(|cx| poll(&other, cx))).await;
            answering.await.unwrap();
            both
        })
        .unwrap();
    assert_eq!((written.unwrap(), read.unwrap()), (1, 1));
}
