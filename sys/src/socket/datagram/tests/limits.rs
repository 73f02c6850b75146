//! The limits of a call: messages, bytes and segments.

use std::io;

use super::{plain, udp};
use crate::socket::datagram::*;

/// Returns the lengths of the datagrams that have arrived.
fn lengths(socket: &std::net::UdpSocket) -> Vec<usize> {
    let (mut batch, mut lengths) = (DatagramBatch::new(64, 1 << 16), Vec::new());
    while let Ok(1..) = batch.recv(socket, plain()) {
        lengths.extend(batch.iter().map(|datagram| datagram.bytes.len()));
    }
    lengths
}

#[test]
fn a_call_sends_64_messages() {
    let (ours, theirs) = (udp(), udp());
    let to = Address::Inet(ours.local_addr().unwrap());
    let sent = SendBatch::new().send(&theirs, [Outgoing::new(b"x").to(&to); 100]).unwrap();
    assert_eq!((sent.datagrams, sent.bytes), (64, 0));
    let few = Outgoing::new(&[0; 70]).to(&to).segment(1);
    let mut batch = SendBatch::new();
    batch.refuse_segments();
    let sent = batch.send(&theirs, [few]).unwrap();
    assert_eq!((sent.datagrams, sent.bytes), (0, 64));
}

/// Five segments would be one packet without its headers.
#[test]
fn a_message_is_no_longer_than_a_packet() {
    let (ours, theirs) = (udp(), udp());
    let to = Address::Inet(ours.local_addr().unwrap());
    let bytes = vec![0; 5 * 13_107];
    let mut batch = SendBatch::new();
    let segments = batch.segments(&theirs);
    let sent = batch.send(&theirs, [Outgoing::new(&bytes).to(&to).segment(13_107)]).unwrap();
    assert_eq!((sent.datagrams, batch.segments(&theirs)), (1, segments));
    assert_eq!(lengths(&ours), [13_107; 5]);
}

#[test]
fn the_kernel_accepts_as_many_segments_as_reported() {
    let (ours, theirs) = (udp(), udp());
    let to = Address::Inet(ours.local_addr().unwrap());
    let mut batch = SendBatch::new();
    let segments = batch.segments(&theirs);
    assert!([1, 64].contains(&segments), "{segments}");
    let bytes = vec![0; segments];
    let sent = batch.send(&theirs, [Outgoing::new(&bytes).to(&to).segment(1)]).unwrap();
    assert_eq!((sent.datagrams, batch.segments(&theirs)), (1, segments));
    assert_eq!(lengths(&ours), vec![1; segments]);
}

#[test]
fn a_segment_longer_than_any_datagram_is_an_error() {
    let (ours, theirs) = (udp(), udp());
    let to = Address::Inet(ours.local_addr().unwrap());
    let bytes = vec![0; 140_000];
    let error = SendBatch::new().send(&theirs, [Outgoing::new(&bytes).to(&to).segment(70_000)]);
    assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(lengths(&ours), [0; 0]);
}

#[test]
fn a_call_receives_no_more_than_its_limit() -> io::Result<()> {
    let (ours, theirs) = (udp(), udp());
    let mut batch = DatagramBatch::new(4, 8);
    for number in 0..9_u8 {
        theirs.send_to(&[number], ours.local_addr()?)?;
    }
    let mut seen = Vec::new();
    for limit in [1, 3, 100, 2] {
        let count = batch.recv_up_to(limit, &ours, plain())?;
        assert_eq!(count, limit.min(4).min(9 - seen.len()));
        seen.extend(batch.iter().map(|datagram| datagram.bytes[0]));
    }
    assert_eq!(seen, (0..9).collect::<Vec<u8>>());
    Ok(())
}

/// The headers of a batch refer to its own buffers again, with the room that each call needs.
#[test]
fn a_batch_may_change_its_socket_its_features_and_its_buffers() {
    let (udp_socket, peer) = (udp(), udp());
    let wanted = DatagramOptions { packet_info: true, ecn: true, ..DatagramOptions::default() };
    let features = enable_datagram_features(&udp_socket, &wanted).unwrap();
    let (unix, unix_peer) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut batch = DatagramBatch::new(4, 16);
    for _ in 0..3 {
        peer.send_to(b"internet", udp_socket.local_addr().unwrap()).unwrap();
        assert_eq!(batch.recv(&udp_socket, features).unwrap(), 1);
        let first = batch.get(0).unwrap();
        assert_eq!((first.bytes, first.from.as_inet()), (&b"internet"[..], peer.local_addr().ok()));
        assert_eq!(first.to.is_some(), features.packet_info);
        unix_peer.send(b"unix").unwrap();
        unix_peer.send(b"no name").unwrap();
        assert_eq!(batch.recv(&unix, plain()).unwrap(), 2);
        for (datagram, bytes) in batch.iter().zip([&b"unix"[..], b"no name"]) {
            assert_eq!((datagram.bytes, datagram.to), (bytes, None));
            assert!(datagram.from.as_unix().unwrap().is_unnamed());
        }
        let mut buffer = [0; 4];
        peer.send_to(b"longer", udp_socket.local_addr().unwrap()).unwrap();
        assert_eq!(batch.recv_into(&udp_socket, features, [&mut buffer[..]]).unwrap(), 1);
        let first = batch.get_in(0, &buffer).unwrap();
        assert_eq!((first.bytes, first.truncated), (&b"long"[..], true));
        assert!(batch.recv(&udp_socket, features).is_err() && batch.is_empty());
    }
}
