//! Tests of the parts that a kernel's answers decide: facts, batches, calls one by one.

mod limits;
mod routes;

use std::io::{self, ErrorKind};
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use proptest::collection::vec;
use proptest::prelude::*;

use super::facts::{Control, Facts, ROOM, Writer};
use super::kernel::{Header, one_by_one};
use super::*;

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn plain() -> DatagramFeatures {
    DatagramFeatures::default()
}

fn everything() -> DatagramOptions {
    DatagramOptions { packet_info: true, ecn: true, gro: true, dont_fragment: true }
}

#[test]
fn a_written_ecn_codepoint_is_read_back() {
    for to_v4 in [true, false] {
        for ecn in [Ecn::Ect0, Ecn::Ect1, Ecn::Ce] {
            let mut control = Control([0xff; ROOM]);
            let mut writer = Writer::new(&mut control);
            writer.put_source(Ipv6Addr::LOCALHOST.into(), false);
            writer.put_ecn(ecn, to_v4);
            let used = writer.used();
            let facts = Facts::read(&control.0[..used]);
            assert_eq!(facts.to, Some(Ipv6Addr::LOCALHOST.into()));
            assert_eq!(facts.ecn, if to_v4 && !cfg!(has_ip_recvtos) { Ecn::NotEct } else { ecn });
        }
    }
}

#[test]
fn a_type_of_service_may_be_one_byte() {
    let mut control = [0; 64];
    let (payload, room) =
        super::super::control::put_header(&mut control, libc::IPPROTO_IP, libc::IP_TOS, 1);
    payload[0] = 0b1011_1011; // The upper bits are the class of service.
    assert_eq!(Facts::read(&control[..room]).ecn, Ecn::Ce);
}

#[cfg(has_udp_segment)]
#[test]
fn merged_datagrams_have_a_length() {
    for (length, segment) in [(0, None), (-1, None), (1200, Some(1200))] {
        let mut control = [0; 64];
        let (payload, room) =
            super::super::control::put_header(&mut control, libc::SOL_UDP, libc::UDP_GRO, 4);
        payload.copy_from_slice(&i32::to_ne_bytes(length));
        assert_eq!(Facts::read(&control[..room]).segment, segment);
    }
}

#[test]
fn a_mapped_source_is_sent_as_ipv4() {
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
    let used = |from: IpAddr, to_v4| {
        let mut control = Control([0; ROOM]);
        let mut writer = Writer::new(&mut control);
        writer.put_source(from, to_v4);
        (writer.used(), control.0)
    };
    assert_eq!(used(mapped, true), used(Ipv4Addr::LOCALHOST.into(), true));
    assert_ne!(used(mapped, false), used(Ipv4Addr::LOCALHOST.into(), true));
}

/// One error is behind two datagrams: it is the error of the next call.
#[test]
fn calls_one_by_one_keep_an_error_for_the_next_call() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.send(b"one").unwrap();
    theirs.send(b"two").unwrap();
    let mut deferred = None;
    let mut bytes = [[0_u8; 8]; 4];
    let mut slices = bytes
        .each_mut()
        .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() });
    let mut headers = slices.each_mut().map(|slice| {
        let mut header = Header::empty();
        header.message.msg_iov = slice;
        header.message.msg_iovlen = 1;
        header
    });
    // A slice that no kernel accepts.
    headers[2].message.msg_iovlen = 1 << 20;
    let receive = |headers: &mut [Header], deferred: &mut Option<io::Error>| {
        // SAFETY: the first two headers refer to one slice each. The kernel refuses the third one
        // for its number of slices, before it reads them.
        unsafe { one_by_one::receive(ours.as_raw_fd(), headers, deferred) }
    };
    theirs.send(b"three").unwrap();
    assert_eq!(receive(&mut headers, &mut deferred).unwrap(), 2);
    assert_eq!((headers[0].length, headers[1].length), (3, 3));
    assert!(deferred.is_some());
    assert_eq!(
        receive(&mut headers, &mut deferred).unwrap_err().raw_os_error(),
        Some(libc::EMSGSIZE)
    );
    assert_eq!(receive(&mut headers[..2], &mut deferred).unwrap(), 1);
    // The end of the datagrams is no error to keep.
    theirs.send(b"four").unwrap();
    assert_eq!(receive(&mut headers[..2], &mut deferred).unwrap(), 1);
    let none = receive(&mut headers[..2], &mut deferred).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::WouldBlock);
    // SAFETY: as above.
    let sent = unsafe { one_by_one::send(ours.as_raw_fd(), &mut headers) };
    assert_eq!(sent.unwrap(), 2);
    assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 8);
}

