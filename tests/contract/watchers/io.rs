//! [`Io`] on every selector: tasks that wait for descriptors (docs/contract.md, W1 to W7).

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mainspring::{Error, EventLoop, Interest, Io, Readiness, Task};

use crate::support::descriptors::{fill, hang_up, is_blocking, pair, reset_connection};
use crate::support::process::alone;
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const BOTH: Interest = Interest::READABLE.union(Interest::WRITABLE);

type Shared = Rc<Io<UnixStream>>;

fn io_pair() -> (Shared, UnixStream) {
    let (ours, theirs) = pair();
    (Rc::new(Io::new(ours).unwrap()), theirs)
}

async fn read_some(io: &Io<UnixStream>) -> Vec<u8> {
    let mut buffer = [0; 64];
    let count = io.read(&mut buffer).await.unwrap();
    buffer[..count].to_vec()
}

/// Spawns a task that reads once.
fn reading<S>(el: &EventLoop<S>, io: &Shared) -> Task<Vec<u8>> {
    let io = io.clone();
    el.spawn(async move { read_some(&io).await })
}

fn tick_until_idle<S>(el: &mut EventLoop<S>) {
    el.run_until_stalled().unwrap();
}

/// Returns the output of a task that must be finished.
fn output<S, T: 'static>(el: &mut EventLoop<S>, task: Task<T>) -> T {
    assert!(task.is_finished());
    el.run_until_complete(task).unwrap().unwrap()
}

/// Returns the loop's error inside an `io::Error`.
fn inside(error: &std::io::Error) -> &Error {
    error
        .get_ref()
        .expect("an error inside the io::Error")
        .downcast_ref()
        .expect("an error of this crate")
}

#[test]
fn w1_a_task_reads_to_the_end_of_file() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let task = el.spawn(async move {
            let mut all = Vec::new();
            loop {
                match read_some(&io).await {
                    more if more.is_empty() => return all,
                    more => all.push(more),
                }
            }
        });
        for part in [b"one", b"two"] {
            tick_until_idle(&mut el);
            peer.write_all(part).unwrap();
        }
        tick_until_idle(&mut el);
        crate::support::descriptors::hang_up(peer);
        tick_until_idle(&mut el);
        assert_eq!(output(&mut el, task), [b"one", b"two"]);
    });
}

/// A waiting task runs in the batch of the event, like a callback.
#[test]
fn w1_a_waiting_task_runs_in_the_tick_of_the_event() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        let task = reading(&el, &io);
        tick_until_idle(&mut el);
        peer.write_all(b"x").unwrap();
        assert_eq!(tick(&mut el), 1);
        assert!(task.is_finished());
    });
}

#[test]
fn w1_one_task_reads_while_another_one_writes() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (io, mut peer) = io_pair();
        fill(&*io);
        let writing = io.clone();
        let writer = el.spawn(async move { writing.write_all(&[7; 100]).await.unwrap() });
        let reader = reading(&el, &io);
        tick_until_idle(&mut el);
        assert!(!writer.is_finished() && !reader.is_finished());
        peer.write_all(b"for the reader").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(output(&mut el, reader), b"for the reader");
        assert!(!writer.is_finished());
        peer.set_nonblocking(true).unwrap();
        while !writer.is_finished() {
            while peer.read(&mut [0; 4096]).is_ok() {}
            tick(&mut el);
        }
    });
}

/// 64 MiB through a send buffer of 4 KiB, in pieces of many sizes, arrive complete and in order.
#[test]
fn s1_a_large_transfer_is_complete_and_in_order() {
    const TOTAL: usize = 64 << 20;
    let byte = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (writer, reader) = pair();
        mainspring_sys::socket::set_send_buffer(&writer, 4096).unwrap();
        let (writer, reader) = (Io::new(writer).unwrap(), Io::new(reader).unwrap());
        let data: Vec<u8> = (0..1 << 20).map(byte).collect();
        let expected = data.clone();
        let sending = el.spawn(async move {
            let (mut sent, mut size) = (0, 1);
            while sent < TOTAL {
                let at = sent % data.len();
                size = size * 7919 % 65_521;
                let end = data.len().min(at + size);
                writer.write_all(&data[at..end]).await.unwrap();
                sent += end - at;
            }
        });
        let receiving = el.spawn(async move {
            let (mut received, mut buffer) = (0, vec![0; 8192]);
            loop {
                let count = reader.read(&mut buffer).await.unwrap();
                let mut rest = &buffer[..count];
                while !rest.is_empty() {
                    let at = received % expected.len();
                    let (now, later) = rest.split_at(rest.len().min(expected.len() - at));
                    assert!(now == &expected[at..at + now.len()], "wrong after {received}");
                    received += now.len();
                    rest = later;
                }
                if count == 0 {
                    return received;
                }
            }
        });
        el.run().unwrap();
        output(&mut el, sending);
        assert_eq!(output(&mut el, receiving), TOTAL);
    });
}

