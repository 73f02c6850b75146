//! Promises at their limits: the last datagram of a run, the byte at a water mark, calls of the
//! transport in the middle of an end (M1 to M5).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{
    Address, Datagram, DatagramOptions, DatagramProtocol, DatagramTransport, Outgoing, UnixDatagram,
};
use mainspring::{EventLoop, LoopHandle, PanicPolicy, Result, SelectorKind};

use super::support::{Log, Logging, address_of, take, udp};
use crate::support::process::alone_with_fault;
use crate::support::selector::logged;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

/// Returns an endpoint with a queue, and its peer, which does not read.
fn full(el: &EventLoop<()>, log: &Log) -> (DatagramTransport, std::os::unix::net::UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let endpoint = el.attach_datagram_with(ours, Logging(log.clone())).unwrap();
    while endpoint.queued() == 0 {
        endpoint.send(b"x");
    }
    (endpoint, theirs.into_std())
}

#[test]
fn m2_a_tick_receives_64_datagrams_even_after_a_pause() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, seen: &mut usize, it, _| {
            *seen += 1;
            if *seen == 65 {
                it.pause_reading();
            }
            Ok(())
        });
        let endpoint = endpoint.unwrap();
        let peer = udp();
        let flood = |count: usize| {
            (0..count).for_each(|_| _ = peer.send_to(b"x", address_of(&endpoint)).unwrap());
        };
        flood(100);
        tick(&mut el);
        assert_eq!(*el.state(), 64);
        tick(&mut el);
        assert_eq!(*el.state(), 65);
        flood(80);
        endpoint.resume_reading();
        for seen in [65 + 64, 180] {
            tick(&mut el);
            assert_eq!(*el.state(), seen);
        }
    });
}

#[test]
fn m2_a_paused_endpoint_has_no_events() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        endpoint.pause_reading();
        udp().send_to(b"x", address_of(&endpoint)).unwrap();
        assert_eq!((tick(&mut el), tick(&mut el)), (0, 0));
        endpoint.resume_reading();
        assert_eq!((tick(&mut el), tick(&mut el)), (1, 0));
    });
}

#[test]
fn m3_water_marks_are_exact() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let (endpoint, theirs) = full(&el, &log);
        tick(&mut el);
        assert_eq!((endpoint.queued(), take(&log)), (65, vec!["made".to_owned()]));
        endpoint.set_water_marks(65, 65);
        tick(&mut el);
        assert_eq!(take(&log), [""; 0], "at the high mark");
        endpoint.set_water_marks(64, 64);
        tick(&mut el);
        assert_eq!(take(&log), ["pause"], "above the high mark");
        endpoint.set_water_marks(65, 65);
        tick(&mut el);
        assert_eq!(take(&log), ["resume"], "at the low mark");
        drop(theirs);
    });
}

/// A run for another reason does not try again before the pause is over, so the next pause is not
/// longer.
#[test]
fn m3_a_pause_is_not_disturbed() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (endpoint, _theirs) = full(&el, &Log::default());
        endpoint.set_water_marks(0, 0);
        tick(&mut el);
        el.tick(None).unwrap();
        assert_eq!(clock.elapsed(), Duration::from_millis(1));
        endpoint.abort();
        assert_eq!(endpoint.queued(), 0);
        tick(&mut el);
        assert_eq!(el.metrics().timers(), 0, "no timer is left");
    });
}

/// While an endpoint closes, it accepts nothing and has no events of input.
#[test]
fn m4_a_closing_endpoint_neither_sends_nor_receives() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let (endpoint, theirs) = full(&el, &log);
        tick(&mut el);
        endpoint.close();
        let queued = endpoint.queued();
        endpoint.send(b"too late");
        endpoint.send_batch(&[Outgoing::new(b"too late")]);
        assert_eq!(endpoint.queued(), queued);
        theirs.send(b"question").unwrap();
        assert_eq!((tick(&mut el), tick(&mut el)), (0, 0));
        assert_eq!(take(&log), ["made"]);
    });
}

#[test]
fn m1_an_endpoint_that_is_aborted_at_once_is_only_lost() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        endpoint.abort();
        endpoint.abort();
        el.run().unwrap();
        assert_eq!(take(&log), ["lost"]);
    });
}

/// Sends another bad datagram in `error_received`, and aborts at the third error.
struct Repeats(Rc<RefCell<usize>>, Address);

impl DatagramProtocol<()> for Repeats {
    fn datagram_received(
        &mut self,
        _: &LoopHandle<()>,
        (): &mut (),
        endpoint: &DatagramTransport,
        _: &Datagram<'_>,
    ) -> Result<()> {
        endpoint.send_to(b"x", &self.1);
        Ok(())
    }

    fn error_received(
        &mut self,
        _: &LoopHandle<()>,
        (): &mut (),
        endpoint: &DatagramTransport,
        _: &io::Error,
    ) -> Result<()> {
        *self.0.borrow_mut() += 1;
        endpoint.send_to(b"x", &self.1);
        if *self.0.borrow() == 3 {
            endpoint.abort();
        }
        Ok(())
    }
}

