//! Connections flooded with input do not lengthen the batch, however long the flood lasts
//! (docs/contract.md, Q5).
//!
//! In each tick the peers send more than a tick reads. So each connection has unread input and a
//! new event at the same time, and either of them could queue it.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::TcpStream as TaskStream;
use mainspring::testing::SimClock;
use mainspring::{EventLoop, SelectorKind};

use crate::support::descriptors::{pair, tcp_pair};
use crate::support::selector::{Calls, counted};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector};

/// Size of the loop's read buffer, in bytes.
const BUFFER: usize = 8;
/// Maximum number of reads of one connection in a tick.
const READS: usize = 8;
/// Maximum number of calls that a task makes on one source in a tick.
const TASK_CALLS: usize = 64;
const FLOODS: usize = 4;
const TICKS: usize = 200;

/// State of the loop: reads of the flooded connections in this tick, and bytes of the other
/// connection.
#[derive(Debug, Default)]
struct Seen {
    reads: usize,
    bystander: usize,
}

fn small_buffer_loop(kind: SelectorKind) -> (EventLoop<Seen>, Rc<Calls>) {
    let (selector, calls) = counted(kind);
    let builder = EventLoop::builder().selector(selector).clock(SimClock::new());
    let el = builder.read_buffer(BUFFER).build_with(Seen::default()).unwrap();
    (el, calls)
}

/// Attaches the flooded connections. Returns their peers.
fn flooded(el: &EventLoop<Seen>) -> Vec<TcpStream> {
    let attach = |_| {
        let (ours, theirs) = tcp_pair();
        theirs.set_nodelay(true).unwrap();
        el.attach(ours, |_, seen, _, _| Ok(seen.reads += 1)).unwrap();
        theirs
    };
    (0..FLOODS).map(attach).collect()
}

/// Sends to each connection more than a tick reads.
fn send_much(peers: &mut [TcpStream], bytes: usize) {
    peers.iter_mut().for_each(|peer| peer.write_all(&vec![1; bytes]).unwrap());
}

#[test]
fn q5_flooded_connections_do_not_lengthen_the_batch() {
    on_every_selector(|kind| {
        let (mut el, calls) = small_buffer_loop(kind);
        let mut peers = flooded(&el);
        let (ours, mut bystander) = pair();
        el.attach(ours, |_, seen: &mut Seen, _, data| Ok(seen.bystander += data.len())).unwrap();
        tick(&mut el);
        calls.take();
        for round in 1..=TICKS {
            send_much(&mut peers, 3 * READS * BUFFER);
            bystander.write_all(b"x").unwrap();
            let ran = tick(&mut el);
            // Each has an entry for unread input and one for an event; plus one of the other
            // connection.
            assert!(ran <= 2 * FLOODS + 1, "{ran} entries in tick {round}");
            let reads = std::mem::take(&mut el.state_mut().reads);
            assert!(reads <= FLOODS * READS, "{reads} reads in tick {round}");
            assert_eq!((el.state().bystander, calls.selects.take()), (round, 1));
        }
    });
}

#[test]
fn q5_flooded_tasks_do_not_lengthen_the_batch() {
    on_every_selector(|kind| {
        let (mut el, calls) = small_buffer_loop(kind);
        let reads = Rc::new(Cell::new(0));
        let mut peers = Vec::new();
        for _ in 0..FLOODS {
            let (ours, theirs) = tcp_pair();
            let (stream, reads) = (TaskStream::from_std(ours).unwrap(), reads.clone());
            let reading = async move {
                while stream.read(&mut [0; BUFFER]).await.unwrap() > 0 {
                    reads.set(reads.get() + 1);
                }
            };
            el.spawn(reading).detach();
            peers.push(theirs);
        }
        tick(&mut el);
        calls.take();
        for round in 1..=TICKS {
            send_much(&mut peers, TASK_CALLS * BUFFER * 5 / 4);
            let ran = tick(&mut el);
            assert!(ran <= 2 * FLOODS, "{ran} entries in tick {round}");
            let reads = reads.take();
            assert!(reads <= FLOODS * TASK_CALLS, "{reads} reads in tick {round}");
            assert_eq!(calls.selects.take(), 1);
        }
    });
}

