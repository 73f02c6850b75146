//! Readiness of callbacks: level triggering, regular files, and order among fds (docs/contract.md,
//! W1, W6 and W10).

use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use mainspring::{Error, EventLoop, Interest, Readiness};

use crate::support::descriptors::{fill, pair, readable};
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector, simulated};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// Data left unread makes the next tick call again, without a new event (P8).
#[test]
fn w1_a_reader_is_called_in_each_tick_while_there_is_data() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, mut theirs) = pair();
        theirs.write_all(&[1; 4096]).unwrap(); // Fits in the smallest buffer of a socket.
        el.add_reader(ours, |_, calls, socket| {
            let mut buffer = [0; 64];
            assert_eq!(socket.read(&mut buffer)?, 64);
            *calls += 1;
            Ok(())
        })
        .unwrap();
        for calls in 1..=64 {
            assert_eq!((tick(&mut el), *el.state()), (1, calls));
        }
        assert_eq!((tick(&mut el), *el.state()), (0, 64));
    });
}

#[test]
fn w1_a_writer_is_called_in_each_tick_while_there_is_room() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, mut theirs) = pair();
        el.add_writer(ours, |_, calls, socket| {
            *calls += 1;
            if *calls == 10 {
                fill(&**socket);
            }
            Ok(())
        })
        .unwrap();
        (0..20).for_each(|_| _ = tick(&mut el));
        assert_eq!(*el.state(), 10);
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut [0; 4096]).is_ok() {}
        tick(&mut el);
        assert_eq!(*el.state(), 11);
    });
}

/// Two callbacks of one fd share one kernel registration, and the reader runs first (P6).
#[test]
fn w1_a_reader_and_a_writer_share_a_socket() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, Vec::new());
        let (ours, _theirs) = readable();
        let (fd, ours) = (ours.as_raw_fd(), Rc::new(ours));
        let writer = el.add_writer(ours.clone(), |_, seen: &mut Vec<_>, _| {
            seen.push("writer");
            Ok(())
        });
        assert_eq!(log.take(), [Call::Register(fd, WRITE)]);
        let reader = el.add_reader(ours.clone(), |_, seen: &mut Vec<_>, _| {
            seen.push("reader");
            Ok(())
        });
        assert_eq!(log.take(), [Call::Reregister(fd, READ | WRITE)]);
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["reader", "writer"]);
        assert!(el.cancel(reader.unwrap()));
        assert_eq!(log.take(), [Call::Reregister(fd, WRITE)]);
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), ["writer"]);
        assert!(el.cancel(writer.unwrap()));
        assert_eq!(log.take(), [Call::Deregister(fd)]);
        assert_eq!(tick(&mut el), 0);
        assert_eq!(Rc::strong_count(&ours), 1, "a source was not dropped");
    });
}

#[test]
fn w1_one_callback_gets_the_readiness_of_both_directions() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let (ours, mut theirs) = pair();
        let watcher = el.watch(ours, READ | WRITE, |_, seen: &mut Vec<_>, socket| {
            assert_eq!(socket.interest(), READ | WRITE);
            seen.push(socket.readiness());
            Ok(())
        });
        let watcher = watcher.unwrap();
        tick(&mut el);
        theirs.write_all(b"x").unwrap();
        tick(&mut el);
        assert_eq!(
            el.state()[..],
            [Readiness::WRITABLE, Readiness::READABLE | Readiness::WRITABLE]
        );
        assert!(el.cancel(watcher));
        assert_eq!(tick(&mut el), 0);
    });
}

#[test]
fn w1_a_callback_that_returns_would_block_is_called_for_new_data() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        el.set_exception_handler(|_, _, report| panic!("reported as an error: {report}"));
        let (ours, mut theirs) = pair();
        el.add_reader(ours, |_, seen: &mut Vec<u8>, socket| {
            let mut byte = [0];
            loop {
                match socket.read(&mut byte)? {
                    0 => break,
                    _ => seen.push(byte[0]),
                }
            }
            socket.cancel();
            Ok(())
        })
        .unwrap();
        theirs.write_all(b"ab").unwrap();
        tick(&mut el);
        assert_eq!(tick(&mut el), 0);
        theirs.write_all(b"c").unwrap();
        tick(&mut el);
        drop(theirs);
        el.run().unwrap();
        assert_eq!(el.state(), b"abc");
    });
}

