//! Spurious events (docs/contract.md, N6).

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::Transport;
use mainspring::selector::{Event, Events, Selector, Token};
use mainspring::{EventLoop, Interest, Io, Metrics, Readiness, SelectorKind, yield_now};

use crate::support::custom_stream::AlteredStream;
use crate::support::descriptors::{fill, pair, readable, tcp_pair};
use crate::support::network::{client, echo, listener};
use crate::support::selector::{Call, Wrapped, Wrapper};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated, simulated_builder};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Returns the numbers of spurious and of stale events.
fn missed(metrics: &Metrics) -> (u64, u64) {
    (metrics.spurious_events(), metrics.stale_events())
}

/// Runs `call` in each tick after the selector was called, and before its events are served.
fn after_each_select(el: &EventLoop, mut call: impl FnMut() + 'static) {
    el.on_check(move |_, ()| call()).unwrap();
}

#[test]
fn n6_an_event_for_a_paused_or_cancelled_watcher_is_spurious() {
    on_every_selector(|kind| {
        for cancels in [false, true] {
            let (mut el, _clock) = simulated(kind, ());
            let watchers = Rc::new(Cell::new([None; 2]));
            let add = |index: usize| {
                let (ours, theirs) = readable();
                let watchers = watchers.clone();
                el.add_reader(ours, move |el, (), _| {
                    let _open = &theirs;
                    // The one that runs first ends the other one.
                    let other = watchers.get()[1 - index].unwrap();
                    match cancels {
                        true => _ = el.cancel(other),
                        false => el.set_interest(other, Interest::empty())?,
                    }
                    Ok(())
                })
                .unwrap()
            };
            watchers.set([Some(add(0)), Some(add(1))]);
            el.tick(NOW).unwrap();
            let metrics = el.metrics();
            assert_eq!((metrics.events(), metrics.calls()), (2, 1));
            assert_eq!(missed(&metrics), (1, u64::from(cancels)));
        }
    });
}

#[test]
fn n6_an_event_that_no_task_waits_for_is_spurious() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let stop = Rc::new(Cell::new(false));
        let stopped = stop.clone();
        el.spawn(async move {
            let io = Io::with_interest(ours, Interest::READABLE).unwrap();
            io.readable().await.unwrap(); // Now it is watched.
            io.read(&mut [0; 8]).await.unwrap();
            io.clear_readiness(Interest::READABLE);
            while !stopped.get() {
                yield_now().await;
            }
        })
        .detach();
        el.tick(NOW).unwrap();
        theirs.write_all(b"x").unwrap();
        el.tick(NOW).unwrap();
        let before = el.metrics().events();
        assert_eq!(missed(&el.metrics()), (0, 0));
        theirs.write_all(b"x").unwrap();
        el.tick(NOW).unwrap();
        assert_eq!((el.metrics().events() - before, missed(&el.metrics())), (1, (1, 0)));
        stop.set(true);
        el.run().unwrap();
    });
}

#[test]
fn n6_a_connection_whose_first_read_would_block_had_a_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = tcp_pair();
        let mut thief = ours.try_clone().unwrap();
        el.attach(ours, |_, (), _, _| panic!("no input is left")).unwrap();
        theirs.write_all(b"x").unwrap();
        after_each_select(&el, move || _ = thief.read(&mut [0; 8]));
        el.tick(None).unwrap();
        assert_eq!((el.metrics().events(), missed(&el.metrics())), (1, (1, 0)));
    });
}

#[test]
fn n6_a_queue_that_finds_no_room_had_a_spurious_event() {
    on_every_selector(|kind| {
        // A user-defined stream may have written a part of something.
        assert_eq!(without_room(kind, |el, ours| el.attach(ours, |_, (), _, _| Ok(()))), (1, 0));
        let attach =
            |el: &EventLoop, ours| el.attach(AlteredStream::new(ours), |_, (), _, _| Ok(()));
        assert_eq!(without_room(kind, attach), (0, 0));
    });
}

