//! Copies in one direction and in both (docs/contract.md, B1 to B3).

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::rc::Rc;

use mainspring::io::{AsyncRead, AsyncWrite, BufReader, copy, copy_bidirectional};
use mainspring::net::{TcpStream, UnixStream};
use mainspring::{Error, EventLoop, Io, ReadChunk, spawn};
use rustix::event::PollFlags;

use super::{Counted, Pieces};
use crate::support::bytes::pattern;
use crate::support::descriptors::{fill, reset_connection, tcp_pair, wait_for};
use crate::support::{on_every_selector, simulated};

/// Size of a message that no socket takes at once.
const LARGE: usize = 9 << 20;
/// Default size of the loop's read buffer.
const READ_BUFFER: usize = 64 * 1024;

fn task_pair() -> (TcpStream, StdStream) {
    let (ours, theirs) = tcp_pair();
    (TcpStream::from_std(ours).unwrap(), theirs)
}

fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn b1_a_copy_passes_on_everything_in_order() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let ((from, mut source), (to, sink)) = (task_pair(), task_pair());
        let message = pattern(0, LARGE);
        let (copied, received) = std::thread::scope(|scope| {
            scope.spawn(|| {
                source.write_all(&message).unwrap();
                source.shutdown(Shutdown::Write).unwrap();
            });
            let received = scope.spawn(|| read_all(sink));
            let copied = el.run_until_complete(async move { copy(&from, to).await }).unwrap();
            (copied, received.join().unwrap())
        });
        assert_eq!(copied.unwrap(), LARGE as u64);
        assert!(received == message, "all bytes, in order");
    });
}

/// The types that can be copied from and to: pipes, halves, streams and buffered readers, owned and
/// shared.
#[test]
fn b1_every_stream_can_be_copied() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let done = el.run_until_complete(async {
            let (reader, mut writer) = io::pipe()?;
            writer.write_all(b"head\nbody")?;
            drop(writer);
            let mut head = BufReader::new(Io::new(reader)?);
            head.read_line(&mut String::new()).await?;
            let ((one, two), (three, four)) = (UnixStream::pair()?, UnixStream::pair()?);
            let (_, write) = one.into_split();
            assert_eq!(copy(&mut head, write).await?, 4); // Dropping the half ends the stream.
            let (read, _write) = two.split();
            assert_eq!(copy(read, &three).await?, 4);
            drop(three);
            let (last, end) = io::pipe()?;
            assert_eq!(copy(BufReader::new(four), Io::new(end)?).await?, 4);
            assert_eq!(read_all(last), b"body");
            Ok::<_, Error>(())
        });
        done.unwrap().unwrap();
    });
}

/// Returns the address of the buffer that the loop lends. While it is on loan elsewhere, the next
/// one has another address.
async fn lent_buffer() -> *const u8 {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").await.unwrap();
    ours.read_chunk().await.unwrap().as_ptr()
}

#[test]
fn b1_an_idle_copy_holds_no_buffer_and_a_slow_one_holds_one() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let before = el.run_until_complete(lent_buffer()).unwrap();
        let ((from, source), (to, sink)) = (task_pair(), task_pair());
        let read = Rc::new(RefCell::new(0));
        let idle = el.spawn(async move { copy(&from, &to).await });
        el.run_until_stalled().unwrap();
        assert_eq!(el.run_until_complete(lent_buffer()).unwrap(), before, "idle");
        drop((idle, source, sink));

        let (writer, _reader) = UnixStream::pair().unwrap();
        fill(&writer);
        let counted = Counted(Pieces(vec![&[7; READ_BUFFER]; 100]), read.clone());
        let slow = el.spawn(async move { copy(counted, writer).await });
        el.run_until_stalled().unwrap();
        assert_eq!(*read.borrow(), READ_BUFFER, "nothing more is read");
        assert_ne!(el.run_until_complete(lent_buffer()).unwrap(), before, "slow");
        slow.cancel("enough");
    });
}

#[test]
fn b2_the_end_of_one_direction_is_passed_on() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let ((front, mut client), (back, mut server)) = (task_pair(), task_pair());
        let copying = el.spawn(async move { copy_bidirectional(&front, &back).await });
        let (question, answer) = (pattern(0, LARGE), pattern(1, LARGE));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&question).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                assert!(read_all(&client) == answer, "the client gets the answer");
            });
            scope.spawn(|| {
                assert!(read_all(&server) == question, "the server gets the question and its end");
                server.write_all(&answer).unwrap();
                server.shutdown(Shutdown::Write).unwrap();
            });
            let counts = el.run_until_complete(copying).unwrap().unwrap().unwrap();
            assert_eq!(counts, (LARGE as u64, LARGE as u64));
        });
    });
}

#[test]
fn b2_the_first_error_ends_both_directions() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (front, mut client) = task_pair();
        client.write_all(b"some").unwrap();
        let back = TcpStream::from_std(reset_connection()).unwrap();
        let copying = async move { copy_bidirectional(&front, &back).await };
        let error = el.run_until_complete(copying).unwrap().unwrap_err();
        let Error::Copy { copied, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*copied, 0);
        assert!(error.is_disconnect(), "{error:?}");
        assert!(error.to_string().ends_with(" after 0 copied bytes"), "{error}");
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "the streams are dropped");
    });
}