/// Stream with endless input.
struct Endless {
    stream: UnixStream,
    bytes: Rc<Cell<usize>>,
    reads: Rc<Cell<usize>>,
}

impl AsFd for Endless {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for &Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.set(self.bytes.get() + buffer.len());
        self.reads.set(self.reads.get() + 1);
        Ok(buffer.len())
    }
}

impl Write for &Endless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The limit of a tick applies to bytes as well as to calls.
#[test]
fn q5_a_tick_reads_a_limited_number_of_bytes() {
    const KIB: usize = 1024;
    on_every_selector(|kind| {
        for (buffer, bytes, reads) in
            [(KIB, 8 * KIB, 8), (64 * KIB, 256 * KIB, 4), (1024 * KIB, 1024 * KIB, 1)]
        {
            let builder =
                EventLoop::builder().selector(loopback::selector(kind)).clock(SimClock::new());
            let mut el = builder.read_buffer(buffer).build().unwrap();
            let (ours, mut theirs) = pair();
            theirs.write_all(b"x").unwrap();
            let seen = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let stream = Endless { stream: ours, bytes: seen.0.clone(), reads: seen.1.clone() };
            el.attach(stream, |_, (), _, _| Ok(())).unwrap();
            for _ in 0..3 {
                el.tick(Some(Duration::ZERO)).unwrap();
                assert_eq!((seen.0.take(), seen.1.take()), (bytes, reads));
            }
        }
    });
}
/// A task's source has the same limit.
#[test]
fn q5_a_task_reads_a_limited_number_of_bytes_in_a_tick() {
    const KIB: usize = 1024;
    on_every_selector(|kind| {
        for (buffer, bytes, reads) in
            [(KIB, 64 * KIB, 64), (64 * KIB, 256 * KIB, 4), (1024 * KIB, 1024 * KIB, 1)]
        {
            let builder = EventLoop::builder().selector(kind).clock(SimClock::new());
            let mut el = builder.read_buffer(buffer).build().unwrap();
            let (ours, mut theirs) = pair();
            theirs.write_all(b"x").unwrap();
            let seen = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let stream = Endless { stream: ours, bytes: seen.0.clone(), reads: seen.1.clone() };
            let reading = async move {
                let stream = mainspring::Io::new(stream).unwrap();
                loop {
                    stream.read_chunk().await.unwrap();
                }
            };
            el.spawn(reading).detach();
            for _ in 0..3 {
                el.tick(Some(Duration::ZERO)).unwrap();
                assert_eq!((seen.0.take(), seen.1.take()), (bytes, reads));
            }
        }
    });
}

/// Bytes that come with descriptors, or could have done so, count as well.
#[test]
fn q5_a_task_receives_a_limited_number_of_bytes_in_a_tick() {
    const PIECE: usize = 16 * 1024;
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).clock(SimClock::new()).build().unwrap();
        let (ours, mut theirs) = pair();
        theirs.set_nonblocking(true).unwrap();
        let seen = Rc::new(Cell::new(0));
        let counter = seen.clone();
        let receiving = async move {
            let stream = mainspring::net::UnixStream::from_std(ours).unwrap();
            let mut buffer = vec![0; PIECE];
            loop {
                // The socket never runs empty, so no receive has to wait.
                while theirs.write(&buffer).is_ok() {}
                let (count, _) = stream.recv_fds(&mut buffer).await.unwrap();
                counter.set(counter.get() + count);
            }
        };
        el.spawn(receiving).detach();
        for _ in 0..3 {
            el.tick(Some(Duration::ZERO)).unwrap();
            assert!((1..=256 * 1024).contains(&seen.get()), "{} bytes", seen.get());
            seen.set(0);
        }
    });
}
