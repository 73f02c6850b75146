//! Descriptors over the sockets of tasks, and of `add_reader` (docs/contract.md, D1 to D4, D7).

use std::io::{ErrorKind, PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;

use mainspring::net::{
    self, LostFds, MAX_FDS, UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener,
    UnixStream,
};
use mainspring::{Error, EventLoop, SelectorKind, spawn};
use mainspring_sys::socket::has_seqpacket;

use super::{Many, assert_close_on_exec};
use crate::support::descriptors::{hang_up, has_room_for};
use crate::support::network::SocketFile;
use crate::support::{on_every_selector, simulated};

/// Runs a future in a loop of this kind.
fn run(kind: SelectorKind, future: impl Future<Output = mainspring::Result<()>> + 'static) {
    simulated(kind, ()).0.run_until_complete(future).unwrap().unwrap();
}

#[test]
fn d1_every_socket_of_a_task_passes_descriptors() {
    if !has_room_for(2 * MAX_FDS as u64) {
        return;
    }
    on_every_selector(|kind| {
        run(kind, async {
            let many = Many::new();
            let mut received: Vec<OwnedFd> = Vec::new();
            let mut buffer = [0; 64];

            let (ours, theirs) = UnixStream::pair()?;
            let receiving = spawn(async move { theirs.recv_fds(&mut [0; 64]).await });
            mainspring::yield_now().await; // The receiver waits.
            ours.send_fds(b"stream", &many.fds(2)).await?;
            let (count, fds) = receiving.await.unwrap()?;
            assert_eq!((count, fds.len()), (6, 2));
            received.extend(fds);

            let (ours, theirs) = UnixDatagram::pair()?;
            assert_eq!(ours.send_fds(b"datagram", &many.fds(MAX_FDS)).await?, 8);
            let (count, fds) = theirs.recv_fds(&mut buffer).await?;
            assert_eq!((count, fds.len()), (8, MAX_FDS));
            received.extend(fds);

            received.iter().for_each(|fd| assert_close_on_exec(fd));
            drop((received, ours, theirs));
            many.assert_closed();
            Ok(())
        });
    });
}

/// Messages with 0 to 3 descriptors between plain ones, read with buffers of all sizes.
#[test]
fn d3_descriptors_come_with_the_first_byte_of_their_message() {
    on_every_selector(|kind| {
        for room in [1, 2, 3, 7, 100] {
            run(kind, async move {
                let (ours, theirs) = UnixStream::pair()?;
                let (reader, _writer) = pipe()?;
                for message in 0..4_u8 {
                    ours.write_all(b"..").await?;
                    let fds = vec![reader.as_fd(); message.into()];
                    ours.send_fds(&[b'0' + message, b'-', b'-'], &fds).await?;
                }
                drop(ours);
                let (mut bytes, mut order) = (Vec::<u8>::new(), Vec::new());
                loop {
                    let mut buffer = vec![0; room];
                    let (count, fds) = theirs.recv_fds(&mut buffer).await?;
                    if count == 0 {
                        break;
                    }
                    bytes.extend(&buffer[..count]);
                    if !fds.is_empty() {
                        order.push(fds.len());
                        let first = b'0' + fds.len() as u8;
                        assert!(buffer[..count].contains(&first), "room for {room}");
                    }
                }
                assert_eq!(bytes, b"..0--..1--..2--..3--");
                assert_eq!(order, [1, 2, 3]);
                Ok(())
            });
        }
    });
}

#[test]
fn d3_a_large_message_sends_its_descriptors_once() {
    const BYTES: usize = 3 << 20;
    on_every_selector(|kind| {
        run(kind, async {
            let (ours, theirs) = UnixStream::pair()?;
            let many = Many::new();
            let fds = many.owned(2);
            let sending = spawn(async move {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                ours.send_fds(&vec![7; BYTES], &fds).await
            });
            let (mut received, mut fds) = (0, Vec::new());
            loop {
                let (count, some) = theirs.recv_fds(&mut vec![0; 100_000]).await?;
                if count == 0 {
                    break;
                }
                received += count;
                fds.extend(some);
            }
            sending.await.unwrap()?;
            assert_eq!((received, fds.len()), (BYTES, 2));
            drop(fds);
            many.assert_closed();
            Ok(())
        });
    });
}

/// Each way to read without room for descriptors.
#[test]
fn d4_a_plain_read_closes_them() {
    on_every_selector(|kind| {
        run(kind, async {
            for way in 0..4 {
                let (ours, theirs) = UnixStream::pair()?;
                let many = Many::new();
                ours.send_fds(b"x", &many.fds(3)).await?;
                let mut buffer = [0; 8];
                let count = match way {
                    0 => theirs.read(&mut buffer).await?,
                    1 => theirs.read_chunk().await?.len(),
                    2 => theirs.read_vectored(&mut [std::io::IoSliceMut::new(&mut buffer)]).await?,
                    _ => {
                        drop(ours);
                        theirs.read_to_end(&mut Vec::new()).await?
                    }
                };
                assert_eq!(count, 1);
                many.assert_closed();
            }
            Ok(())
        });
    });
}

/// A socket that is closed with descriptors in its queue.
#[test]
fn d1_descriptors_that_were_not_received_are_closed_with_the_socket() {
    let (ours, theirs) = StdStream::pair().unwrap();
    let many = Many::new();
    net::send_fds(&ours, b"x", &many.fds(5)).unwrap();
    drop(theirs);
    many.assert_closed();
}

#[test]
fn d1_a_callback_receives_descriptors() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let (ours, theirs) = StdStream::pair().unwrap();
        el.add_reader(theirs, |_, received: &mut Vec<OwnedFd>, socket| {
            let (count, fds) = net::recv_fds(&**socket, &mut [0; 8])?;
            assert_eq!(count, 1);
            received.extend(fds);
            Ok(())
        })
        .unwrap();
        let (reader, mut writer) = pipe().unwrap();
        net::send_fds(&ours, b"x", &[reader.as_fd()]).unwrap();
        el.tick(None).unwrap();
        let fd = el.state_mut().pop().unwrap();
        assert_close_on_exec(&fd);
        writer.write_all(b"hello").unwrap();
        drop(writer);
        let mut text = String::new();
        PipeReader::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    });
}