#[test]
fn w2_a_second_watcher_of_an_fd_is_refused_until_the_first_ends() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (ours, mut peer) = pair();
        let shared = Rc::new(ours);
        let [first, second] = [(); 2].map(|()| Io::new(shared.clone()).unwrap());
        let waiting = el.spawn(async move { first.readable().await });
        tick_until_idle(&mut el);
        let refused = el.run_until_complete(second.readable()).unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        let number = shared.as_raw_fd();
        assert!(matches!(inside(&refused), Error::AlreadyWatched { fd, .. } if *fd == number));
        waiting.cancel("enough");
        tick_until_idle(&mut el);
        peer.write_all(b"x").unwrap();
        el.run_until_complete(second.readable()).unwrap().unwrap();
    });
}

/// The fd is registered from the first wait to the end of the source, in whatever way the source
/// ends.
#[test]
fn w3_the_fd_is_deregistered_before_it_is_closed() {
    type End = fn(EventLoop, Shared, Task<Vec<u8>>);
    let ends: [(&str, End); 4] = [
        ("the task is cancelled, then the source is dropped", |mut el, io, task| {
            task.cancel("enough");
            tick_until_idle(&mut el);
            drop(io);
        }),
        ("the loop is closed first", |mut el, io, _task| {
            el.close();
            drop(io);
        }),
        ("the loop is dropped first", |el, io, task| {
            drop(el);
            assert!(task.is_finished());
            drop(io);
        }),
        ("the task owns the source and goes with the loop", |el, io, _task| {
            drop(io);
            drop(el);
        }),
    ];
    on_every_selector(|kind| {
        for (how, end) in ends {
            let (mut el, log) = logged(kind, ());
            let (io, peer) = io_pair();
            let fd = io.as_fd().as_raw_fd();
            let task = reading(&el, &io);
            tick_until_idle(&mut el);
            assert_eq!(log.take(), [Call::Register(fd, BOTH)], "{how}");
            end(el, io, task);
            assert_eq!(log.take(), [Call::Deregister(fd)], "{how}");
            // The fd is closed, so its peer gets the end.
            assert_eq!((&peer).read(&mut [0]).unwrap(), 0, "{how}");
        }
    });
}

#[test]
fn w3_nothing_is_registered_before_a_call_would_block() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (io, mut peer) = io_pair();
        peer.write_all(b"x").unwrap();
        let task = reading(&el, &io);
        tick_until_idle(&mut el);
        output(&mut el, task);
        drop(io);
        assert_eq!(log.take(), []);
    });
}

#[test]
fn w3_into_inner_returns_a_deregistered_source() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        let io = Io::new(ours).unwrap();
        assert!(!is_blocking(&io));
        {
            let mut readable = pin!(io.readable());
            let once = poll_fn(|cx| Poll::Ready(readable.as_mut().poll(cx).is_pending()));
            assert!(el.run_until_complete(once).unwrap());
        }
        let ours = io.into_inner();
        assert_eq!(log.take(), [Call::Register(fd, BOTH), Call::Deregister(fd)]);
        assert!(!is_blocking(&ours), "a copy of a socket may be watched elsewhere");
        // It may be watched again in any way.
        peer.write_all(b"x").unwrap();
        el.add_reader(ours, |_, (), stream| {
            assert_eq!(stream.read(&mut [0])?, 1);
            stream.cancel();
            Ok(())
        })
        .unwrap();
        el.run().unwrap();
    });
}

/// A pipe becomes blocking again after its last watcher, of either kind.
#[test]
fn w3_a_shared_pipe_stays_non_blocking_until_its_last_watcher_ends() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (ours, _peer) = std::io::pipe().unwrap();
        let ours = Rc::new(ours);
        let inside = ours.clone();
        let io = el.run_until_complete(async { Io::new(inside).unwrap() }).unwrap();
        let watcher = el.watch(ours.clone(), Interest::empty(), |_, (), _| Ok(())).unwrap();
        drop(io);
        assert!(!is_blocking(&*ours));
        el.cancel(watcher);
        assert!(is_blocking(&*ours));
    });
}

/// The descriptor number is reused at once.
#[test]
fn w4_the_next_owner_of_a_number_gets_no_old_event() {
    alone("watchers::io::w4_the_next_owner_of_a_number_gets_no_old_event", || {
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, ());
            let (io, mut peer) = io_pair();
            let fd = io.as_fd().as_raw_fd();
            let task = reading(&el, &io);
            tick_until_idle(&mut el);
            // The event is in the kernel when the task is cancelled.
            peer.write_all(b"for the first").unwrap();
            task.cancel("enough");
            drop(io);
            tick(&mut el);
            let (next, mut its_peer) = io_pair();
            assert_eq!(next.as_fd().as_raw_fd(), fd);
            let task = reading(&el, &next);
            tick_until_idle(&mut el);
            assert!(!task.is_finished());
            its_peer.write_all(b"for the next").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(output(&mut el, task), b"for the next");
        });
    });
}

