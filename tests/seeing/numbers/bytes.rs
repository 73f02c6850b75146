//! Bytes (docs/contract.md, N7).

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, UdpSocket as StdSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use mainspring::net::{
    DatagramBatch, Outgoing, UdpSocket, UnixDatagram, UnixSeqpacket, UnixStream,
};
use mainspring::{Error, EventLoop, Io, Metrics};

use crate::support::custom_stream::AlteredStream;
use crate::support::descriptors::{hang_up, pair, reset_connection, tcp_pair};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated, simulated_builder};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Returns the numbers of bytes received and sent.
fn moved(metrics: &Metrics) -> (u64, u64) {
    (metrics.received_bytes(), metrics.sent_bytes())
}

#[test]
fn n7_a_connection_counts_what_it_reads_and_writes() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = tcp_pair();
        let conn = el.attach(ours, |_, (), conn, data| Ok(conn.write(data))).unwrap();
        theirs.write_all(&[1; 1000]).unwrap();
        el.tick(None).unwrap();
        assert_eq!(moved(&el.metrics()), (1000, 1000));
        conn.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b"two")]);
        assert_eq!(moved(&el.metrics()), (1000, 1006));
        let metrics = el.metrics();
        let other = thread::spawn(move || moved(&metrics));
        assert_eq!(other.join().unwrap(), (1000, 1006), "on another thread");
    });
}

#[test]
fn n7_a_write_counts_when_the_kernel_accepts_it() {
    on_every_selector(|kind| {
        const ALL: usize = 4 << 20;
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        theirs.set_nonblocking(true).unwrap();
        let conn = el.attach(ours, |_, (), _, _| Ok(())).unwrap();
        conn.write(&vec![0; ALL]);
        assert!(conn.queued() > 0);
        assert_eq!(moved(&el.metrics()), (0, (ALL - conn.queued()) as u64));
        conn.write(b"behind the queue");
        let (mut buffer, mut read) = (vec![0; 1 << 16], 0);
        while read < ALL + 16 {
            read += theirs.read(&mut buffer).unwrap_or(0);
            el.tick(NOW).unwrap();
            let sent = (ALL + 16 - conn.queued()) as u64;
            assert_eq!(moved(&el.metrics()), (0, sent));
        }
        assert_eq!(conn.queued(), 0);
    });
}

#[test]
fn n7_calls_that_fail_count_nothing() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let conn = el.attach(ours, |_, (), _, _| Ok(())).unwrap();
        conn.write(b"before");
        theirs.write_all(&[0; 20]).unwrap();
        tick(&mut el);
        assert_eq!(moved(&el.metrics()), (20, 6));
        hang_up(theirs);
        conn.write(b"after");
        assert_eq!(moved(&el.metrics()), (20, 6), "a write with EPIPE");
        (0..3).for_each(|_| _ = tick(&mut el));
        let (ours, theirs) = pair();
        el.attach(ours, |_, (), _, _| Ok(())).unwrap();
        drop(theirs);
        (0..3).for_each(|_| _ = tick(&mut el));
        assert_eq!(moved(&el.metrics()), (20, 6), "an end of file");
        let (ours, theirs) = pair();
        let conn = el.attach(AlteredStream::new(ours), |_, (), _, _| Ok(())).unwrap();
        hang_up(theirs);
        conn.write(b"after");
        assert_eq!(moved(&el.metrics()), (20, 6), "a user-defined stream");
        let conn = el.attach(reset_connection(), |_, (), _, _| Ok(())).unwrap();
        (0..3).for_each(|_| _ = tick(&mut el));
        conn.write(b"too late");
        assert_eq!(moved(&el.metrics()), (20, 6), "a read with ECONNRESET");
    });
}

/// The peer still sends while the connection waits for its end of file.
#[test]
fn n7_input_that_is_discarded_counts() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let conn = el.attach(ours, |_, (), _, _| panic!("it is closed")).unwrap();
        conn.close();
        theirs.write_all(&[0; 300]).unwrap();
        el.tick(NOW).unwrap();
        assert_eq!(moved(&el.metrics()), (300, 0));
        drop(theirs);
        el.run().unwrap();
    });
}

/// A flooded connection next to one that gets a byte in each tick.
#[test]
fn n7_bytes_are_exact_under_saturation() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let seen = Rc::new(Cell::new(0));
        let mut peers = [tcp_pair(), tcp_pair()].map(|(ours, theirs)| {
            let seen = seen.clone();
            let count = move |len: usize| seen.set(seen.get() + len as u64);
            el.attach(ours, move |_, (), _, data| Ok(count(data.len()))).unwrap();
            theirs.set_nonblocking(true).unwrap();
            theirs
        });
        let (mut written, flood) = (0, vec![0; 1 << 20]);
        for _ in 0..50 {
            written += peers[0].write(&flood).unwrap_or(0) as u64;
            written += peers[1].write(b"x").unwrap() as u64;
            el.tick(NOW).unwrap();
            assert_eq!(moved(&el.metrics()), (seen.get(), 0));
        }
        while seen.get() < written {
            el.tick(None).unwrap();
        }
        assert_eq!(moved(&el.metrics()), (written, 0));
    });
}

