//! The queue, its water marks, backoff, and batches (M3).

use std::iter;
use std::time::Duration;

use mainspring::net::{Datagram, DatagramProtocol, DatagramTransport, Outgoing, UnixDatagram};
use mainspring::{LoopHandle, Result};

use super::support::{Log, Logging, take, to, udp};
use crate::support::network::short_dir;
use crate::support::selector::counted;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

/// A Unix receiver that does not read is full after some datagrams.
#[test]
fn m3_datagrams_without_room_are_queued_and_sent_in_order() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let path = short_dir().join(format!("mainspring-queue-{}", std::process::id()));
        let receiver = UnixDatagram::bind(path.as_path()).unwrap().into_std();
        let address = mainspring::net::IntoAddress::into_address(path.as_path()).unwrap();
        let log = Log::default();
        let sender = UnixDatagram::unbound().unwrap();
        let endpoint = el.attach_datagram_with(sender, Logging(log.clone())).unwrap();
        let mut sent = 0_u32;
        while endpoint.queued() <= 64 * 1024 {
            let bytes = sent.to_ne_bytes();
            // Each way of sending keeps the order.
            match sent % 3 {
                0 => endpoint.send_to(&bytes, &address),
                _ => endpoint.send_batch(&[Outgoing::new(&bytes).to(&address)]),
            }
            sent += 1;
        }
        tick(&mut el);
        tick(&mut el);
        assert_eq!(take(&log), ["made", "pause"]);
        // Without a report of room the next attempt is that of a timer: no tick spins.
        assert_eq!((0..10).map(|_| tick(&mut el)).sum::<usize>(), 0);
        let mut received = 0_u32;
        let mut buffer = [0; 8];
        while received < sent {
            while let Ok(4) = receiver.recv(&mut buffer) {
                assert_eq!(buffer[..4], received.to_ne_bytes());
                received += 1;
            }
            if received < sent {
                el.tick(None).unwrap();
            }
        }
        tick(&mut el);
        tick(&mut el);
        assert_eq!((endpoint.queued(), take(&log)), (0, vec!["resume".to_owned()]));
        assert!(clock.elapsed() < Duration::from_secs(10));
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn m4_close_sends_the_queue_and_abort_drops_it() {
    on_every_selector(|kind| {
        for is_aborted in [false, true] {
            let (mut el, clock) = simulated(kind, ());
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            let theirs = theirs.into_std();
            let log = Log::default();
            let endpoint = el.attach_datagram_with(ours, Logging(log.clone())).unwrap();
            let mut sent = 0;
            while endpoint.queued() == 0 {
                endpoint.send(b"x");
                sent += 1;
            }
            endpoint.close();
            endpoint.send(b"too late");
            tick(&mut el);
            assert_eq!(take(&log), ["made"]);
            let mut next = || theirs.recv(&mut [0; 16]).ok();
            if is_aborted {
                next().unwrap(); // The peer has room for the one that is queued.
                endpoint.abort();
                el.run().unwrap();
                assert_eq!(take(&log), ["lost"]);
                let received = 1 + iter::from_fn(next).count();
                assert_eq!(received, sent - 1, "the one that was queued is dropped");
                continue;
            }
            let mut received = 0;
            while received < sent {
                received += iter::from_fn(&mut next).count();
                if received < sent {
                    el.tick(None).unwrap();
                }
            }
            assert!(clock.elapsed() < Duration::from_secs(10));
            el.run().unwrap();
            assert_eq!(take(&log), ["lost"]);
        }
    });
}

#[test]
fn m4_a_receiver_that_never_reads_delays_the_end_for_a_minute() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        el.set_exception_handler(|_, (), report| panic!("{report}"));
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        let log = Log::default();
        let endpoint = el.attach_datagram_with(ours, Logging(log.clone())).unwrap();
        while endpoint.queued() == 0 {
            endpoint.send(b"x");
        }
        endpoint.close();
        el.run().unwrap();
        assert_eq!(take(&log), ["made", "lost TimedOut"]);
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
    });
}

/// Counts datagrams, and overrides `resume_writing` alone. Its calls of the default `pause_writing`
/// do nothing while the queue is short.
struct Counting;

impl DatagramProtocol<i32> for Counting {
    fn datagram_received(
        &mut self,
        el: &LoopHandle<i32>,
        seen: &mut i32,
        endpoint: &DatagramTransport,
        _: &Datagram<'_>,
    ) -> Result<()> {
        *seen += 1;
        self.pause_writing(el, seen, endpoint)
    }

    fn resume_writing(
        &mut self,
        _: &LoopHandle<i32>,
        _: &mut i32,
        _: &DatagramTransport,
    ) -> Result<()> {
        Ok(())
    }
}

#[test]
fn m3_the_default_pauses_reading_until_the_queue_is_short() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let theirs = theirs.into_std();
        let endpoint = el.attach_datagram_with(ours, Counting).unwrap();
        endpoint.set_water_marks(0, 1000);
        assert_eq!(endpoint.water_marks(), (0, 1000));
        while endpoint.queued() <= 1000 {
            endpoint.send(b"x");
        }
        tick(&mut el);
        assert!(!endpoint.is_reading());
        theirs.send(b"question").unwrap();
        tick(&mut el);
        assert_eq!(*el.state(), 0);
        while endpoint.queued() > 0 {
            while theirs.recv(&mut [0; 16]).is_ok() {}
            el.tick(None).unwrap();
        }
        (0..3).for_each(|_| _ = tick(&mut el));
        assert!(endpoint.is_reading());
        assert_eq!(*el.state(), 1);
    });
}

/// Sending changes no registration, and a batch needs no tick.
#[test]
fn m3_sending_at_once_changes_no_registration() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = mainspring::EventLoop::builder().selector(selector).build().unwrap();
        let peer = udp();
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        tick(&mut el);
        calls.take();
        let receiver = to(&peer);
        for number in 0..10_u8 {
            endpoint.send_to(&[number], &receiver);
        }
        let batch: Vec<[u8; 1]> = (10..130).map(|number| [number]).collect();
        let batch: Vec<_> = batch.iter().map(|bytes| Outgoing::new(bytes).to(&receiver)).collect();
        endpoint.send_batch(&batch);
        for number in 0..130_u8 {
            let mut buffer = [0; 4];
            assert_eq!((peer.recv(&mut buffer).unwrap(), buffer[0]), (1, number));
        }
        assert_eq!((endpoint.queued(), calls.take()), (0, (0, 0)));
    });
}

/// A datagram of a batch that cannot be sent is skipped; those after it are sent.
#[test]
fn m3_a_batch_goes_on_after_a_datagram_that_cannot_be_sent() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let peer = udp();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        let (good, bad) = (to(&peer), "127.0.0.1:0".parse().unwrap());
        let long = vec![0; 70_000];
        endpoint.send_batch(&[
            Outgoing::new(b"0").to(&bad),
            Outgoing::new(b"1").to(&good),
            Outgoing::new(&long).to(&good),
            Outgoing::new(b"2").to(&bad),
            Outgoing::new(b"3").to(&good),
        ]);
        let mut buffer = [0; 4];
        for expected in [b"1", b"3"] {
            let count = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected);
        }
        tick(&mut el);
        tick(&mut el);
        assert_eq!(take(&log).iter().filter(|line| line.starts_with("error")).count(), 3);
    });
}