/// Returns the missed events of a connection that has no room when its queue is written.
fn without_room(
    kind: SelectorKind,
    attach: impl FnOnce(&EventLoop, UnixStream) -> mainspring::Result<Transport>,
) -> (u64, u64) {
    let (mut el, _clock) = simulated(kind, ());
    let (ours, mut theirs) = pair();
    let copy = ours.try_clone().unwrap();
    let conn = attach(&el, ours).unwrap();
    fill(&copy);
    conn.write(b"queued");
    el.tick(NOW).unwrap();
    assert_eq!(missed(&el.metrics()), (0, 0));
    let mut buffer = vec![0; 1 << 20];
    while el.metrics().events() == 0 {
        assert!(theirs.read(&mut buffer).unwrap() > 0); // Until there is room.
        let copy = copy.try_clone().unwrap();
        let hook = el.on_check(move |_, ()| fill(&copy)).unwrap();
        el.tick(NOW).unwrap();
        el.cancel(hook);
    }
    assert_eq!(conn.queued(), 6);
    missed(&el.metrics())
}

#[test]
fn n6_an_endpoint_that_receives_nothing_had_a_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (thief, address) = (ours.try_clone().unwrap(), ours.local_addr().unwrap());
        el.attach_datagram(ours, |_, (), _, _| panic!("nothing is left")).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"x", address).unwrap();
        after_each_select(&el, move || _ = thief.recv(&mut [0; 8]));
        el.tick(None).unwrap();
        assert_eq!((el.metrics().events(), missed(&el.metrics())), (1, (1, 0)));
    });
}

#[test]
fn n6_a_server_whose_client_another_process_accepts_had_a_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (listener, address) = listener();
        let thief = TcpListener::from(listener.try_clone().unwrap());
        thief.set_nonblocking(true).unwrap();
        let server = echo(&el, listener);
        let _client = client(address);
        after_each_select(&el, move || drop(thief.accept()));
        el.tick(None).unwrap();
        assert_eq!((missed(&el.metrics()), server.connections()), ((1, 0), 0));
    });
}

/// Selector that reports once, on request, that the descriptor registered last has room.
#[derive(Debug)]
struct Unrequested {
    real: Box<dyn Selector>,
    registered: Option<Token>,
    is_due: Rc<Cell<bool>>,
}

impl Wrapper for Unrequested {
    fn real(&self) -> &dyn Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.real
    }

    fn on_change(&mut self, _: Call, token: Option<Token>) -> io::Result<()> {
        self.registered = token.or(self.registered);
        Ok(())
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.real.select(events, timeout)?;
        if self.is_due.take() {
            let token = self.registered.unwrap();
            events.push(Event { token, readiness: Readiness::WRITABLE });
        }
        Ok(())
    }
}

#[test]
fn n6_an_event_that_no_callback_of_a_descriptor_has_requested_is_spurious() {
    on_every_selector(|kind| {
        let is_due = Rc::new(Cell::new(false));
        let (real, registered) = (kind.open().unwrap(), None);
        let selector = Unrequested { real, registered, is_due: is_due.clone() };
        let selector: Box<dyn Selector> = Box::new(Wrapped(selector));
        let mut el = EventLoop::builder().selector(selector).build().unwrap();
        let (ours, _theirs) = pair();
        let ours = Rc::new(ours);
        el.add_reader(ours.clone(), |_, (), _| panic!("there is no input")).unwrap();
        let writer = el.add_writer(ours, |_, (), _| panic!("it is paused")).unwrap();
        el.set_interest(writer, Interest::empty()).unwrap();
        el.tick(NOW).unwrap();
        is_due.set(true);
        el.tick(NOW).unwrap();
        assert_eq!((el.metrics().events(), missed(&el.metrics())), (1, (1, 0)));
    });
}