/// An `Interrupted` returned by the callback is no error either.
#[test]
fn w9_would_block_and_interrupted_are_no_errors() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        el.set_exception_handler(|_, _, report| panic!("reported as an error: {report}"));
        let (ours, _theirs) = readable();
        let kinds = [ErrorKind::WouldBlock, ErrorKind::Interrupted];
        el.add_reader(ours, move |_, calls: &mut usize, _| {
            *calls += 1;
            Err(Error::Io(kinds[*calls % 2].into()))
        })
        .unwrap();
        (0..6).for_each(|_| _ = tick(&mut el));
        assert_eq!(*el.state(), 6);
    });
}

/// Files that never block are always ready while they are watched, as poll(2) defines (P12).
#[test]
fn w6_files_that_never_block_are_always_ready() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, [0; 4]);
        let this = || File::open(std::env::current_exe().unwrap()).unwrap();
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
        let regular = el.add_reader(this(), |_, calls: &mut [_; 4], _| add(&mut calls[0]));
        el.add_reader(File::open("/").unwrap(), |_, calls, _| add(&mut calls[1])).unwrap();
        let shared = Rc::new(null());
        el.add_reader(shared.clone(), |_, calls, _| add(&mut calls[2])).unwrap();
        el.add_writer(shared, |_, calls, _| add(&mut calls[3])).unwrap();
        (0..3).for_each(|_| assert_eq!(tick(&mut el), 4));
        assert_eq!(*el.state(), [3; 4]);
        el.set_interest(regular.as_ref().copied().unwrap(), Interest::empty()).unwrap();
        assert_eq!(tick(&mut el), 3);
        el.set_interest(regular.unwrap(), READ).unwrap();
        assert_eq!(tick(&mut el), 4);
    });
}

fn add(calls: &mut u32) -> mainspring::Result<()> {
    *calls += 1;
    Ok(())
}

/// A regular file is read like a socket, up to its end.
#[test]
fn w6_a_regular_file_is_read_to_its_end() {
    on_every_selector(|kind| {
        let path = std::env::current_exe().unwrap();
        let length = path.metadata().unwrap().len();
        let (mut el, _clock) = simulated(kind, 0);
        el.add_reader(File::open(path).unwrap(), |_, sum: &mut u64, file| {
            let mut buffer = vec![0; 1 << 20];
            match file.read(&mut buffer)? {
                0 => file.cancel(),
                n => *sum += n as u64,
            }
            Ok(())
        })
        .unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), length);
    });
}

/// Twenty fds are ready, and a tick serves four (P19).
#[test]
fn w10_every_ready_fd_is_served_before_one_is_served_twice() {
    on_every_selector(|kind| {
        const FDS: usize = 20;
        let builder = EventLoop::builder().selector(loopback::selector(kind)).event_capacity(4);
        let mut el = builder.build_with(Vec::new()).unwrap();
        let mut peers = Vec::new();
        for index in 0..FDS {
            let (ours, theirs) = readable();
            peers.push(theirs);
            el.add_reader(ours, move |_, order: &mut Vec<usize>, _| {
                order.push(index);
                Ok(())
            })
            .unwrap();
        }
        for _ in 0..(3 * FDS / 4) {
            assert_eq!(tick(&mut el), 4);
        }
        for round in el.state().chunks(FDS) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, (0..FDS).collect::<Vec<_>>(), "of {:?}", el.state());
        }
    });
}

/// The end of file wakes the reader. The writer has no room and is not called.
#[test]
fn w10_a_half_close_wakes_only_the_reader() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (ours, theirs) = pair();
        fill(&ours);
        let ours = Rc::new(ours);
        let (by_reader, by_writer) = (seen.clone(), seen.clone());
        el.add_reader(ours.clone(), move |_, _, socket| {
            by_reader.borrow_mut().push(("reader", socket.readiness() & Readiness::READABLE));
            Ok(())
        })
        .unwrap();
        el.add_writer(ours, move |_, _, socket| {
            by_writer.borrow_mut().push(("writer", socket.readiness()));
            Ok(())
        })
        .unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        tick(&mut el);
        assert_eq!(*seen.borrow(), [("reader", Readiness::READABLE)]);
    });
}