#[test]
fn w5_errors_and_hang_ups_wake_both_directions() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        // When a pipe has no reader, its writer gets an error (selectors report ERROR).
        let (reader, writer) = pipe().unwrap();
        fill(&writer);
        let writer = Io::new(writer).unwrap();
        let writing = el.spawn(async move { writer.write_all(b"x").await });
        tick_until_idle(&mut el);
        assert!(!writing.is_finished());
        drop(reader); // A child of another test may have a copy.
        let written = el.run_until_complete(writing).unwrap().unwrap();
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        // When a pipe has no writer, its reader gets the end of file (selectors report HANGUP).
        let (reader, writer) = pipe().unwrap();
        let reader = Io::new(reader).unwrap();
        let reading = el.spawn(async move { reader.read(&mut [0; 8]).await });
        tick_until_idle(&mut el);
        drop(writer);
        assert_eq!(el.run_until_complete(reading).unwrap().unwrap().unwrap(), 0);
        // Both directions of a socket.
        let (io, peer) = io_pair();
        fill(&*io);
        let (one, other) = (io.clone(), io);
        let reader = el.spawn(async move { one.ready(Interest::READABLE).await.unwrap() });
        let writer = el.spawn(async move { other.ready(Interest::WRITABLE).await.unwrap() });
        tick_until_idle(&mut el);
        assert!(!reader.is_finished() && !writer.is_finished());
        crate::support::descriptors::hang_up(peer);
        tick_until_idle(&mut el);
        assert!(output(&mut el, reader).contains(Readiness::READABLE | Readiness::HANGUP));
        assert!(output(&mut el, writer).contains(Readiness::WRITABLE | Readiness::HANGUP));
    });
}

#[test]
fn w5_a_reset_is_an_error_once_and_then_the_end_of_file() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let io = Io::new(reset_connection()).unwrap();
        el.run_until_complete(async {
            io.readable().await.unwrap();
            let mut buffer = [0; 8];
            let reset = io.read(&mut buffer).await.unwrap_err();
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
            assert_eq!(io.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(io.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        })
        .unwrap();
    });
}

/// After a half-close the other direction keeps working (P83).
#[test]
fn s1_after_a_half_close_the_other_direction_goes_on() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (io, mut peer) = io_pair();
        let reader = reading(&el, &io);
        tick_until_idle(&mut el);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        tick_until_idle(&mut el);
        assert_eq!(output(&mut el, reader), b"");
        log.take();
        for _ in 0..50 {
            let io = io.clone();
            el.run_until_complete(async move { io.write_all(b"more").await.unwrap() }).unwrap();
            peer.read_exact(&mut [0; 4]).unwrap();
            assert!(el.run_until_stalled().unwrap() <= 1, "the loop spins");
        }
        assert_eq!(log.take(), []);
        hang_up(peer);
        let gone = el.run_until_complete(async move { io.write_all(b"x").await }).unwrap();
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn w6_files_are_always_ready() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.run_until_complete(async {
            let null = Io::new(File::options().read(true).write(true).open("/dev/null").unwrap());
            let null = null.unwrap();
            for _ in 0..3 {
                null.readable().await.unwrap();
                null.writable().await.unwrap();
                assert_eq!(null.read(&mut [0; 8]).await.unwrap(), 0);
                null.write_all(b"gone").await.unwrap();
            }
            let this = Io::new(File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
            let mut magic = [0; 4];
            this.readable().await.unwrap();
            assert_eq!(this.read(&mut magic).await.unwrap(), 4);
        })
        .unwrap();
    });
}

#[test]
fn w7_the_error_of_an_unwatchable_source_names_it() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (io, mut peer) = io_pair();
        let fd = io.as_fd().as_raw_fd();
        log.refuse_next(rustix::io::Errno::NOSPC);
        let refused = el.run_until_complete(read_error(&io)).unwrap();
        assert!(matches!(inside(&refused), Error::Watch { fd: of, .. } if *of == fd));
        // The next call registers again.
        let task = reading(&el, &io);
        tick_until_idle(&mut el);
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(output(&mut el, task), b"x");
        // Without a loop it cannot be awaited.
        let mut read = pin!(read_error(&io));
        el.close();
        let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(error) = polled else {
            panic!("a pending read without a loop is never woken")
        };
        assert!(matches!(inside(&error), Error::NoLoop { .. }));
        assert!(error.to_string().contains("mainspring::Io"));
    });
}

async fn read_error(io: &Io<UnixStream>) -> std::io::Error {
    io.read(&mut [0; 8]).await.unwrap_err()
}

#[test]
fn w7_an_unwatched_interest_is_refused() {
    let (mut el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let (ours, _peer) = pair();
    let io = Io::with_interest(ours, Interest::READABLE).unwrap();
    for interest in [Interest::empty(), BOTH, Interest::PRIORITY] {
        let error = el.run_until_complete(io.ready(interest)).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let error = io.try_io(interest, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    fill(&io);
    let error = el.run_until_complete(io.write_all(b"x")).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "a pending write would never be woken");
    let (ours, _peer) = pair();
    let error = Io::with_interest(ours, Interest::empty()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