#[test]
fn d2_messages_that_cannot_be_sent_are_errors_of_the_call() {
    let mut el = EventLoop::new().unwrap();
    let done = el.run_until_complete(async {
        let (ours, theirs) = UnixStream::pair()?;
        let many = Many::new();
        let error = ours.send_fds(b"x", &many.fds(MAX_FDS + 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = ours.send_fds(b"", &many.fds(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        hang_up(theirs);
        let error = ours.send_fds(b"x", &many.fds(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        many.assert_closed();
        assert!(error.get_ref().is_none_or(|error| !error.is::<LostFds>()));
        Ok::<_, Error>(())
    });
    done.unwrap().unwrap();
}

/// A listener is passed over a connection, and its receiver accepts a client.
#[test]
fn d1_a_received_listener_accepts_clients() {
    on_every_selector(|kind| {
        run(kind, async {
            let (ours, theirs) = UnixStream::pair()?;
            let file = SocketFile::new("travels");
            let listener = UnixListener::bind(file.address())?;
            ours.send_fds(b"l", &[listener.as_fd()]).await?;
            drop(listener);
            let (_, mut fds) = theirs.recv_fds(&mut [0; 1]).await?;
            let listener = UnixListener::from_std(fds.remove(0).into())?;
            let client = UnixStream::connect(file.address()).await?;
            let (server, _) = listener.accept().await?;
            client.write_all(b"x").await?;
            assert_eq!(&server.read_chunk().await?[..], b"x");
            Ok(())
        });
    });
}

#[test]
fn d7_packets_keep_their_boundaries_and_descriptors() {
    if !has_seqpacket() {
        let error = UnixSeqpacket::pair().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    on_every_selector(|kind| {
        run(kind, async {
            let file = SocketFile::new("packets");
            let listener = UnixSeqpacketListener::bind(file.address())?;
            assert_eq!(Some(&listener.local_addr()?), file.address().as_unix());
            let client = UnixSeqpacket::connect(file.address()).await?;
            let (server, _) = listener.accept().await?;
            let receiving = spawn(async move {
                let (mut lengths, mut received) = (Vec::new(), 0);
                loop {
                    let (count, fds) = server.recv_fds(&mut [0; 64]).await?;
                    if count == 0 {
                        return Ok::<_, Error>((lengths, received));
                    }
                    fds.iter().for_each(assert_close_on_exec);
                    received += fds.len();
                    lengths.push(count);
                }
            });
            let many = Many::new();
            for length in [1, 5, 64] {
                assert_eq!(client.send(&vec![7; length]).await?, length);
            }
            assert_eq!(client.send_fds(&[7; 2], &many.fds(2)).await?, 2);
            client.send_fds(&[7; 3], &many.fds(1)).await?;
            client.shutdown_write()?;
            let (lengths, received) = receiving.await.unwrap()?;
            assert_eq!((&lengths[..], received), (&[1, 5, 64, 2, 3][..], 3));
            assert!(client.peer_credentials().is_ok_and(|peer| peer.uid == user()));
            many.assert_closed();
            Ok(())
        });
    });
}

/// Messages that are in the socket together.
#[test]
fn d7_messages_of_a_pair_are_not_merged() {
    if !has_seqpacket() {
        return;
    }
    on_every_selector(|kind| {
        run(kind, async {
            let (ours, theirs) = UnixSeqpacket::pair()?;
            let many = Many::new();
            ours.send(b"one").await?;
            ours.send_fds(b"second", &many.fds(2)).await?;
            ours.send(b"cut short").await?;
            ours.send_fds(b"4", &many.fds(1)).await?;
            drop(ours);
            let mut buffer = [0; 6];
            assert_eq!(theirs.recv(&mut buffer).await?, 3);
            let (count, fds) = theirs.recv_fds(&mut buffer).await?;
            assert_eq!((count, fds.len()), (6, 2));
            drop(fds);
            let (count, fds) = theirs.recv_fds(&mut buffer).await?;
            assert_eq!((count, fds.len(), &buffer), (6, 0, b"cut sh"));
            assert_eq!(theirs.recv(&mut buffer).await?, 1, "a plain receive closes descriptors");
            assert_eq!(theirs.recv(&mut buffer).await?, 0);
            many.assert_closed();
            Ok(())
        });
    });
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn d7_errors_of_opening_name_the_address() {
    if !has_seqpacket() {
        return;
    }
    let mut el = EventLoop::new().unwrap();
    let file = SocketFile::new("nothing");
    let error = el.run_until_complete(UnixSeqpacket::connect(file.address())).unwrap();
    let error = error.unwrap_err();
    assert!(error.to_string().contains(&file.address().to_string()), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let _bound = UnixSeqpacketListener::bind(file.address()).unwrap();
    let error = UnixSeqpacketListener::bind(file.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    // A stream does not connect to it.
    let error = el.run_until_complete(UnixStream::connect(file.address())).unwrap();
    assert!(matches!(error.unwrap_err(), Error::Connect { .. }));
    let inherited = UnixSeqpacket::pair().unwrap().0;
    assert!(UnixSeqpacket::from_fd(inherited.into()).unwrap().local_addr().unwrap().is_unnamed());
}