#[test]
fn n7_streams_and_pipes_of_tasks_count() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let metrics = el.metrics();
        let work = async {
            let (ours, theirs) = UnixStream::pair()?;
            ours.write_all(&[0; 100]).await?;
            theirs.read_exact(&mut [0; 60]).await?;
            assert_eq!(theirs.peek(&mut [0; 100]).await?, 40);
            assert_eq!(moved(&metrics), (60, 100), "a peek counts nothing");
            assert_eq!(theirs.read_chunk().await?.len(), 40);
            ours.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]).await?;
            theirs.read_vectored(&mut [IoSliceMut::new(&mut [0; 8])]).await?;
            assert_eq!(moved(&metrics), (103, 103));
            let stdin = std::io::stdin();
            ours.send_fds(b"four", &[std::os::fd::AsFd::as_fd(&stdin)]).await?;
            theirs.recv_fds(&mut [0; 8]).await?;
            assert_eq!(moved(&metrics), (107, 107));
            let (reader, writer) = std::io::pipe()?;
            let (reader, writer) = (Io::new(reader)?, Io::new(writer)?);
            writer.write_all(&[0; 20]).await?;
            reader.read(&mut [0; 15]).await?;
            assert_eq!(reader.read_chunk().await?.len(), 5);
            assert_eq!(moved(&metrics), (127, 127));
            drop(writer);
            reader.read(&mut [0; 15]).await?;
            assert_eq!(moved(&metrics), (127, 127), "the end of the file");
            Ok::<_, Error>(())
        };
        el.run_until_complete(work).unwrap().unwrap();
    });
}

#[test]
fn n7_datagrams_of_tasks_count() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let metrics = el.metrics();
        let work = async {
            let (one, two) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
            one.connect(two.local_addr()?)?;
            one.send(&[0; 10]).await?;
            one.send_to(&[0; 5], two.local_addr()?).await.ok();
            let sent = metrics.sent_bytes();
            assert!([10, 15].contains(&sent), "some kernels refuse an address: {sent}");
            two.peek_from(&mut [0; 99]).await?;
            while metrics.received_bytes() < sent {
                two.recv_from(&mut [0; 99]).await?;
            }
            one.send_batch(&[Outgoing::new(&[0; 30]), Outgoing::new(&[0; 40]).segment(8)]).await?;
            one.try_send_batch(&[Outgoing::new(&[0; 7])])?;
            let mut batch = DatagramBatch::new(8, 99);
            while metrics.received_bytes() < sent + 77 {
                two.recv_batch(&mut batch).await?;
            }
            assert_eq!(moved(&metrics), (sent + 77, sent + 77));
            Ok::<_, Error>(sent + 77)
        };
        let before = el.run_until_complete(work).unwrap().unwrap();
        let work = async {
            let (one, two) = UnixDatagram::pair()?;
            one.send(&[0; 10]).await?;
            two.recv(&mut [0; 4]).await?; // The rest is lost.
            assert_eq!(moved(&metrics), (before + 4, before + 10));
            if let Ok((one, two)) = UnixSeqpacket::pair() {
                one.send(&[0; 6]).await?;
                two.recv(&mut [0; 99]).await?;
                assert_eq!(moved(&metrics), (before + 10, before + 16));
            }
            Ok::<_, Error>(())
        };
        el.run_until_complete(work).unwrap().unwrap();
    });
}

#[test]
fn n7_a_datagram_endpoint_counts() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let echo = el
            .bind_datagram("127.0.0.1:0", |_, (), echo, datagram| {
                Ok(echo.send_to(datagram.bytes, &datagram.from))
            })
            .unwrap();
        let client = StdSocket::bind("127.0.0.1:0").unwrap();
        let address = *echo.local_addr().unwrap().as_inet().as_ref().unwrap();
        for length in [0, 10, 100] {
            client.send_to(&vec![0; length], address).unwrap();
        }
        while el.metrics().received_bytes() < 110 {
            el.tick(None).unwrap();
        }
        assert_eq!(moved(&el.metrics()), (110, 110));
        let to = client.local_addr().unwrap().into();
        echo.send_batch(&[Outgoing::new(&[0; 9]).to(&to), Outgoing::new(&[0; 20]).to(&to)]);
        echo.send_to(&vec![0; 1 << 20], &to); // EMSGSIZE
        assert_eq!(moved(&el.metrics()), (110, 139));
    });
}

#[test]
fn n7_a_full_datagram_queue_counts_when_it_is_sent() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let endpoint = el.attach_datagram(ours, |_, (), _, _| Ok(())).unwrap();
        let mut given = 0;
        while endpoint.queued() == 0 {
            assert_eq!(el.metrics().sent_bytes(), given);
            endpoint.send(&[0; 1000]);
            given += 1000;
        }
        endpoint.send(&[0; 1000]);
        given += 1000;
        assert_eq!(el.metrics().sent_bytes(), given - 2000);
        let mut received = 0;
        while received < given {
            received += theirs.recv(&mut [0; 2000]).unwrap_or(0) as u64;
            clock.advance(Duration::from_millis(100));
            el.tick(NOW).unwrap();
        }
        assert_eq!((el.metrics().sent_bytes(), endpoint.queued()), (given, 0));
    });
}

/// A stream that returns more bytes than the buffer has.
struct Exaggerating(StdStream);

impl mainspring::net::TransportStream for Exaggerating {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &self.0, buffer).map(|count| if count == 0 { 0 } else { usize::MAX })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &self.0, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(&mut &self.0, slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[test]
fn n7_bytes_beyond_the_buffer_do_not_count() {
    on_every_selector(|kind| {
        let mut el = simulated_builder(kind).0.read_buffer(512).build().unwrap();
        let [one, other] = [pair(), pair()].map(|(ours, mut theirs)| {
            theirs.write_all(b"input").unwrap();
            let attached = el.attach(Exaggerating(ours), |_, (), _, _| panic!("no such input"));
            (attached.unwrap(), theirs)
        });
        other.0.close(); // Its input is discarded.
        tick(&mut el);
        assert_eq!(moved(&el.metrics()), (512, 0));
        drop((one, other));
    });
}
