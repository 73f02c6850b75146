//! Datagram sockets of tasks (P87 and P88; docs/contract.md, M1, M3 and M5).

use std::io::ErrorKind;
use std::time::Duration;

use mainspring::net::{UdpSocket, UnixDatagram};
use mainspring::{Error, EventLoop, Interest, Readiness, timeout};

use crate::support::network::{bind_again, refusing_datagrams};
use crate::support::{on_every_selector, simulated};

fn tick_until_idle<S>(el: &mut EventLoop<S>) {
    el.run_until_stalled().unwrap();
}

#[test]
fn m5_p87_a_connected_socket_gets_a_refusal_once() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (keeper, closed) = refusing_datagrams();
        el.run_until_complete(async {
            let loose = UdpSocket::bind("127.0.0.1:0").unwrap();
            loose.send_to(b"lost", closed).await.unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(closed).unwrap();
            let mut buffer = [0; 64];
            // The socket has waited once, so it is registered and gets the error.
            let waiting = timeout(Duration::ZERO, socket.recv(&mut buffer)).await;
            assert!(matches!(waiting, Err(Error::TimedOut(_))));
            socket.send(b"lost").await.unwrap();
            let refused = socket.recv(&mut buffer).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            // A server is bound to that address now.
            let server = UdpSocket::from_std(bind_again(keeper)).unwrap();
            socket.send(b"question").await.unwrap();
            let (count, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..count], from), (&b"question"[..], socket.local_addr().unwrap()));
            let answering = mainspring::spawn(async move {
                server.send_to(b"answer", from).await.unwrap();
            });
            assert_eq!(socket.recv(&mut buffer).await.unwrap(), 6);
            answering.await.unwrap();
            // The error has been consumed, and the readiness does not contain it.
            let ready = socket.io().ready(Interest::WRITABLE).await.unwrap();
            assert_eq!(ready, Readiness::WRITABLE);
            loose.send_to(b"still good", loose.local_addr().unwrap()).await.unwrap();
            assert_eq!(loose.recv_from(&mut buffer).await.unwrap().0, 10);
        })
        .unwrap();
    });
}

#[test]
fn m1_p88_empty_datagrams_are_data_and_long_ones_are_truncated() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (server, client) = (udp(), udp());
        let address = server.local_addr().unwrap();
        let receiving = el.spawn(async move {
            let mut buffer = [0; 4];
            let mut lengths = Vec::new();
            assert_eq!(server.peek_from(&mut buffer).await.unwrap().0, 0);
            for _ in 0..3 {
                lengths.push(server.recv_from(&mut buffer).await.unwrap().0);
            }
            (lengths, buffer)
        });
        tick_until_idle(&mut el);
        for datagram in [&b""[..], b"too long", b""] {
            el.run_until_complete(client.send_to(datagram, address)).unwrap().unwrap();
        }
        tick_until_idle(&mut el);
        let received = el.run_until_complete(receiving).unwrap().unwrap();
        assert_eq!(received, (vec![0, 4, 0], *b"too "));
    });
}

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn w12_p88_the_error_of_an_address_in_use_names_it() {
    let (_el, _) = simulated(mainspring::SelectorKind::Poll, ());
    let socket = udp();
    let address = socket.local_addr().unwrap();
    let refused = UdpSocket::bind(address).unwrap_err();
    assert!(matches!(&refused, Error::Bind { address: of, .. } if *of == address.to_string()));
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
}

/// A connected socket gets a kernel event when there is room; an unconnected one retries with a
/// timer.
#[test]
fn m3_p88_unix_datagrams_wait_for_room() {
    const MANY: u32 = 2000;
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let path = crate::support::network::short_dir()
            .join(format!("mainspring-dgram-{}", std::process::id()));
        let server = UnixDatagram::bind(path.as_path()).unwrap();
        let [connected, loose] = [(); 2].map(|()| UnixDatagram::unbound().unwrap());
        connected.connect(&path).unwrap();
        let to = path.clone();
        let connected = el.spawn(async move {
            for number in 0..MANY {
                connected.send(&number.to_ne_bytes()).await.unwrap();
            }
        });
        tick_until_idle(&mut el);
        assert!(!connected.is_finished());
        let loose = el.spawn(async move { loose.send_to(b"last", to).await.unwrap() });
        run_due_ticks(&mut el);
        assert!(!loose.is_finished());
        let receiving = el.spawn(async move {
            let (mut numbers, mut buffer) = (0, [0; 8]);
            for _ in 0..=MANY {
                let (count, _) = server.recv_from(&mut buffer).await.unwrap();
                numbers += u32::from(buffer[..count] == u32::to_ne_bytes(numbers));
            }
            numbers
        });
        assert_eq!(el.run_until_complete(receiving).unwrap().unwrap(), MANY);
        assert!(connected.is_finished());
        el.run_until_complete(loose).unwrap().unwrap();
        assert!(clock.elapsed() < Duration::from_secs(10));
        std::fs::remove_file(path).unwrap();
    });
}

/// Runs the ticks that are due at once. A retry timer is always armed, so the loop is never idle.
fn run_due_ticks<S>(el: &mut EventLoop<S>) {
    for _ in 0..20 {
        crate::support::ticks::tick(el);
    }
}