/// A busy connection next to another watcher, and connections that end.
#[test]
fn n6_ordinary_traffic_has_no_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (listener, address) = listener();
        let _server = echo(&el, listener);
        let (ours, theirs) = readable();
        el.add_reader(ours, move |_, (), _| Ok(drop(theirs.peer_addr()))).unwrap();
        let mut clients = [client(address), client(address)];
        let mut buffer = vec![0; 1 << 16];
        for round in 0..100 {
            clients[0].write_all(&[1; 10_000]).unwrap();
            if round % 5 == 0 {
                clients[1].write_all(b"now and then").unwrap();
            }
            el.tick(NOW).unwrap();
            clients.iter_mut().for_each(|client| _ = client.read(&mut buffer));
        }
        drop(clients);
        (0..10).for_each(|_| _ = el.tick(NOW).unwrap());
        assert!(el.metrics().received_bytes() > 500_000);
        assert_eq!(missed(&el.metrics()), (0, 0));
    });
}

#[test]
fn n6_tasks_that_wait_have_no_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (reader, writer) = std::io::pipe().unwrap();
        let reader = Rc::new(Io::with_interest(reader, Interest::READABLE).unwrap());
        let ours = reader.clone();
        let read = el.spawn(async move { ours.read(&mut [0; 8]).await });
        tick(&mut el);
        (&writer).write_all(b"hello").unwrap();
        assert_eq!(el.run_until_complete(read).unwrap().unwrap().unwrap(), 5);
        assert_eq!((el.metrics().events(), missed(&el.metrics())), (1, (0, 0)));
        // The same descriptor, when no task waits.
        (&writer).write_all(b"hello").unwrap();
        tick(&mut el);
        assert_eq!((el.metrics().events(), missed(&el.metrics())), (2, (1, 0)));
        drop(reader);
    });
}

/// Each read but the first may find nothing: a read has filled the buffer, or a run has read as
/// much as it may.
#[test]
fn n6_the_end_of_an_input_is_no_spurious_event() {
    const BUFFER: usize = 8;
    on_every_selector(|kind| {
        let mut el = simulated_builder(kind).0.read_buffer(BUFFER).build().unwrap();
        let (ours, mut theirs) = tcp_pair();
        el.attach(ours, |_, (), _, _| Ok(())).unwrap();
        for reads in 1..100 {
            let before = el.metrics().received_bytes();
            theirs.write_all(&vec![7; reads * BUFFER]).unwrap();
            while el.metrics().received_bytes() - before < (reads * BUFFER) as u64 {
                el.tick(None).unwrap();
            }
            (0..3).for_each(|_| _ = el.tick(NOW).unwrap());
            assert_eq!(missed(&el.metrics()), (0, 0), "{reads} reads");
        }
    });
}

/// A receive takes all datagrams that wait, up to a limit, and the next one finds nothing.
#[test]
fn n6_the_last_datagram_is_no_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = ours.local_addr().unwrap();
        el.attach_datagram(ours, |_, (), _, _| Ok(())).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        for count in 1..=70 {
            (0..count).for_each(|_| _ = peer.send_to(b"x", address).unwrap());
            (0..4).for_each(|_| _ = el.tick(NOW).unwrap());
            assert_eq!(missed(&el.metrics()), (0, 0), "{count} datagrams");
        }
        assert_eq!(el.metrics().received_bytes(), 71 * 35);
    });
}

/// A user-defined stream may have read a part of something, such as a record of TLS.
#[test]
fn n6_a_stream_of_the_user_that_reads_nothing_had_no_spurious_event() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let part = ours.try_clone().unwrap();
        part.set_nonblocking(true).unwrap();
        let before_read = Box::new(move || _ = (&part).read(&mut [0; 8]));
        let stream = AlteredStream { before_read, ..AlteredStream::new(ours) };
        el.attach(stream, |_, (), _, _| panic!("no input is left")).unwrap();
        theirs.write_all(b"x").unwrap();
        el.tick(NOW).unwrap();
        assert_eq!((el.metrics().events(), missed(&el.metrics())), (1, (0, 0)));
    });
}
