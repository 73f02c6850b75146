//! Reading into chunks of the loop's buffer (docs/contract.md, S1).

use std::cell::RefCell;
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Peer;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mainspring::net::{TcpStream, UnixStream};
use mainspring::{Error, EventLoop, Io, ReadChunk, spawn, yield_now};

use crate::support::descriptors::tcp_pair;
use crate::support::{on_every_selector, simulated};

/// Returns a stream of a task, and its peer.
fn stream() -> (UnixStream, Peer) {
    let (ours, theirs) = Peer::pair().unwrap();
    (UnixStream::from_std(ours).unwrap(), theirs)
}

#[test]
fn s1_chunks_deliver_all_bytes_and_an_empty_one_is_the_end() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (ours, mut theirs) = tcp_pair();
        let ours = TcpStream::from_std(ours).unwrap();
        let text: Vec<u8> = (0..300_000_u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        let sent = text.clone();
        let sender = std::thread::spawn(move || theirs.write_all(&sent).unwrap());
        let received = el.run_until_complete(async move {
            let mut received = Vec::new();
            loop {
                let chunk = ours.read_chunk().await?;
                if chunk.is_empty() {
                    assert!(ours.read_chunk().await?.is_empty());
                    return Ok::<_, Error>(received);
                }
                received.extend_from_slice(&chunk);
            }
        });
        sender.join().unwrap();
        assert!(received.unwrap().unwrap() == text);
    });
}

/// The chunk has at most the size of the loop's read buffer; the rest comes in the next one.
#[test]
fn s1_a_chunk_is_at_most_as_large_as_the_read_buffer() {
    let mut el = EventLoop::builder().read_buffer(4).build().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"four by four").unwrap();
    drop(writer);
    let reader = Io::new(reader).unwrap();
    let chunks = el.run_until_complete(async move {
        let mut chunks = Vec::new();
        loop {
            let chunk = reader.read_chunk().await?;
            if chunk.is_empty() {
                return Ok::<_, Error>(chunks);
            }
            chunks.push(String::from_utf8_lossy(&chunk).into_owned());
        }
    });
    assert_eq!(chunks.unwrap().unwrap(), ["four", " by ", "four"]);
}

/// A task may keep its chunk. Other tasks and callbacks that read do not write into it.
#[test]
fn s1_a_kept_chunk_does_not_change() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, String::new());
        let (callbacks, mut to_callbacks) = Peer::pair().unwrap();
        el.attach(callbacks, |_, received, _, data| {
            received.push_str(&String::from_utf8_lossy(data));
            Ok(())
        })
        .unwrap();
        let (one, mut to_one) = stream();
        let (two, mut to_two) = stream();
        to_one.write_all(b"one").unwrap();
        let kept = el.run_until_complete(async move {
            let kept = one.read_chunk().await?;
            to_two.write_all(b"two").unwrap();
            to_callbacks.write_all(b"three").unwrap();
            let other = spawn(async move { two.read_chunk().await.map(|chunk| chunk.to_vec()) });
            assert_eq!(other.await??, b"two");
            for _ in 0..4 {
                yield_now().await;
            }
            Ok::<_, Error>(kept)
        });
        assert_eq!(&kept.unwrap().unwrap()[..], b"one");
        assert_eq!(el.state(), "three");
    });
}

#[test]
fn s1_a_dropped_read_future_loses_nothing() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (ours, mut theirs) = stream();
        let chunk = el.run_until_complete(async move {
            {
                let mut waits = pin!(ours.read_chunk());
                let mut cx = Context::from_waker(Waker::noop());
                assert!(waits.as_mut().poll(&mut cx).is_pending());
                theirs.write_all(b"there").unwrap();
            }
            ours.read_chunk().await
        });
        assert_eq!(chunk.unwrap().unwrap().as_ref(), b"there");
    });
}

/// A chunk is plain memory: it can be read before the loop exists, and used after the loop is gone.
#[test]
fn s1_a_chunk_needs_no_loop() {
    let (ours, mut theirs) = stream();
    theirs.write_all(b"early").unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(early)) = pin!(ours.read_chunk()).poll(&mut cx) else {
        panic!("the data has arrived")
    };
    let mut el = EventLoop::new().unwrap();
    theirs.write_all(b"late").unwrap();
    let late = el.run_until_complete(async move { ours.read_chunk().await }).unwrap().unwrap();
    drop(el);
    assert_eq!((&early[..], &late[..]), (&b"early"[..], &b"late"[..]));
    assert_eq!(format!("{early:?}"), format!("ReadChunk({:?})", b"early"));
}

/// Tasks that hold a chunk end with their loop.
#[test]
fn s1_a_chunk_may_be_dropped_with_the_loop() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let seen: Rc<RefCell<Vec<usize>>> = Rc::default();
        for length in 1..4 {
            let (ours, mut theirs) = stream();
            let seen = seen.clone();
            theirs.write_all(&b"abc"[..length]).unwrap();
            el.spawn(async move {
                let chunk: ReadChunk = ours.read_chunk().await?;
                seen.borrow_mut().push(chunk.len());
                std::future::pending::<()>().await;
                theirs.read_exact(&mut [0; 1])?;
                Ok::<(), Error>(drop(chunk))
            })
            .detach();
        }
        el.run_until_stalled().unwrap();
        assert_eq!(*seen.borrow(), [1, 2, 3]);
        drop(el);
        assert_eq!(Rc::strong_count(&seen), 1);
    });
}
