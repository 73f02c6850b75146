//! Descriptors over transports (docs/contract.md, D4 to D6).

use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use mainspring::net::{self, FdStream, ListenOptions, Protocol, Socket, Transport, listen};
use mainspring::{Error, EventLoop, LoopHandle, Result};

use super::Many;
use crate::support::descriptors::has_room_for;
use crate::support::network::SocketFile;
use crate::support::ticks::wait_until;
use crate::support::{on_every_selector, simulated};

/// The input of a connection.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// For each arrival of descriptors: the bytes received before, and the number of descriptors.
    fds: Vec<(usize, usize)>,
    held: Vec<OwnedFd>,
    lost: Option<Option<ErrorKind>>,
}

/// Takes all descriptors if `takes` is set.
struct Receiver {
    takes: bool,
}

impl Protocol<Seen> for Receiver {
    fn data_received(
        &mut self,
        _: &LoopHandle<Seen>,
        seen: &mut Seen,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        seen.bytes.extend(data);
        let fds = if self.takes { conn.take_fds()? } else { Vec::new() };
        if !fds.is_empty() {
            seen.fds.push((seen.bytes.len(), fds.len()));
        }
        seen.held.extend(fds);
        Ok(())
    }

    fn connection_lost(
        &mut self,
        _: &LoopHandle<Seen>,
        seen: &mut Seen,
        reason: Option<&Error>,
    ) -> Result<()> {
        seen.lost = Some(reason.map(Error::kind));
        Ok(())
    }
}

/// Groups of descriptors between bytes that fill the queue.
#[test]
fn d5_descriptors_stay_in_order_with_the_queue() {
    const BLOCK: usize = 300_000;
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Seen::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sender = el.attach(FdStream::new(ours), |_, _, _, _| Ok(())).unwrap();
        let many = Many::new();
        let mut expected = Vec::new();
        for group in 1..=5_u8 {
            sender.write(&vec![b'.'; BLOCK]);
            sender.send_fds(&[b'0' + group, b'-'], many.owned(group.into())).unwrap();
            sender.write_vectored(&[std::io::IoSlice::new(b"a"), std::io::IoSlice::new(b"b")]);
            expected.extend([vec![b'.'; BLOCK], vec![b'0' + group], b"-ab".to_vec()].concat());
        }
        assert!(sender.queued() > 4 * BLOCK, "most of it is queued");
        sender.close();
        el.attach_with(FdStream::new(theirs), Receiver { takes: true }).unwrap();
        wait_until(&mut el, |el| el.state().lost.is_some());
        let seen = el.state_mut();
        assert_eq!(seen.lost, Some(None));
        assert!(seen.bytes == expected, "all bytes, in order");
        let counts: Vec<usize> = seen.fds.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5]);
        for (end, count) in &seen.fds {
            let before = &seen.bytes[..*end];
            assert!(before.contains(&(b'0' + *count as u8)), "with the first byte of the message");
            assert!(!before.contains(&(b'1' + *count as u8)), "and before the next message");
        }
        seen.held.clear();
        many.assert_closed();
    });
}

/// Descriptors that were not taken when the connection ends.
#[test]
fn d5_the_end_of_a_connection_closes_its_descriptors() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Seen::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (many, queued) = (Many::new(), Many::new());
        net::send_fds(&ours, b"x", &many.fds(10)).unwrap();
        let conn = el.attach_with(FdStream::new(theirs), Receiver { takes: false }).unwrap();
        wait_until(&mut el, |el| el.state().bytes == b"x");
        conn.write(&vec![0; 1 << 20]); // The peer does not read, so the rest is queued.
        conn.send_fds(b"y", queued.owned(10)).unwrap();
        assert!(format!("{conn:?}").len() > 1);
        conn.abort();
        wait_until(&mut el, |el| el.state().lost.is_some());
        many.assert_closed();
        queued.assert_closed();
        assert_eq!(conn.take_fds().unwrap_err().kind(), ErrorKind::NotConnected);
        let error = conn.send_fds(b"z", Vec::new()).unwrap_err();
        assert!(matches!(error, Error::WriteClosed { bytes: 1, .. }), "{error:?}");
    });
}

