//! The queue of an endpoint: order, facts, parts of split datagrams, pauses and errors (M3, M5).

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;

use mainspring::net::{
    DatagramOptions, DatagramTransport, Ecn, IntoAddress, Outgoing, UnixDatagram,
};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, SelectorKind};

use super::support::{Log, Logging, take};
use crate::support::network::SocketFile;
use crate::support::process::alone_with_fault;
use crate::support::ticks::{tick, wait_until};
use crate::support::{on_every_selector, simulated};

/// An endpoint with a Unix peer that reads only on request.
struct Pair {
    el: EventLoop<()>,
    clock: SimClock,
    endpoint: DatagramTransport,
    peer: StdDatagram,
}

impl Pair {
    fn new(kind: SelectorKind) -> Pair {
        let (el, clock) = simulated(kind, ());
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let endpoint = el.attach_datagram(ours, |_, _, _, _| Ok(())).unwrap();
        Pair { el, clock, endpoint, peer: theirs.into_std() }
    }

    /// Sends numbers until one is queued. Returns how many were sent.
    fn fill(&self) -> u16 {
        let mut sent = 0_u16;
        while self.endpoint.queued() == 0 {
            self.endpoint.send(&sent.to_ne_bytes());
            sent += 1;
        }
        sent
    }

    /// Returns the datagrams that have arrived.
    fn arrived(&self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 16];
        let received =
            std::iter::from_fn(|| self.peer.recv(&mut buffer).ok().map(|it| buffer[..it].to_vec()));
        received.collect()
    }

    /// Runs until `count` datagrams more have arrived, and returns them.
    fn arrive(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut arrived = self.arrived();
        while arrived.len() < count {
            assert_ne!(self.endpoint.queued(), 0, "{} of {count} have arrived", arrived.len());
            self.el.tick(None).unwrap();
            arrived.extend(self.arrived());
        }
        arrived
    }
}

/// The receiver has room again, and the endpoint has not noticed it yet.
#[test]
fn m3_no_datagram_overtakes_the_queue() {
    on_every_selector(|kind| {
        for is_batch in [false, true] {
            let mut pair = Pair::new(kind);
            let sent = pair.fill();
            let mut arrived = pair.arrived();
            match is_batch {
                false => pair.endpoint.send(&sent.to_ne_bytes()),
                true => pair.endpoint.send_batch(&[Outgoing::new(&sent.to_ne_bytes())]),
            }
            assert_eq!(pair.arrived(), [[0; 0]; 0], "sent before the queue");
            let rest = pair.arrive(usize::from(sent) + 1 - arrived.len());
            arrived.extend(rest);
            assert_eq!(
                arrived,
                (0..=sent).map(|number| number.to_ne_bytes().to_vec()).collect::<Vec<_>>()
            );
        }
    });
}

/// The kernel accepts some segments of a datagram, and later the others.
#[test]
fn m3_the_rest_of_a_split_datagram_is_queued() {
    on_every_selector(|kind| {
        let mut pair = Pair::new(kind);
        let bytes: Vec<u8> = (0..4001).map(|at: u32| at as u8).collect();
        let whole = Outgoing::new(&bytes).segment(2);
        pair.endpoint.send_batch(&[Outgoing::new(b"first"), whole, Outgoing::new(b"last")]);
        let left = pair.endpoint.queued();
        assert!(64 < left && left < bytes.len() + 4 + 2 * 64, "{left} bytes in the queue");
        let mut expected = vec![b"first".to_vec()];
        expected.extend(bytes.chunks(2).map(<[u8]>::to_vec));
        expected.push(b"last".to_vec());
        assert_eq!(pair.arrive(expected.len()), expected);
        assert_eq!((pair.endpoint.queued(), pair.arrived()), (0, Vec::new()));
    });
}

#[test]
fn m3_pauses_are_short_again_after_a_success() {
    on_every_selector(|kind| {
        let mut pair = Pair::new(kind);
        pair.fill();
        (0..4).for_each(|_| _ = pair.el.tick(None).unwrap());
        assert_eq!(pair.clock.elapsed(), Duration::from_millis(1 + 2 + 4 + 8));
        pair.arrived();
        pair.el.tick(None).unwrap();
        assert_eq!(pair.clock.elapsed(), Duration::from_millis(15 + 16));
        assert_eq!(pair.endpoint.queued(), 0);
        pair.fill();
        pair.el.tick(None).unwrap();
        assert_eq!(pair.clock.elapsed(), Duration::from_millis(31 + 1));
    });
}

#[test]
fn m5_an_error_of_a_queued_datagram_is_reported_and_those_after_it_are_sent() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (file, gone) = (SocketFile::new("full"), SocketFile::new("gone"));
        let receiver = UnixDatagram::bind(file.0.as_path()).unwrap().into_std();
        let [to, nowhere] = [&file, &gone].map(|it| it.0.as_path().into_address().unwrap());
        let log = Log::default();
        let sender = UnixDatagram::unbound().unwrap();
        let endpoint = el.attach_datagram_with(sender, Logging(log.clone())).unwrap();
        while endpoint.queued() == 0 {
            endpoint.send_to(b"x", &to);
        }
        endpoint.send_to(b"lost", &nowhere);
        endpoint.send_to(b"last", &to);
        let mut buffer = [0; 8];
        while receiver.recv(&mut buffer).ok() != Some(4) {
            if endpoint.queued() > 0 {
                el.tick(None).unwrap();
            }
        }
        assert_eq!(&buffer[..4], b"last");
        tick(&mut el);
        assert_eq!(take(&log), ["made", "error NotFound"]);
    });
}

#[test]
fn m3_queued_datagrams_keep_their_facts() {
    let name = "datagrams::queue::m3_queued_datagrams_keep_their_facts";
    alone_with_fault(name, "sendmmsg:error=EAGAIN:when=1", || {
        type Seen = Vec<(Vec<u8>, IpAddr, Ecn)>;
        let (mut el, _) = simulated(SelectorKind::Poll, Seen::new());
        let server = el.bind_datagram("127.0.0.1:0", |_, seen: &mut Seen, _, datagram| {
            let from = datagram.from.as_inet().unwrap().ip();
            seen.push((datagram.bytes.to_vec(), from, datagram.ecn));
            Ok(())
        });
        let server = server.unwrap();
        server.enable(&DatagramOptions { ecn: true, ..DatagramOptions::default() }).unwrap();
        let client = el.bind_datagram("0.0.0.0:0", |_, _, _, _| Ok(())).unwrap();
        let (to, source) = (server.local_addr().unwrap(), Ipv4Addr::new(127, 0, 0, 2).into());
        client.send_batch(&[
            Outgoing::new(b"abcde").to(&to).from(source).ecn(Ecn::Ce).segment(2),
            Outgoing::new(b"plain").to(&to),
        ]);
        assert_eq!(client.queued(), 5 + 5 + 2 * 64);
        wait_until(&mut el, |el| el.state().len() == 4);
        let usual = Ipv4Addr::LOCALHOST.into();
        let expected: [(&[u8], IpAddr, Ecn); 4] = [
            (b"ab", source, Ecn::Ce),
            (b"cd", source, Ecn::Ce),
            (b"e", source, Ecn::Ce),
            (b"plain", usual, Ecn::NotEct),
        ];
        assert_eq!(*el.state(), expected.map(|(bytes, from, ecn)| (bytes.to_vec(), from, ecn)));
    });
}
