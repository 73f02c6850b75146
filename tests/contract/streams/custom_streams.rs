//! User-defined streams: short writes, errors, and calls back into the transport (P96;
//! docs/contract.md, S1 and S3).

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mainspring::net::{Transport, TransportStream};
use rustix::io::Errno;

use crate::support::bytes::{RandomNumbers, pattern};
use crate::support::custom_stream::{Action, AlteredStream, ReentrantStream};
use crate::support::descriptors::pair;
use crate::support::on_every_selector;
use crate::support::protocol::{Callback, recorder, recording_loop, tick_until, tick_until_idle};
use crate::support::ticks::tick;

/// Moves one byte at a time, and at random returns `WouldBlock` or `Interrupted`.
struct OneByteStream {
    stream: UnixStream,
    random: RefCell<RandomNumbers>,
    /// Number of written bytes after which it fails, and the error.
    failure: Option<(usize, Errno)>,
    written: Cell<usize>,
}

impl OneByteStream {
    fn new(stream: UnixStream, failure: Option<(usize, Errno)>) -> OneByteStream {
        let random = RefCell::new(RandomNumbers::new(96));
        OneByteStream { stream, random, failure, written: Cell::new(0) }
    }

    fn random_error(&self) -> io::Result<()> {
        match self.random.borrow_mut().below(4) {
            0 => Err(ErrorKind::WouldBlock.into()),
            1 => Err(ErrorKind::Interrupted.into()),
            _ => Ok(()),
        }
    }
}

impl AsFd for OneByteStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for &OneByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.random_error()?;
        Read::read(&mut &self.stream, &mut buffer[..1])
    }
}

impl Write for &OneByteStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.random_error()?;
        match self.failure {
            Some((after, errno)) if self.written.get() >= after => Err(errno.into()),
            _ => {
                self.written.set(self.written.get() + 1);
                Write::write(&mut &self.stream, &bytes[..1])
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One-byte reads and writes, `WouldBlock` and `Interrupted` (P96).
#[test]
fn s1_a_stream_that_moves_a_byte_at_a_time_loses_none() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(OneByteStream::new(ours, None), recorder()).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut random, mut sent, mut got) = (RandomNumbers::new(1), 0, Vec::new());
        while sent < 5000 {
            let piece = pattern(sent, random.below(100));
            let (a, b) = piece.split_at(piece.len() / 3);
            conn.write_vectored(&[a, b].map(IoSlice::new));
            theirs.write_all(&piece).unwrap();
            sent += piece.len();
            tick(&mut el);
            let _ = theirs.read_to_end(&mut got);
        }
        conn.shutdown_write();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        tick_until(&mut el, |_| theirs.read_to_end(&mut got).is_ok());
        tick_until(&mut el, |el| el.state().callbacks.contains(&Callback::Eof));
        assert!(got == pattern(0, sent));
        assert!(el.state().bytes() == pattern(0, sent));
    });
}

/// An error other than `WouldBlock` and `Interrupted` ends the connection, after a prefix of the
/// bytes was sent (P96).
#[test]
fn s3_p96_an_error_of_the_stream_ends_the_connection_without_spinning() {
    on_every_selector(|kind| {
        for (errno, kind_of_error) in [
            (Errno::NOBUFS, io::Error::from(Errno::NOBUFS).kind()),
            (Errno::NOMEM, ErrorKind::OutOfMemory),
            (Errno::IO, io::Error::from(Errno::IO).kind()),
        ] {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let fd = ours.as_raw_fd();
            let ours = OneByteStream::new(ours, Some((50, errno)));
            let (line, conn) = (line!(), el.attach_with(ours, recorder()).unwrap());
            conn.write(&pattern(0, 1000));
            tick_until(&mut el, |el| el.state().lost_reason().is_some());
            assert_eq!(el.state().lost_reason(), Some(Some(kind_of_error)));
            tick_until_idle(&mut el);
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            assert_eq!(got, pattern(0, 50));
            // These are not network errors, so they are reported as well.
            assert_eq!(el.state().reports, [(line, format!("cannot write to fd {fd}"))]);
        }
    });
}

/// The bytes of the outer write come first, and complete, even if the stream took only a part of
/// them.
#[test]
fn s1_a_stream_that_writes_during_a_write_keeps_the_order() {
    on_every_selector(|kind| {
        for vectored in [false, true] {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let action: Action = Rc::new(|conn| {
                conn.write(b" inner");
                conn.write_vectored(&[IoSlice::new(b" and"), IoSlice::new(b" more")]);
            });
            let (stream, place) = ReentrantStream::new(ours, None, Some(action));
            let conn = el.attach_with(stream, recorder()).unwrap();
            *place.borrow_mut() = Some(conn.clone());
            match vectored {
                false => conn.write(b"outer text"),
                true => conn.write_vectored(&[IoSlice::new(b"outer"), IoSlice::new(b" text")]),
            }
            conn.write(b" last");
            tick_until_idle(&mut el);
            conn.close();
            tick_until_idle(&mut el);
            let mut got = String::new();
            theirs.read_to_string(&mut got).unwrap();
            assert_eq!(got, "outer text inner and more last");
            place.take();
        }
    });
}

