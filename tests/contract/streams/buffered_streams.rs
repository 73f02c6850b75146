//! Streams that hold bytes that are not in the kernel, such as TLS, in either direction; and
//! streams that report more bytes than they moved (docs/contract.md, S1).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::net::TransportStream;
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Io, SelectorKind};

use crate::support::bytes::pattern;
use crate::support::custom_stream::{AlteredStream, counting_pair};
use crate::support::descriptors::{hang_up, pair};
use crate::support::on_every_selector;
use crate::support::protocol::{Callback, Record, Recorder, recorder, tick_until, tick_until_idle};

/// Reads everything from the kernel at once and returns it in pieces.
struct Decoding {
    socket: UnixStream,
    plain: RefCell<VecDeque<u8>>,
    ended: Cell<bool>,
    at_most: usize,
}

impl Decoding {
    fn new(socket: UnixStream, at_most: usize) -> Decoding {
        let (plain, ended) = Default::default();
        Decoding { socket, plain, ended, at_most }
    }

    fn fill(&self) -> io::Result<()> {
        let mut raw = [0; 4096];
        loop {
            match Read::read(&mut &self.socket, &mut raw) {
                Ok(0) => self.ended.set(true),
                Ok(count) => {
                    self.plain.borrow_mut().extend(&raw[..count]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

impl AsFd for Decoding {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Read for &Decoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let mut plain = self.plain.borrow_mut();
        if plain.is_empty() && !self.ended.get() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.at_most).min(plain.len());
        buffer.iter_mut().zip(plain.drain(..count)).for_each(|(to, from)| *to = from);
        Ok(count)
    }
}

impl Write for &Decoding {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &self.socket, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Like [`Decoding`], but reports exactly whether it holds bytes.
fn exact(stream: Decoding) -> AlteredStream<Decoding> {
    AlteredStream {
        shutdown_write: Box::new(|stream| stream.socket.shutdown(Shutdown::Write)),
        has_buffered: |stream| !stream.plain.borrow().is_empty() || stream.ended.get(),
        ..AlteredStream::new(stream)
    }
}

const LENGTH: usize = 150_000;

fn with_buffer(kind: SelectorKind, bytes: usize) -> EventLoop<Record> {
    let builder = EventLoop::builder().selector(kind).clock(SimClock::new()).read_buffer(bytes);
    builder.build_with(Record::default()).unwrap()
}

/// Checks that all bytes and the end arrive, for several sizes of the read buffer, with and without
/// a pause after each piece.
fn check_all_come<T: TransportStream + 'static>(
    kind: SelectorKind,
    stream: impl Fn(UnixStream) -> T,
) {
    for (buffer, pauses) in [(1024, false), (4096, true), (65_536, false), (65_536, true)] {
        let mut el = with_buffer(kind, buffer);
        let (ours, theirs) = pair();
        let paused = Rc::new(Cell::new(false));
        let is_paused = paused.clone();
        let script = Recorder::new(&Rc::new(()), move |_, _, conn, callback| {
            if let (Some(conn), Callback::Data(_), true) = (conn, callback, pauses) {
                assert!(!is_paused.replace(true), "bytes were delivered during a pause");
                conn.pause_reading();
            }
            Ok(())
        });
        let conn = el.attach_with(stream(ours), script).unwrap();
        let mut sent = 0;
        tick_until(&mut el, |el| {
            if sent < LENGTH {
                theirs.set_nonblocking(true).unwrap();
                sent += theirs.write(&pattern(sent, LENGTH - sent)).unwrap_or(0);
            } else {
                let _ = theirs.shutdown(Shutdown::Write);
            }
            if paused.replace(false) {
                conn.resume_reading();
            }
            el.state().callbacks.contains(&Callback::Eof)
        });
        assert!(el.state().bytes() == pattern(0, LENGTH));
        conn.close();
        tick_until_idle(&mut el);
        assert_eq!(el.state().lost_reason(), Some(None));
    }
}

#[test]
fn s1_a_decoding_stream_delivers_everything_it_holds() {
    on_every_selector(|kind| {
        for at_most in [1000, 16_000, usize::MAX] {
            check_all_come(kind, |socket| Decoding::new(socket, at_most));
            check_all_come(kind, |socket| exact(Decoding::new(socket, at_most)));
        }
    });
}

/// An earlier handshake may have left bytes in the stream.
#[test]
fn s1_bytes_held_before_attaching_are_delivered() {
    on_every_selector(|kind| {
        let mut el = with_buffer(kind, 1000);
        let (ours, mut theirs) = pair();
        theirs.write_all(&pattern(0, 5000)).unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = Decoding::new(ours, usize::MAX);
        stream.fill().unwrap();
        el.attach_with(stream, recorder()).unwrap();
        tick_until_idle(&mut el);
        assert!(el.state().bytes() == pattern(0, 5000));
        drop(theirs);
    });
}

/// A stream that reports exactly what it holds is not read a second time after an event.
#[test]
fn s1_a_stream_that_holds_nothing_is_not_read_again() {
    on_every_selector(|kind| {
        let mut el = with_buffer(kind, 1000);
        let (ours, mut theirs, reads, _) = counting_pair();
        el.attach_with(ours, recorder()).unwrap();
        tick_until_idle(&mut el);
        for round in 1..=3 {
            theirs.write_all(b"x").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(reads.get(), round);
        }
    });
}

/// Holds written bytes until it is flushed, and passes them to the kernel in small portions.
struct Encoding {
    socket: UnixStream,
    held: RefCell<VecDeque<u8>>,
    last_words: bool,
}

impl Encoding {
    fn new(socket: UnixStream) -> Encoding {
        Encoding { socket, held: RefCell::default(), last_words: false }
    }
}

impl TransportStream for Encoding {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = TransportStream::read(&self.socket, buffer);
        if let Ok(count @ 1..) = read {
            // Answer that the stream itself produces.
            self.held.borrow_mut().extend(&buffer[..count]);
        }
        read
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.held.borrow_mut();
        if held.len() > 10_000 {
            return Err(ErrorKind::WouldBlock.into());
        }
        held.extend(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().find(|it| !it.is_empty()).map_or(Ok(0), |slice| self.write(slice))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.last_words, true) {
            self.held.borrow_mut().extend(b"last words");
        }
        self.flush()?;
        self.socket.shutdown(Shutdown::Write)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn flush(&self) -> io::Result<()> {
        let mut held = self.held.borrow_mut();
        while !held.is_empty() {
            let count = TransportStream::write(&self.socket, held.as_slices().0)?;
            held.drain(..count);
        }
        Ok(())
    }
}

#[test]
fn s1_bytes_held_after_a_write_are_sent() {
    on_every_selector(|kind| {
        let mut el = with_buffer(kind, 1000);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(Encoding::new(ours), recorder()).unwrap();
        let mut sent = 0;
        for size in [3, 100_000, 1 << 20, 5] {
            conn.write(&pattern(sent, size));
            sent += size;
        }
        theirs.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        tick_until(&mut el, |_| {
            let _ = theirs.read_to_end(&mut got);
            got.len() == sent
        });
        assert!(got == pattern(0, sent));
        theirs.write_all(b"answered by the stream").unwrap();
        tick_until_idle(&mut el);
        got.clear();
        let _ = theirs.read_to_end(&mut got);
        assert_eq!(got, b"answered by the stream");
    });
}

/// `close` waits until the stream has passed everything to the kernel, including its closing
/// message.
#[test]
fn s3_close_sends_the_bytes_that_the_stream_holds() {
    on_every_selector(|kind| {
        for half in [false, true] {
            let mut el = with_buffer(kind, 1000);
            let (ours, mut theirs) = pair();
            let conn = el.attach_with(Encoding::new(ours), recorder()).unwrap();
            conn.write(&pattern(0, 1 << 20));
            if half {
                conn.shutdown_write();
            }
            conn.close();
            theirs.set_nonblocking(true).unwrap();
            let mut got = Vec::new();
            tick_until(&mut el, |_| theirs.read_to_end(&mut got).is_ok());
            assert!(got == [&pattern(0, 1 << 20), &b"last words"[..]].concat());
            hang_up(theirs);
            tick_until_idle(&mut el);
            assert_eq!(el.state().lost_reason(), Some(None));
        }
    });
}

/// Reports that it read `.1` bytes, but writes none into the buffer.
struct Overstating(UnixStream, usize);

impl AsFd for Overstating {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for &Overstating {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &self.0, &mut [0; 8]).map(|_| self.1)
    }
}

impl Write for &Overstating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SECRET: &[u8] = b"of another client";

/// Connections share the read buffer, but must never see each other's bytes.
#[test]
fn s1_a_stream_that_overstates_its_reads_gets_no_foreign_bytes() {
    on_every_selector(|kind| {
        for claimed in [1, 100, 1000] {
            let mut el = with_buffer(kind, 1000);
            let ((ours, mut theirs), (other, mut client)) = (pair(), pair());
            el.attach(other, |_, _, _, _| Ok(())).unwrap();
            el.attach_with(Overstating(ours, claimed), recorder()).unwrap();
            tick_until_idle(&mut el);
            for _ in 0..3 {
                client.write_all(SECRET).unwrap();
                tick_until_idle(&mut el);
                theirs.write_all(b"x").unwrap();
                tick_until_idle(&mut el);
            }
            let bytes = el.state().bytes();
            assert_eq!((bytes.len(), bytes.iter().find(|it| **it != 0)), (3 * claimed, None));
        }
    });
}

#[test]
fn s1_a_stream_that_overstates_beyond_the_buffer_ends_its_connection() {
    on_every_selector(|kind| {
        for claimed in [1001, usize::MAX] {
            let mut el = with_buffer(kind, 1000);
            let (ours, mut theirs) = pair();
            el.attach_with(Overstating(ours, claimed), recorder()).unwrap();
            theirs.write_all(b"x").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(
                el.state().callbacks,
                [Callback::Made, Callback::Lost(Some(ErrorKind::InvalidData))]
            );
        }
    });
}

/// The same for tasks: their chunks use the same buffer.
#[test]
fn s1_a_source_of_a_task_that_overstates_its_reads_gets_no_foreign_bytes() {
    on_every_selector(|kind| {
        let mut el = with_buffer(kind, 1000);
        let ((ours, mut theirs), (other, mut client)) = (pair(), pair());
        let done = el.run_until_complete(async move {
            let other = Io::new(other)?;
            client.write_all(SECRET)?;
            assert_eq!(&other.read_chunk().await?[..], SECRET);
            let honest = Io::new(Overstating(ours.try_clone()?, 100))?;
            theirs.write_all(b"x")?;
            assert_eq!(honest.read_chunk().await?[..], [0; 100]);
            drop(honest);
            let overstating = Io::new(Overstating(ours, 1001))?;
            theirs.write_all(b"x")?;
            assert_eq!(overstating.read_chunk().await.unwrap_err().kind(), ErrorKind::InvalidData);
            io::Result::Ok(())
        });
        done.unwrap().unwrap();
    });
}
