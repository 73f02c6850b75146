//! Places and addresses of descriptors and remotes (docs/contract.md, O17, O18, O19).

use std::future::Future;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use mainspring::net::{Address, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use mainspring::process::Child;
use mainspring::snapshot::{Entry, EntryKind};
use mainspring::{EventLoop, Interest, Io, SelectorKind, timeout};

use super::only;
use crate::support::descriptors::pair;
use crate::support::ticks::{tick, wait_until};
use crate::support::{on_every_selector, simulated};

const SOON: Duration = Duration::from_secs(60);

/// Runs `waiting` until it waits, and checks that its descriptors were made on these lines after
/// `first`.
#[track_caller]
fn check(kind: SelectorKind, first: u32, lines: &[u32], waiting: impl Future + 'static) {
    let mut el = EventLoop::builder().selector(kind).build().unwrap();
    let task = el.spawn(async move { drop(waiting.await) });
    let lines: Vec<u32> = lines.iter().map(|line| first + line).collect();
    wait_until(&mut el, |el| {
        let snapshot = el.snapshot();
        let descriptors =
            snapshot.entries().iter().filter(|entry| entry.kind() == EntryKind::Descriptor);
        let places = descriptors.map(|entry| entry.location().unwrap());
        let mut found: Vec<u32> = places
            .inspect(|place| assert_eq!(place.file(), file!()))
            .map(|place| place.line())
            .collect();
        found.sort_unstable();
        found == lines
    });
    drop(task);
}

#[test]
fn o17_a_descriptor_has_the_place_of_its_io() {
    on_every_selector(|kind| {
        check(kind, line!(), &[2], async {
            let (ours, _theirs) = pair();
            Io::new(ours).unwrap().readable().await
        });
        check(kind, line!(), &[2], async {
            let (ours, _theirs) = pair();
            Io::with_interest(ours, Interest::READABLE).unwrap().readable().await
        });
        check(kind, line!(), &[1], async {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            ours.read(&mut [0; 8]).await
        });
        check(kind, line!(), &[2], async {
            let (ours, _theirs) = StdStream::pair().unwrap();
            let ours = UnixStream::from_std(ours).unwrap();
            ours.read(&mut [0; 8]).await
        });
        check(kind, line!(), &[1], async {
            UdpSocket::bind("127.0.0.1:0").unwrap().recv_from(&mut [0; 8]).await.map(drop)
        });
        check(kind, line!(), &[1], async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            ours.recv_from(&mut [0; 8]).await.map(drop)
        });
        check(kind, line!(), &[3], async {
            let mut command = Command::new("sleep");
            let child = Child::spawn(command.arg("60").stdout(Stdio::piped())).unwrap();
            child.kill_on_drop(true).output_with_limit(100).await
        });
    });
}

#[test]
fn o17_a_connected_descriptor_has_the_place_of_the_connect() {
    on_every_selector(|kind| {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        check(kind, line!(), &[1], async move {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.read(&mut [0; 8]).await
        });
        check(kind, line!(), &[1], async move {
            let stream = TcpStream::connect_timeout(address, SOON).await.unwrap();
            stream.read(&mut [0; 8]).await
        });
        check(kind, line!(), &[2], async move {
            let addresses = [address];
            let stream = TcpStream::connect_any(&addresses, SOON).await.unwrap();
            stream.read(&mut [0; 8]).await
        });
        check(kind, line!(), &[1], async move {
            let stream = TcpStream::connect_host(address, SOON).await.unwrap();
            stream.read(&mut [0; 8]).await
        });
        check(kind, line!(), &[1], async move {
            let stream = TcpStream::connect_from("127.0.0.1:0", address).await.unwrap();
            stream.read(&mut [0; 8]).await
        });
    });
}

#[test]
fn o17_an_accepted_descriptor_has_the_place_of_its_listener() {
    on_every_selector(|kind| {
        check(kind, line!(), &[1, 1, 2], async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            mainspring::spawn(async move { client.read(&mut [0; 8]).await }).detach();
            drop(listener.accept().await);
            server.read(&mut [0; 8]).await
        });
    });
}

