//! A saturated socket beside a timer and a pipe: each tick calls the selector once, and each source
//! has at most one entry in the ready deque (M2, M3).

use std::cell::Cell;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{DatagramBatch, DatagramOptions, UdpSocket as TaskSocket, UnixDatagram};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, SelectorKind};

use super::support::{address_of, udp};
use crate::support::on_every_selector;
use crate::support::selector::{Calls, counted};
use crate::support::ticks::tick;

const ROUNDS: usize = 100;
const MILLI: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
struct Seen {
    datagrams: usize,
    timer: usize,
    pipe: usize,
}

/// A loop with a timer of a millisecond and the reader of a pipe, which must not be delayed.
struct Bystanders {
    el: EventLoop<Seen>,
    calls: Rc<Calls>,
    clock: SimClock,
    writer: PipeWriter,
}

impl Bystanders {
    fn new(kind: SelectorKind) -> Bystanders {
        let (selector, calls) = counted(kind);
        let clock = SimClock::new();
        let builder = EventLoop::builder().selector(selector).clock(clock.clone());
        let el = builder.build_with(Seen::default()).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        el.call_every(MILLI, |_, seen: &mut Seen| seen.timer += 1).unwrap();
        el.add_reader(reader, |_, seen: &mut Seen, reader| {
            let mut reader: &PipeReader = reader;
            seen.pipe += reader.read(&mut [0; 8])?;
            Ok(())
        })
        .unwrap();
        Bystanders { el, calls, clock, writer }
    }

    /// Runs ticks in which both are due. `saturate` comes before each of them, and at most
    /// `entries` entries run beside theirs.
    fn are_on_time(&mut self, entries: usize, mut saturate: impl FnMut()) {
        tick(&mut self.el);
        self.calls.take();
        for round in 1..=ROUNDS {
            saturate();
            self.writer.write_all(b"x").unwrap();
            self.clock.advance(MILLI);
            let ran = tick(&mut self.el);
            assert!(ran <= 2 + entries, "{ran} entries in tick {round}");
            assert_eq!((self.el.state().timer, self.el.state().pipe), (round, round));
            assert_eq!(self.calls.take().0, 1, "waits of tick {round}");
        }
    }
}

#[test]
fn m2_a_flooded_endpoint_delays_neither_a_timer_nor_a_pipe() {
    on_every_selector(|kind| {
        for gro in [false, true] {
            let mut all = Bystanders::new(kind);
            let endpoint =
                all.el.bind_datagram("127.0.0.1:0", |_, seen: &mut Seen, it, datagram| {
                    seen.datagrams += 1;
                    it.send_to(b"answer", &datagram.from);
                    Ok(())
                });
            let endpoint = endpoint.unwrap();
            endpoint.enable(&DatagramOptions { gro, ..DatagramOptions::default() }).unwrap();
            let (peer, to) = (udp(), address_of(&endpoint));
            // The kernel drops those for which there is no room.
            all.are_on_time(1, || (0..128).for_each(|_| _ = peer.send_to(b"flood", to)));
            assert!(all.el.state().datagrams >= 32 * ROUNDS, "{:?}", all.el.state());
        }
    });
}

/// The batches of a task are limited by its budget.
#[test]
fn m2_a_flooded_task_delays_neither_a_timer_nor_a_pipe() {
    on_every_selector(|kind| {
        let mut all = Bystanders::new(kind);
        let socket = TaskSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let seen = Rc::new(Cell::new(0));
        let counted = seen.clone();
        let receiving = all.el.spawn(async move {
            let mut batch = DatagramBatch::new(4, 64);
            loop {
                let count = socket.recv_batch(&mut batch).await.unwrap();
                counted.set(counted.get() + count);
            }
        });
        let peer = udp();
        // The event, and the task.
        all.are_on_time(2, || (0..128).for_each(|_| _ = peer.send_to(b"flood", to)));
        assert!(seen.get() >= 32 * ROUNDS, "{}", seen.get());
        receiving.cancel("over");
    });
}

/// The receiver never reads, so the queue waits for its timer, which is due in each tick at most
/// once.
#[test]
fn m3_a_full_receiver_delays_neither_a_timer_nor_a_pipe() {
    on_every_selector(|kind| {
        let mut all = Bystanders::new(kind);
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        let endpoint = all.el.attach_datagram(ours, |_, _, _, _| Ok(())).unwrap();
        while endpoint.queued() == 0 {
            endpoint.send(b"x");
        }
        all.are_on_time(1, || endpoint.send(b"y"));
        assert_eq!(endpoint.queued(), (ROUNDS + 1) * 65);
    });
}
