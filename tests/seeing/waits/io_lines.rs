//! The exact line of each public future of a descriptor (docs/contract.md, O9).

use std::fs::File;
use std::future::poll_fn;
use std::io::{IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use mainspring::io::{AsyncRead, BufReader, copy, copy_bidirectional};
use mainspring::net::{
    DatagramBatch, Outgoing, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener,
    UnixSeqpacket, UnixSeqpacketListener, UnixStream,
};
use mainspring::{Interest, Io};

use super::{check, next_line};
use crate::support::descriptors::fill;
use crate::support::network::{SilentAddress, SocketFile};
use crate::support::on_every_selector;

const HOUR: Duration = Duration::from_secs(3600);

/// An empty pipe.
fn empty() -> (Io<PipeReader>, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Io::new(reader).unwrap(), writer)
}

/// A full pipe.
fn full() -> (PipeReader, Io<PipeWriter>) {
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    (reader, Io::new(writer).unwrap())
}

/// A stream without input, and its peer.
fn silent() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// A stream without room, and its peer.
fn clogged() -> (UnixStream, UnixStream) {
    let (ours, theirs) = silent();
    fill(&ours);
    (ours, theirs)
}

#[test]
fn o9_the_lines_of_a_source() {
    on_every_selector(|kind| {
        check(kind, "readable", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = reader.readable().await;
        });
        check(kind, "ready", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = reader.ready(Interest::READABLE).await;
        });
        check(kind, "poll_ready", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = poll_fn(|cx| reader.poll_ready(cx, Interest::READABLE)).await;
        });
        check(kind, "read", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = reader.read(&mut [0]).await;
        });
        check(kind, "read_chunk", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = reader.read_chunk().await;
        });
        check(kind, "read_with", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = reader.read_with(|mut pipe| pipe.read(&mut [0])).await;
        });
        check(kind, "poll_read_with", async {
            let (reader, _writer) = empty();
            next_line();
            let _ = poll_fn(|cx| reader.poll_read_with(cx, |mut it| it.read(&mut [0]))).await;
        });
        check(kind, "read", async {
            let (mut reader, _writer) = empty();
            next_line();
            let _ = reader.read_some(&mut [0]).await;
        });
    });
}

#[test]
fn o9_the_lines_of_a_source_without_room() {
    on_every_selector(|kind| {
        check(kind, "writable", async {
            let (_reader, writer) = full();
            next_line();
            let _ = writer.writable().await;
        });
        check(kind, "write", async {
            let (_reader, writer) = full();
            next_line();
            let _ = writer.write(b"x").await;
        });
        check(kind, "write_all", async {
            let (_reader, writer) = full();
            next_line();
            let _ = writer.write_all(b"x").await;
        });
        check(kind, "write_with", async {
            let (_reader, writer) = full();
            next_line();
            let _ = writer.write_with(|mut pipe| pipe.write(b"x")).await;
        });
        check(kind, "poll_write_with", async {
            let (_reader, writer) = full();
            next_line();
            let _ = poll_fn(|cx| writer.poll_write_with(cx, |mut it| it.write(b"x"))).await;
        });
    });
}

#[test]
fn o9_the_lines_of_streams_that_read() {
    on_every_selector(|kind| {
        check(kind, "read", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.read(&mut [0]).await;
        });
        check(kind, "read_chunk", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.read_chunk().await;
        });
        check(kind, "read_vectored", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.read_vectored(&mut [IoSliceMut::new(&mut [0])]).await;
        });
        check(kind, "peek", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.peek(&mut [0]).await;
        });
        check(kind, "read_exact", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.read_exact(&mut [0]).await;
        });
        check(kind, "read_to_end", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.read_to_end(&mut Vec::new()).await;
        });
        check(kind, "recv_fds", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.recv_fds(&mut [0]).await;
        });
        check(kind, "readable", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.readable().await;
        });
        check(kind, "ready", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = ours.ready(Interest::READABLE).await;
        });
        check(kind, "poll_read", async {
            let (ours, _theirs) = silent();
            next_line();
            let _ = poll_fn(|cx| ours.poll_read(cx, &mut [0])).await;
        });
        check(kind, "read", async {
            let (ours, _theirs) = silent();
            let (reader, _writer) = ours.split();
            next_line();
            let _ = reader.read(&mut [0]).await;
        });
    });
}

#[test]
fn o9_the_lines_of_streams_that_write() {
    on_every_selector(|kind| {
        check(kind, "write", async {
            let (ours, _theirs) = clogged();
            next_line();
            let _ = ours.write(b"x").await;
        });
        check(kind, "write_all", async {
            let (ours, _theirs) = clogged();
            next_line();
            let _ = ours.write_all(b"x").await;
        });
        check(kind, "write_vectored", async {
            let (ours, _theirs) = clogged();
            next_line();
            let _ = ours.write_vectored(&[IoSlice::new(b"x")]).await;
        });
        check(kind, "send_fds", async {
            let (ours, theirs) = clogged();
            next_line();
            let _ = ours.send_fds(b"x", &[theirs.as_fd()]).await;
        });
        check(kind, "send_file", async {
            let (ours, _theirs) = clogged();
            let file = File::open("/proc/self/exe").or_else(|_| File::open("/bin/sh")).unwrap();
            next_line();
            let _ = ours.send_file(&file, 0..64).await;
        });
        check(kind, "writable", async {
            let (ours, _theirs) = clogged();
            next_line();
            let _ = ours.writable().await;
        });
        check(kind, "poll_write", async {
            let (ours, _theirs) = clogged();
            next_line();
            let _ = poll_fn(|cx| ours.poll_write(cx, b"x")).await;
        });
    });
}