#[test]
fn facts_of_the_kernel_arrive_with_each_datagram() {
    for (bind, ip) in [
        ("127.0.0.1:0", IpAddr::from(Ipv4Addr::LOCALHOST)),
        ("[::1]:0", Ipv6Addr::LOCALHOST.into()),
    ] {
        let Ok(ours) = UdpSocket::bind(bind) else { continue };
        let theirs = UdpSocket::bind(bind).unwrap();
        let features = enable_datagram_features(&ours, &everything()).unwrap();
        let to = Address::Inet(ours.local_addr().unwrap());
        let sent = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce];
        let datagrams = sent.map(|ecn| Outgoing::new(b"x").to(&to).from(ip).ecn(ecn));
        assert_eq!(SendBatch::new().send(&theirs, datagrams).unwrap().datagrams, 4);
        let mut batch = DatagramBatch::new(8, 1 << 16);
        let mut seen = Vec::new();
        while seen.len() < sent.len() {
            batch.recv(&ours, features).unwrap();
            for datagram in batch.iter() {
                assert_eq!(datagram.from.as_inet(), Some(theirs.local_addr().unwrap()));
                assert_eq!(datagram.to, features.packet_info.then_some(ip));
                seen.extend(datagram.segments().map(|_| datagram.ecn));
            }
        }
        if features.ecn {
            assert_eq!(seen, sent);
        }
    }
}

/// A split datagram arrives as several, whether the kernel or this crate splits it.
#[test]
fn a_refused_split_is_made_here_and_remembered() {
    let (ours, theirs) = (udp(), udp());
    let to = Address::Inet(ours.local_addr().unwrap());
    let bytes = vec![7; 100 * 1000 + 1];
    let mut batch = SendBatch::new();
    for _ in 0..2 {
        let (mut at, mut lengths) = (0, Vec::new());
        while at < bytes.len() {
            let datagram = Outgoing::new(&bytes[at..]).to(&to).segment(1000);
            let progress = batch.send(&theirs, [datagram]).unwrap();
            at = if progress.datagrams == 1 { bytes.len() } else { at + progress.bytes };
            let mut received = DatagramBatch::new(64, 2000);
            while let Ok(1..) = received.recv(&ours, plain()) {
                lengths.extend(received.iter().map(|datagram| datagram.bytes.len()));
            }
        }
        assert_eq!((lengths.len(), lengths.iter().sum::<usize>()), (101, bytes.len()));
        batch.refuse_segments();
        assert_eq!(batch.segments(&theirs), 1);
    }
}

/// The refusal of an address is not taken for the refusal of a feature.
#[test]
fn a_wrong_address_does_not_end_the_use_of_features() {
    let theirs = udp();
    let mut batch = SendBatch::new();
    let segments = batch.segments(&theirs);
    let nowhere: Address = "127.0.0.1:0".parse().unwrap();
    let datagram = Outgoing::new(b"abcd").to(&nowhere).ecn(Ecn::Ect0).segment(2);
    assert!(batch.send(&theirs, [datagram]).is_err());
    assert_eq!(batch.segments(&theirs), segments);
}

#[test]
fn a_unix_peer_passes_no_descriptor_to_a_batch() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let features = enable_datagram_features(&ours, &everything()).unwrap();
    assert_eq!(features, plain());
    let (reader, mut writer) = io::pipe().unwrap();
    crate::socket::send_fds(&theirs, b"x", &[std::os::fd::AsFd::as_fd(&reader)]).unwrap();
    drop(reader);
    assert_eq!(DatagramBatch::new(4, 16).recv(&ours, features).unwrap(), 1);
    // The kernel has closed the copy, so the pipe has no reader.
    let error = io::Write::write(&mut writer, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn an_empty_batch_makes_no_call() {
    let socket = udp();
    assert_eq!(SendBatch::new().send(&socket, []).unwrap(), SendProgress::default());
    let mut batch = DatagramBatch::new(0, 16);
    assert_eq!((batch.capacity(), batch.recv_into(&socket, plain(), []).unwrap()), (1, 0));
    assert_eq!(batch.recv(&socket, plain()).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(batch.is_empty() && batch.get(0).is_none() && batch.get(usize::MAX).is_none());
}

proptest! {
    #![proptest_config(crate::socket::cases(2000))]

    /// Any bytes from a kernel are facts or nothing.
    #[test]
    fn any_control_bytes_are_read_to_their_end(
        bytes in vec(any::<u8>(), 0..=ROOM),
        length in 0..=2 * ROOM,
    ) {
        let mut bytes = bytes;
        if let Some(place) = bytes.first_chunk_mut::<{ size_of::<usize>() }>() {
            *place = length.to_ne_bytes();
        }
        let _ = Facts::read(&bytes);
    }

    #[test]
    fn merged_datagrams_are_all_of_the_bytes(length in 0..300_usize, segment in 0..100_usize) {
        let bytes = vec![1; length];
        let datagram = Datagram {
            bytes: &bytes,
            from: "127.0.0.1:1".parse().unwrap(),
            to: None,
            interface: None,
            ecn: Ecn::NotEct,
            segment,
            truncated: false,
        };
        let lengths: Vec<usize> = datagram.segments().map(<[u8]>::len).collect();
        prop_assert_eq!(lengths.iter().sum::<usize>(), length);
        prop_assert!(!lengths.is_empty() && lengths.iter().all(|length| *length <= segment.max(1)));
    }
}
