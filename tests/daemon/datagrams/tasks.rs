//! Batches, facts and refusals with the sockets of tasks (M3, M5, M6).

use std::io::ErrorKind;
use std::rc::Rc;

use mainspring::net::{
    Address, DatagramBatch, DatagramOptions, Ecn, Outgoing, UdpSocket, UnixDatagram,
};

use crate::support::network::{bind_again, refusing_datagrams};
use crate::support::{on_every_selector, simulated};

#[test]
fn m6_tasks_send_and_receive_batches_with_their_facts() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.run_until_complete(async {
            let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
            let (ours, theirs) = (bind(), bind());
            let wanted = DatagramOptions { ecn: true, packet_info: true, ..Default::default() };
            let features = ours.enable(&wanted).unwrap();
            assert_eq!(ours.features(), features);
            let to = Address::Inet(ours.local_addr().unwrap());
            let receiving = mainspring::spawn(async move {
                let (mut batch, mut seen) = (DatagramBatch::new(8, 64), Vec::new());
                while seen.len() < 100 {
                    ours.recv_batch(&mut batch).await.unwrap();
                    seen.extend(batch.iter().map(|it| (it.bytes[0], it.ecn)));
                }
                seen
            });
            mainspring::yield_now().await;
            let bytes: Vec<u8> = (0..100).collect();
            // Halves of it: single datagrams, and one that is split.
            let single = bytes[..50].chunks(1).map(|it| Outgoing::new(it).to(&to).ecn(Ecn::Ce));
            let mut datagrams: Vec<_> = single.collect();
            datagrams.push(Outgoing::new(&bytes[50..]).to(&to).segment(1).ecn(Ecn::Ce));
            theirs.send_batch(&datagrams).await.unwrap();
            let seen = receiving.await.unwrap();
            let ecn = if features.ecn { Ecn::Ce } else { Ecn::NotEct };
            assert_eq!(seen, bytes.iter().map(|it| (*it, ecn)).collect::<Vec<_>>());
            assert!(theirs.max_segments() >= 1);
        })
        .unwrap();
    });
}

#[test]
fn m3_a_batch_of_a_task_waits_for_room() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.run_until_complete(async {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            let bytes: Vec<u8> = (0..200).collect();
            let sent = bytes.clone();
            let sending = mainspring::spawn(async move {
                let datagrams: Vec<_> = sent.chunks(1).map(Outgoing::new).collect();
                ours.send_batch(&datagrams).await.unwrap();
                let full = std::iter::repeat_with(|| ours.try_send_batch(&datagrams));
                full.filter_map(Result::err).next().unwrap().kind()
            });
            let (mut batch, mut seen) = (DatagramBatch::new(64, 8), Vec::new());
            while seen.len() < bytes.len() {
                theirs.recv_batch(&mut batch).await.unwrap();
                seen.extend(batch.iter().map(|it| it.bytes[0]));
            }
            assert_eq!(seen[..200], bytes);
            assert_eq!(sending.await.unwrap(), ErrorKind::WouldBlock);
        })
        .unwrap();
    });
}

/// The answer of ICMP to an earlier datagram wakes the receiver, and is an error of one call.
#[test]
fn m5_a_refusal_does_not_end_a_socket_of_a_task() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.run_until_complete(async {
            let (keeper, closed) = refusing_datagrams();
            let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            socket.connect(closed).unwrap();
            for is_batch in [false, true] {
                let ours = socket.clone();
                let receiving = mainspring::spawn(async move {
                    match is_batch {
                        false => ours.recv(&mut [0; 16]).await,
                        true => ours.recv_batch(&mut DatagramBatch::new(4, 16)).await,
                    }
                });
                mainspring::yield_now().await; // It waits for an event now.
                socket.send(b"lost").await.unwrap();
                let error = receiving.await.unwrap().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            }
            let server = UdpSocket::from_std(bind_again(keeper)).unwrap();
            socket.send(b"question").await.unwrap();
            let (_, from) = server.recv_from(&mut [0; 16]).await.unwrap();
            server.send_to(b"answer", from).await.unwrap();
            assert_eq!(socket.recv(&mut [0; 16]).await.unwrap(), 6);
        })
        .unwrap();
    });
}
