//! The table of sockets in the docs of `net` (S7 of docs/contract.md): what one type of socket of
//! tasks can do, all types can do for which it means something, on every selector.

use std::io::ErrorKind;
use std::net::{TcpListener as StdTcpListener, TcpStream as StdTcpStream, UdpSocket as StdUdp};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{
    UnixDatagram as StdDatagram, UnixListener as StdUnixListener, UnixStream as StdUnixStream,
};
use std::path::PathBuf;
use std::time::Duration;

use mainspring::net::{
    BindOptions, ListenOptions, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener,
    UnixStream,
};
use mainspring::{Error, Interest, Readiness, SelectorKind, timeout};

use crate::support::network::short_dir;
use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

/// A path for a socket that no other test uses.
fn path(name: &str, kind: SelectorKind) -> PathBuf {
    let path = short_dir().join(format!("{}-{name}-{kind:?}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn run(kind: SelectorKind, future: impl Future<Output = ()>) {
    let (mut el, _) = simulated(kind, ());
    el.run_until_complete(future).unwrap();
}

/// Receives the same datagram twice: `peek` leaves it in the socket.
macro_rules! check_datagrams {
    ($one:expr, $other:expr) => {
        let (one, other) = (&$one, &$other);
        let mut buffer = [0; 16];
        one.writable().await.unwrap();
        assert_eq!(one.send(b"hello").await.unwrap(), 5);
        other.readable().await.unwrap();
        let ready = other.ready(Interest::READABLE).await.unwrap();
        assert!(ready.contains(Readiness::READABLE), "{ready:?}");
        for _ in 0..2 {
            assert_eq!(other.peek(&mut buffer).await.unwrap(), 5);
        }
        let received = other.try_io(Interest::READABLE, |socket| socket.recv(&mut buffer));
        assert_eq!(received.unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        let again = other.try_io(Interest::READABLE, |socket| socket.recv(&mut buffer));
        assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
        let waiting = timeout(SECOND, other.peek(&mut buffer)).await;
        assert!(matches!(waiting, Err(Error::TimedOut(SECOND))));
    };
}

/// Sets each buffer to a size, and reads that size or a greater one.
macro_rules! check_buffers {
    ($socket:expr) => {
        let socket = &$socket;
        socket.set_send_buffer(8192).unwrap();
        assert!(socket.send_buffer().unwrap() >= 4096);
        socket.set_recv_buffer(8192).unwrap();
        assert!(socket.recv_buffer().unwrap() >= 4096);
        assert!(socket.take_error().unwrap().is_none());
    };
}

#[test]
fn s7_udp_sockets_have_the_methods_of_datagrams() {
    on_every_selector(|kind| {
        run(kind, async {
            let bind = || UdpSocket::bind_with("127.0.0.1:0", &BindOptions::default()).unwrap();
            let (one, other) = (bind(), bind());
            one.connect(other.local_addr().unwrap()).unwrap();
            other.connect(one.local_addr().unwrap()).unwrap();
            assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
            check_datagrams!(one, other);
            check_buffers!(one);
        });
    });
}

#[test]
fn s7_unix_datagram_sockets_have_the_methods_of_datagrams() {
    on_every_selector(|kind| {
        run(kind, async {
            let (one, other) = UnixDatagram::pair().unwrap();
            check_datagrams!(one, other);
            check_buffers!(one);
            let path = path("bound", kind);
            let bound = UnixDatagram::bind_with(&path, &BindOptions::default()).unwrap();
            assert_eq!(bound.local_addr().unwrap().as_pathname(), Some(&*path));
            let sender = UnixDatagram::unbound().unwrap();
            let error = sender.peer_addr().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            sender.connect(&path).unwrap();
            assert_eq!(sender.peer_addr().unwrap(), bound.local_addr().unwrap());
            sender.send(b"hello").await.unwrap();
            for _ in 0..2 {
                let (count, from) = bound.peek_from(&mut [0; 16]).await.unwrap();
                assert!(count == 5 && from.is_unnamed());
            }
            std::fs::remove_file(&path).unwrap();
        });
    });
}

#[test]
fn s7_streams_of_both_families_peek_and_have_addresses() {
    async fn check(
        one: &mainspring::net::ConnectedSocket,
        other: &mainspring::net::ConnectedSocket,
    ) {
        let mut buffer = [0; 16];
        one.write_all(b"hello").await.unwrap();
        for _ in 0..2 {
            assert_eq!(other.peek(&mut buffer).await.unwrap(), 5);
        }
        assert_eq!(other.read(&mut buffer).await.unwrap(), 5);
        check_buffers!(one);
    }
    on_every_selector(|kind| {
        run(kind, async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let one = TcpStream::connect_timeout(address, SECOND).await.unwrap();
            let (other, from) = listener.accept().await.unwrap();
            assert_eq!((one.peer_addr().unwrap(), one.local_addr().unwrap()), (address, from));
            check(&one, &other).await;

            let path = path("stream", kind);
            let options = ListenOptions::default();
            let listener = UnixListener::bind_with(&path, &options).unwrap();
            let one = UnixStream::connect_timeout(&path, SECOND).await.unwrap();
            let (other, from) = listener.accept().await.unwrap();
            assert_eq!(one.peer_addr().unwrap(), listener.local_addr().unwrap());
            assert!(from.is_unnamed() && one.local_addr().unwrap().is_unnamed());
            check(&one, &other).await;
            std::fs::remove_file(&path).unwrap();
            let refused = UnixStream::connect_timeout(&path, SECOND).await.unwrap_err();
            assert!(matches!(refused, Error::Connect { .. }), "{refused}");
        });
    });
}

#[test]
fn s7_listeners_return_their_limit_and_no_error() {
    on_every_selector(|kind| {
        run(kind, async {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            assert_eq!(tcp.max_connections(), usize::MAX);
            tcp.set_max_connections(7);
            assert_eq!(tcp.max_connections(), 7);
            assert!(tcp.take_error().unwrap().is_none());
            let path = path("limit", kind);
            let unix = UnixListener::bind(&path).unwrap();
            assert_eq!(unix.max_connections(), usize::MAX);
            unix.set_max_connections(7);
            assert_eq!(unix.max_connections(), 7);
            assert!(unix.take_error().unwrap().is_none());
            std::fs::remove_file(&path).unwrap();
        });
    });
}

/// A socket leaves the loop, also one that the loop has watched, and comes back.
#[test]
fn s7_every_socket_converts_to_std_and_back() {
    on_every_selector(|kind| {
        run(kind, async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let stream = TcpStream::connect(address).await.unwrap();
            listener.accept().await.unwrap();
            let std: StdTcpListener = listener.into();
            assert_eq!(std.local_addr().unwrap(), address);
            assert_eq!(std.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            let listener = TcpListener::try_from(std).unwrap();
            let std: StdTcpStream = stream.into();
            assert_eq!(std.peer_addr().unwrap(), address);
            let stream = TcpStream::try_from(std).unwrap();
            stream.as_fd().try_clone_to_owned().unwrap();
            drop((OwnedFd::from(stream), OwnedFd::from(listener)));

            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(timeout(SECOND, udp.readable()).await.is_err(), "now the loop watches it");
            let address = udp.local_addr().unwrap();
            let std: StdUdp = udp.into();
            let udp = UdpSocket::try_from(std).unwrap();
            assert_eq!(udp.local_addr().unwrap(), address);
            drop(OwnedFd::from(udp));
        });
    });
}

#[test]
fn s7_every_unix_socket_converts_to_std_and_back() {
    on_every_selector(|kind| {
        run(kind, async {
            let path = path("convert", kind);
            let listener = UnixListener::bind(&path).unwrap();
            let address = listener.local_addr().unwrap();
            let stream = UnixStream::connect(&path).await.unwrap();
            listener.accept().await.unwrap();
            let std: StdUnixListener = listener.into();
            let listener = UnixListener::try_from(std).unwrap();
            assert_eq!(listener.local_addr().unwrap(), address);
            let std: StdUnixStream = stream.into();
            let stream = UnixStream::try_from(std).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
            drop((OwnedFd::from(stream), OwnedFd::from(listener)));
            std::fs::remove_file(&path).unwrap();

            let (one, other) = UnixDatagram::pair().unwrap();
            let std: StdDatagram = one.into();
            std.send(b"hello").unwrap();
            let one = UnixDatagram::try_from(std).unwrap();
            assert_eq!(other.recv(&mut [0; 16]).await.unwrap(), 5);
            drop((OwnedFd::from(one), OwnedFd::from(other)));
        });
    });
}

/// Every socket shows itself by its descriptor.
#[test]
fn s7_sockets_have_a_debug_text() {
    on_every_selector(|kind| {
        run(kind, async {
            let (one, _other) = UnixStream::pair().unwrap();
            let (datagram, _peer) = UnixDatagram::pair().unwrap();
            let texts = [
                format!("{:?}", TcpListener::bind("127.0.0.1:0").unwrap()),
                format!("{:?}", UdpSocket::bind("127.0.0.1:0").unwrap()),
                format!("{one:?}"),
                format!("{datagram:?}"),
            ];
            for text in texts {
                assert!(text.contains("fd") || text.contains("Fd"), "{text}");
            }
        });
    });
}