/// The place moves with the source: after the end of the first loop it is still known.
#[test]
fn o17_a_descriptor_keeps_its_place_in_another_loop() {
    on_every_selector(|kind| {
        let [(mut one, clock), (mut other, _)] = [(); 2].map(|()| simulated(kind, ()));
        let (ours, _theirs) = pair();
        let here = line!() + 1;
        let io = std::rc::Rc::new(Io::new(ours).unwrap());
        let wait = |el: &mut EventLoop| {
            let io = io.clone();
            let task = el.spawn(async move { drop(timeout(SOON, io.readable()).await) });
            tick(el);
            let place = only(&el.snapshot(), EntryKind::Descriptor).location();
            task.cancel("enough");
            tick(el);
            place.map(|place| place.line())
        };
        assert_eq!(wait(&mut one), Some(here));
        assert_eq!(wait(&mut other), Some(here));
        assert_eq!(wait(&mut one), Some(here));
        drop(one);
        assert_eq!(wait(&mut other), None);
        clock.advance(SOON);
    });
}

#[test]
fn o18_remotes_are_listed_by_the_call_that_made_them() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let remotes = |el: &EventLoop| -> Vec<(u32, Option<usize>, Option<u64>)> {
            let snapshot = el.snapshot();
            let found =
                snapshot.entries().iter().filter(|entry| entry.kind() == EntryKind::Remotes);
            let by_place = snapshot.by_place().iter().map(|place| place.count()).sum::<usize>();
            let all: Vec<&Entry> = found.collect();
            assert_eq!(by_place, all.iter().filter_map(|entry| entry.count()).sum::<usize>());
            assert!(all.iter().all(|entry| entry.keeps_alive()));
            all.iter()
                .map(|entry| (entry.location().unwrap().line(), entry.count(), entry.age()))
                .collect()
        };
        let first = line!() + 1;
        let mut kept: Vec<_> = (0..3).map(|_| el.remote()).collect();
        tick(&mut el);
        let second = line!() + 1;
        let other = el.remote();
        let clone = other.clone();
        let background = other.background();
        let sent = background.clone();
        assert_eq!(remotes(&el), [(first, Some(3), Some(1)), (second, Some(2), Some(0))]);
        kept.truncate(1);
        thread::spawn(move || drop((clone, sent))).join().unwrap();
        assert_eq!(remotes(&el), [(first, Some(1), Some(1)), (second, Some(1), Some(0))]);
        drop(kept);
        assert_eq!(remotes(&el), [(second, Some(1), Some(0))]);
        drop((other, background));
        assert!(remotes(&el).is_empty());
        tick(&mut el);
        assert!(!el.is_alive());
        let again = line!() + 1;
        let _again = el.remote();
        assert_eq!(remotes(&el), [(again, Some(1), Some(0))]);
    });
}

#[test]
fn o19_a_descriptor_of_a_socket_has_an_address() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let task = el.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            mainspring::spawn(async move {
                let _accepted = listener.accept().await;
                drop(listener.accept().await);
            })
            .detach();
            stream.read(&mut [0; 8]).await.map(drop)
        });
        let datagrams = el.bind_datagram("127.0.0.1:0", |_, (), _, _| Ok(())).unwrap();
        fn is_descriptor(entry: &&Entry) -> bool {
            entry.kind() == EntryKind::Descriptor
        }
        wait_until(&mut el, |el| el.snapshot().entries().iter().filter(is_descriptor).count() == 3);
        let snapshot = el.snapshot();
        let descriptors = snapshot.entries().iter().filter(is_descriptor);
        let inet = |address: Option<&Address>| address.and_then(Address::as_inet);
        let found: Vec<_> =
            descriptors.map(|entry| (inet(entry.peer()), inet(entry.address()))).collect();
        assert_eq!(found.len(), 3, "{snapshot}");
        assert!(found.contains(&(Some(address), None)), "the client: {snapshot}");
        assert!(found.contains(&(None, Some(address))), "the listener: {snapshot}");
        let is_accepted =
            |(peer, _): &&(Option<SocketAddr>, _)| peer.is_some_and(|peer| peer != address);
        assert_eq!(found.iter().filter(is_accepted).count(), 1, "{snapshot}");
        let entry = only(&snapshot, EntryKind::Datagrams);
        let own = datagrams.local_addr().unwrap();
        assert_eq!((entry.address(), entry.peer()), (Some(&own), None));
        datagrams.connect(address).unwrap();
        let connected = el.snapshot();
        let entry = only(&connected, EntryKind::Datagrams);
        assert_eq!((entry.address(), inet(entry.peer())), (None, Some(address)));
        drop(task);
    });
}