/// An error of a call in a callback is passed on in the same run, and one of a call in
/// `error_received` in the next tick. After an abort no further one is.
#[test]
fn m5_each_error_is_passed_on_once_and_none_after_the_end() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (errors, wrong) = (Rc::new(RefCell::new(0)), "127.0.0.1:0".parse().unwrap());
        let endpoint =
            el.bind_datagram_with("127.0.0.1:0", Repeats(errors.clone(), wrong)).unwrap();
        tick(&mut el);
        udp().send_to(b"x", address_of(&endpoint)).unwrap();
        for expected in [1, 2] {
            assert_eq!((tick(&mut el), *errors.borrow()), (1, expected));
        }
        let wrong = "127.0.0.1:0".parse().unwrap();
        (0..2).for_each(|_| endpoint.send_to(b"x", &wrong));
        el.run().unwrap();
        assert_eq!(*errors.borrow(), 3);
    });
}

/// Datagrams that the kernel refuses at once, and at the end of the queue of a closing endpoint.
#[test]
fn m5_errors_are_passed_on_before_a_closed_endpoint_is_lost() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (log, wrong) = (Log::default(), "127.0.0.1:0".parse().unwrap());
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        endpoint.send_to(b"x", &wrong);
        endpoint.close();
        el.run().unwrap();
        assert_eq!(take(&log), ["made", "error InvalidInput", "lost"]);

        let (endpoint, theirs) = full(&el, &log);
        endpoint.close();
        tick(&mut el);
        drop(theirs); // The queue is refused.
        el.run().unwrap();
        let log = take(&log);
        assert_eq!((&log[0][..], &log[log.len() - 1][..]), ("made", "lost"));
        assert!(log[1].starts_with("error "), "{log:?}");
    });
}

#[test]
fn m5_an_aborted_endpoint_passes_no_error_on() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (log, wrong) = (Log::default(), "127.0.0.1:0".parse().unwrap());
        for is_closing in [false, true] {
            let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
            tick(&mut el);
            endpoint.send_to(b"x", &wrong);
            if is_closing {
                endpoint.close();
            }
            endpoint.abort();
            el.run().unwrap();
            assert_eq!(take(&log), ["made", "lost"]);
        }
    });
}

#[test]
fn m5_errors_outside_of_callbacks_cause_one_run() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        let wrong = "127.0.0.1:0".parse().unwrap();
        (0..3).for_each(|_| endpoint.send_to(b"x", &wrong));
        assert_eq!((tick(&mut el), tick(&mut el)), (1, 0));
    });
}

/// A panic at the last datagram of those left over: the endpoint receives again.
#[test]
fn m5_an_endpoint_outlives_a_panic_at_each_datagram() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        el.set_panic_policy(PanicPolicy::Report);
        el.set_exception_handler(|_, _, _| {});
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, seen: &mut usize, _, _| {
            *seen += 1;
            panic!("datagram {seen}")
        });
        let (endpoint, peer) = (endpoint.unwrap(), udp());
        for round in 1..=2 {
            (0..3).for_each(|_| _ = peer.send_to(b"x", address_of(&endpoint)).unwrap());
            (0..4).for_each(|_| _ = tick(&mut el));
            assert_eq!(*el.state(), 3 * round);
        }
    });
}

/// A kernel without memory for the registration. Nothing would wake the endpoint again.
#[test]
fn m4_an_endpoint_that_cannot_be_watched_again_is_lost() {
    on_every_selector(|kind| {
        let (mut el, refusals) = logged(kind, ());
        el.set_exception_handler(|_, (), _| {});
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        tick(&mut el);
        endpoint.pause_reading();
        refusals.refuse_next(rustix::io::Errno::NOMEM);
        endpoint.resume_reading();
        tick(&mut el);
        assert_eq!(take(&log), ["made", "lost OutOfMemory"]);
        assert_eq!((tick(&mut el), el.is_alive()), (0, false));
    });
}

#[test]
fn m6_features_are_added() {
    let (el, _) = simulated(SelectorKind::Poll, ());
    let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
    let ecn = endpoint.enable(&DatagramOptions { ecn: true, ..Default::default() }).unwrap();
    let wanted = DatagramOptions { packet_info: true, ..Default::default() };
    let both = endpoint.enable(&wanted).unwrap();
    assert_eq!((both.ecn, endpoint.features()), (ecn.ecn, both));
}

/// Pauses of sending and of receiving at the same time end together, and the loop with them.
#[test]
fn m4_pauses_of_both_directions_end() {
    let name = "datagrams::edges::m4_pauses_of_both_directions_end";
    alone_with_fault(name, "sendmmsg,recvmmsg:error=ENOBUFS:when=1", || {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let log = Log::default();
        let peer = udp();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        let to = peer.local_addr().unwrap().into();
        endpoint.send_batch(&[Outgoing::new(b"answer").to(&to)]);
        peer.send_to(b"x", address_of(&endpoint)).unwrap();
        while endpoint.queued() > 0 || log.borrow().last().is_none_or(|line| line != "x") {
            el.tick(None).unwrap();
        }
        endpoint.close();
        el.run().unwrap();
        assert_eq!(take(&log).last().unwrap(), "lost");
    });
}