#[test]
fn s1_a_stream_that_writes_during_a_flush_of_the_queue_keeps_the_order() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        crate::support::descriptors::fill(&ours);
        let action: Action = Rc::new(|conn| conn.write(b", inner"));
        let (stream, place) = ReentrantStream::new(ours, None, Some(action));
        let conn = el.attach_with(stream, recorder()).unwrap();
        conn.write(b"outer text");
        let mut junk = vec![0; 1 << 20];
        let count = theirs.read(&mut junk).unwrap();
        assert!(count > 0);
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut junk).is_ok() {}
        theirs.set_nonblocking(false).unwrap();
        // From now on the stream calls back in the write that comes from the queue.
        *place.borrow_mut() = Some(conn.clone());
        conn.write(b", next");
        tick_until_idle(&mut el);
        conn.close();
        tick_until_idle(&mut el);
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "outer text, next, inner");
        place.take();
    });
}

#[test]
fn s3_a_stream_that_closes_its_connection_gets_no_further_callback() {
    on_every_selector(|kind| {
        let actions: [fn(&Transport); 2] = [Transport::close, Transport::abort];
        for action in actions {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let (stream, place) = ReentrantStream::new(ours, Some(Rc::new(action)), None);
            let conn = el.attach_with(stream, recorder()).unwrap();
            *place.borrow_mut() = Some(conn);
            theirs.write_all(b"too late").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(theirs.read(&mut [0]).unwrap_or(0), 0, "the end, or a reset");
            crate::support::descriptors::hang_up(theirs);
            tick_until_idle(&mut el);
            assert_eq!(
                el.state().callbacks,
                [Callback::Made, Callback::Lost(None)],
                "while reading"
            );
            place.take();

            let (mut el, _) = recording_loop(kind);
            let (ours, theirs) = pair();
            let (stream, place) = ReentrantStream::new(ours, None, Some(Rc::new(action)));
            let conn = el.attach_with(stream, recorder()).unwrap();
            *place.borrow_mut() = Some(conn.clone());
            conn.write(b"the stream takes three bytes of it");
            tick_until_idle(&mut el);
            crate::support::descriptors::hang_up(theirs);
            tick_until_idle(&mut el);
            assert_eq!(
                el.state().callbacks,
                [Callback::Made, Callback::Lost(None)],
                "while writing"
            );
            place.take();
        }
    });
}

#[test]
fn s1_a_stream_may_query_its_transport() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let asked = Rc::new(Cell::new(0));
        let counter = asked.clone();
        let action: Action = Rc::new(move |conn| {
            counter.set(counter.get() + 1);
            assert!(conn.is_reading() && !conn.is_closing());
            assert_eq!(conn.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
            conn.pause_reading();
            conn.resume_reading();
            conn.set_water_marks(1, 2);
        });
        let (stream, place) = ReentrantStream::new(ours, Some(action.clone()), Some(action));
        let conn = el.attach_with(stream, recorder()).unwrap();
        *place.borrow_mut() = Some(conn.clone());
        conn.write(b"out");
        theirs.write_all(b"in").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(asked.get(), 2);
        assert_eq!(el.state().bytes(), b"in");
        place.take();
    });
}

/// If the stream panics outside the connection's callback, the caller gets the panic, and the
/// connection keeps its stream.
#[test]
fn s3_a_stream_that_panics_in_a_write_stays_usable() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let (stream, place) =
            ReentrantStream::new(ours, None, Some(Rc::new(|_| panic!("in the stream"))));
        let conn = el.attach_with(stream, recorder()).unwrap();
        *place.borrow_mut() = Some(conn.clone());
        assert!(catch_unwind(AssertUnwindSafe(|| conn.write(b"lost"))).is_err());
        conn.write(b"goes on");
        theirs.write_all(b"goes on").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"goes on");
        conn.close();
        tick_until_idle(&mut el);
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "goes on");
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!(el.state().lost_reason(), Some(None));
        place.take();
    });
}

/// The connection stays ended, although the call of the stream returns `WouldBlock`.
#[test]
fn s3_a_stream_without_room_may_abort_its_connection() {
    on_every_selector(|kind| {
        for in_flush in [false, true] {
            let (mut el, _) = recording_loop(kind);
            let (ours, _theirs) = pair();
            let place = Rc::<RefCell<Option<Transport>>>::default();
            let transport = place.clone();
            let abort = move || {
                transport.borrow().as_ref().unwrap().abort();
                Err(ErrorKind::WouldBlock.into())
            };
            let mut stream = AlteredStream::new(ours);
            match in_flush {
                true => stream.flush = Box::new(abort),
                false => stream.shutdown_write = Box::new(move |_| abort()),
            }
            let conn = el.attach_with(stream, recorder()).unwrap();
            *place.borrow_mut() = Some(conn.clone());
            conn.write(b"x");
            conn.shutdown_write();
            tick_until_idle(&mut el);
            assert_eq!(el.state().lost_reason(), Some(None));
            place.take();
        }
    });
}

/// Accepts this number of writes, then returns 0 without an error.
struct ZeroWriteStream(UnixStream, Cell<u32>);

impl AsFd for ZeroWriteStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for &ZeroWriteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &self.0, buffer)
    }
}

impl Write for &ZeroWriteStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Ok(usize::from(self.1.replace(self.1.get().saturating_sub(1)) > 0))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn s3_a_stream_that_writes_zero_bytes_ends_its_connection() {
    on_every_selector(|kind| {
        for pieces in 0..3 {
            let (mut el, _) = recording_loop(kind);
            let (ours, _theirs) = pair();
            let conn =
                el.attach_with(ZeroWriteStream(ours, Cell::new(pieces)), recorder()).unwrap();
            conn.write(b"");
            conn.write_vectored(&[b"".as_slice(), b"text"].map(IoSlice::new));
            tick_until_idle(&mut el);
            assert_eq!(
                el.state().lost_reason(),
                Some(Some(ErrorKind::WriteZero)),
                "after {pieces}"
            );
        }
    });
}