/// A peer that sends more descriptors than the protocol takes.
#[test]
fn d6_a_flood_of_descriptors_ends_its_connection() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Seen::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let many = Many::new();
        for _ in 0..4 {
            net::send_fds(&ours, b"x", &many.fds(3)).unwrap();
        }
        let receiver = Receiver { takes: false };
        el.attach_with(FdStream::with_limit(10, theirs), receiver).unwrap();
        wait_until(&mut el, |el| el.state().lost.is_some());
        assert_eq!(el.state().lost, Some(Some(ErrorKind::InvalidData)));
        assert_eq!(el.state().bytes, b"xxx", "up to the limit");
        many.assert_closed();
    });
}

#[test]
fn d6_descriptors_that_are_taken_do_not_count() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Seen::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let many = Many::new();
        let receiver = Receiver { takes: true };
        el.attach_with(FdStream::with_limit(3, theirs), receiver).unwrap();
        for round in 1..20 {
            net::send_fds(&ours, b"x", &many.fds(3)).unwrap();
            wait_until(&mut el, |el| el.state().bytes.len() == round);
        }
        assert_eq!((el.state().held.len(), el.state().lost), (57, None));
    });
}

/// The transport of a server's connection has another type of stream.
#[test]
fn d4_a_transport_without_room_closes_descriptors() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Seen::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let many = Many::new();
        net::send_fds(&ours, b"x", &many.fds(5)).unwrap();
        let conn = el.attach_with(theirs, Receiver { takes: false }).unwrap();
        wait_until(&mut el, |el| el.state().bytes == b"x");
        assert_eq!(conn.take_fds().unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = conn.send_fds(b"x", many.owned(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        many.assert_closed();
    });
}

/// Protocol of a server: the connection continues as one that passes descriptors.
struct Upgrade;

impl Protocol<Seen> for Upgrade {
    fn connection_made(
        &mut self,
        el: &LoopHandle<Seen>,
        _: &mut Seen,
        conn: &Transport,
    ) -> Result<()> {
        let (socket, _unsent) = conn.take_stream::<Socket>()?;
        el.attach_with(FdStream::new(socket), Receiver { takes: true })?;
        Ok(())
    }

    fn data_received(
        &mut self,
        _: &LoopHandle<Seen>,
        _: &mut Seen,
        _: &Transport,
        _: &[u8],
    ) -> Result<()> {
        unreachable!("the stream is gone")
    }
}

#[test]
fn d5_a_connection_of_a_server_receives_descriptors() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Seen::default());
        let file = SocketFile::new("upgrade");
        let listener = listen(file.address(), &ListenOptions::default()).unwrap();
        let server = el.serve_with(listener, || Upgrade).unwrap();
        let path = file.address().as_unix().unwrap().as_pathname().unwrap().to_owned();
        let client = UnixStream::connect(path).unwrap();
        let many = Many::new();
        net::send_fds(&client, b"x", &many.fds(2)).unwrap();
        wait_until(&mut el, |el| el.state().held.len() == 2);
        drop(client);
        wait_until(&mut el, |el| el.state().lost.is_some());
        el.state_mut().held.clear();
        server.close();
        many.assert_closed();
    });
}

#[test]
fn d5_an_invalid_message_sends_nothing() {
    if !has_room_for(2 * net::MAX_FDS as u64) {
        return;
    }
    let el = EventLoop::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let conn = el.attach(FdStream::new(ours), |_, _, _, _| Ok(())).unwrap();
    let many = Many::new();
    assert_eq!(conn.send_fds(b"", many.owned(1)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = conn.send_fds(b"x", many.owned(net::MAX_FDS + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    conn.send_fds(b"plain", Vec::new()).unwrap();
    conn.close();
    drop(el);
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text, "plain");
    many.assert_closed();
}