/// Writer that fails after some bytes.
struct Full(usize);

impl AsyncWrite for Full {
    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        if count > 0 { Ok(count) } else { Err(ErrorKind::StorageFull.into()) }
    }

    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reader and writer that report one byte more than they were given.
struct Liar;

impl AsyncRead for Liar {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(buffer.len() + 1)
    }
}

impl AsyncWrite for Liar {
    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len() + 1)
    }

    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn b2_an_error_contains_the_operation_and_the_bytes() {
    let mut el = EventLoop::new().unwrap();
    let mut run = |reader: Vec<&'static [u8]>, room| {
        el.run_until_complete(copy(Pieces(reader), Full(room))).unwrap()
    };
    assert_eq!(run(vec![b"abc", b"def"], 6).unwrap(), 6);
    let error = run(vec![b"abc", b"def"], 4).unwrap_err();
    assert_eq!((error.kind(), error.is_disconnect()), (ErrorKind::StorageFull, false));
    assert_eq!(error.to_string(), "cannot write after 4 copied bytes");
    let error = el.run_until_complete(copy(Liar, Full(1))).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "cannot read after 0 copied bytes");
    let error = el.run_until_complete(copy(Pieces(vec![b"abc"]), Liar)).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "cannot write after 0 copied bytes");
}

/// A directory cannot be read, and the end of a pipe without readers cannot be written.
#[test]
fn b2_errors_of_the_kernel_are_passed_on() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        wait_for(&writer, PollFlags::ERR); // A child of another test may have a copy.
        let result = el.run_until_complete(async {
            let folder = File::open(std::env::temp_dir())?;
            let error = copy(Io::new(folder)?, Full(9)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IsADirectory);
            let error = copy(Pieces(vec![b"x"]), Io::new(writer)?).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            Ok::<_, Error>(())
        });
        result.unwrap().unwrap();
    });
}

/// Files that are always ready: nothing but the limits of a tick stops the copy.
#[test]
fn b3_an_endless_copy_starves_no_other_callback() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0_u32);
        let read = Rc::new(RefCell::new(0));
        let counted = read.clone();
        let copying = el.spawn(async move {
            let zero = Io::new(File::open("/dev/zero")?)?;
            let null = Io::new(File::options().write(true).open("/dev/null")?)?;
            copy(Counted(zero, counted), null).await
        });
        el.call_every(std::time::Duration::from_millis(1), |_, runs| *runs += 1).unwrap();
        for _ in 0..50 {
            let before = *read.borrow();
            el.tick(Some(std::time::Duration::from_millis(1))).unwrap();
            let moved = *read.borrow() - before;
            assert!(moved < 256 * 1024 + READ_BUFFER, "{moved} bytes in one tick");
        }
        assert!(*read.borrow() > 40 * READ_BUFFER, "the copy goes on: {}", read.borrow());
        copying.cancel("enough");
    });
}

/// A reader and a writer that do not use the budget.
#[test]
fn b3_a_copy_of_user_defined_streams_leaves_the_tick_too() {
    let mut el = EventLoop::new().unwrap();
    let read = Rc::new(RefCell::new(0));
    let counted = Counted(Pieces(vec![b"x"; 1000]), read.clone());
    let copying = el.spawn(async move { copy(counted, Full(usize::MAX)).await });
    el.tick(None).unwrap();
    assert!((1..=128).contains(&*read.borrow()), "{}", read.borrow());
    assert_eq!(el.run_until_complete(copying).unwrap().unwrap().unwrap(), 1000);
}

#[test]
fn b1_a_pipe_ends_when_its_writer_was_copied_to() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (reader, writer) = io::pipe().unwrap();
        let both: (u64, ReadChunk) = el
            .run_until_complete(async move {
                let reader = Io::new(reader)?;
                let writer = Io::new(writer)?;
                let copied = spawn(copy(Pieces(vec![b"a", b"b"]), writer));
                let copied = copied.await.unwrap()?;
                assert_eq!(&reader.read_chunk().await?[..], b"ab");
                Ok::<_, Error>((copied, reader.read_chunk().await?))
            })
            .unwrap()
            .unwrap();
        assert_eq!((both.0, both.1.len()), (2, 0));
    });
}

/// Dropping an `Io` in both directions of a pipe-like file is no error.
#[test]
fn b2_a_file_that_is_no_socket_has_no_shutdown() {
    let mut el = EventLoop::new().unwrap();
    let (client, server) = UnixStream::pair().unwrap();
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let counts = el.run_until_complete(async move {
        let null = Io::new(null)?;
        client.write_all(b"discarded").await?;
        client.shutdown_write()?;
        let counts = copy_bidirectional(&server, &null).await?;
        assert!(client.read_chunk().await?.is_empty(), "the end of /dev/null is passed on");
        Ok::<_, Error>(counts)
    });
    assert_eq!(counts.unwrap().unwrap(), (9, 0));
}