#[test]
fn o9_the_lines_of_listeners_and_clients() {
    on_every_selector(|kind| {
        check(kind, "accept", async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            next_line();
            let _ = listener.accept().await;
        });
        check(kind, "accept", async {
            let file = SocketFile::new("awaits");
            let listener = UnixListener::bind(file.0.as_path()).unwrap();
            next_line();
            let _ = listener.accept().await;
        });
        let Some(silent) = SilentAddress::new() else { return };
        let address = silent.address;
        check(kind, "connect", async move {
            next_line();
            let _ = TcpStream::connect(address).await;
        });
        check(kind, "connect_from", async move {
            next_line();
            let _ = TcpStream::connect_from("127.0.0.1:0", address).await;
        });
        check(kind, "connect_timeout", async move {
            next_line();
            let _ = TcpStream::connect_timeout(address, HOUR).await;
        });
        check(kind, "connect_any", async move {
            next_line();
            let _ = TcpStream::connect_any(&[address], HOUR).await;
        });
    });
}

#[test]
fn o9_the_lines_of_datagrams() {
    on_every_selector(|kind| {
        check(kind, "recv", async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            next_line();
            let _ = ours.recv(&mut [0]).await;
        });
        check(kind, "recv_from", async {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            next_line();
            let _ = socket.recv_from(&mut [0]).await;
        });
        check(kind, "peek_from", async {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            next_line();
            let _ = socket.peek_from(&mut [0]).await;
        });
        check(kind, "peek", async {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            next_line();
            let _ = socket.peek(&mut [0]).await;
        });
        check(kind, "recv_batch", async {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut batch = DatagramBatch::new(2, 64);
            next_line();
            let _ = socket.recv_batch(&mut batch).await;
        });
        check(kind, "recv_from", async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            next_line();
            let _ = ours.recv_from(&mut [0]).await;
        });
        check(kind, "recv_fds", async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            next_line();
            let _ = ours.recv_fds(&mut [0]).await;
        });
        check(kind, "readable", async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            next_line();
            let _ = ours.readable().await;
        });
        check(kind, "send", async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            while ours.try_io(Interest::WRITABLE, |it| it.send(&[0; 999])).is_ok() {}
            next_line();
            let _ = ours.send(&[0; 999]).await;
        });
        check(kind, "send_batch", async {
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            while ours.try_io(Interest::WRITABLE, |it| it.send(&[0; 999])).is_ok() {}
            next_line();
            let _ = ours.send_batch(&[Outgoing::new(&[0; 999])]).await;
        });
    });
}

#[test]
fn o9_the_lines_of_packets() {
    if UnixSeqpacket::pair().is_err() {
        return println!("skipped: the system has no such sockets");
    }
    on_every_selector(|kind| {
        check(kind, "recv", async {
            let (ours, _theirs) = UnixSeqpacket::pair().unwrap();
            next_line();
            let _ = ours.recv(&mut [0]).await;
        });
        check(kind, "recv_fds", async {
            let (ours, _theirs) = UnixSeqpacket::pair().unwrap();
            next_line();
            let _ = ours.recv_fds(&mut [0]).await;
        });
        check(kind, "accept", async {
            let file = SocketFile::new("awaits");
            let listener = UnixSeqpacketListener::bind(file.0.as_path()).unwrap();
            next_line();
            let _ = listener.accept().await;
        });
    });
}

#[test]
fn o9_the_lines_of_copies_and_of_reading_lines() {
    on_every_selector(|kind| {
        check(kind, "copy", async {
            let ((reader, _writer), (ours, _theirs)) = (empty(), silent());
            next_line();
            let _ = copy(reader, &ours).await;
        });
        check(kind, "copy_bidirectional", async {
            let ((a, _b), (c, _d)) = (silent(), silent());
            next_line();
            let _ = copy_bidirectional(&a, &c).await;
        });
        check(kind, "next_line", async {
            let (reader, _writer) = empty();
            let mut lines = BufReader::new(reader).lines();
            next_line();
            let _ = lines.next_line().await;
        });
        check(kind, "read_until", async {
            let (reader, _writer) = empty();
            let mut reader = BufReader::new(reader);
            next_line();
            let _ = reader.read_until(b'x', &mut Vec::new()).await;
        });
        check(kind, "read_line", async {
            let (reader, _writer) = empty();
            let mut reader = BufReader::new(reader);
            next_line();
            let _ = reader.read_line(&mut String::new()).await;
        });
        check(kind, "read", async {
            let (reader, _writer) = empty();
            let mut reader = BufReader::new(reader);
            next_line();
            let _ = reader.read(&mut [0]).await;
        });
    });
}
