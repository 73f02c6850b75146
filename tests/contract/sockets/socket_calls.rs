//! Methods of sockets that only forward to the descriptor, each called once on every selector
//! (docs/contract.md, S7).

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::unix::net::{UnixDatagram as StdDatagram, UnixStream as StdUnix};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use mainspring::net::{
    ConnectedSocket, KeepaliveTimes, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener,
    UnixStream,
};
use mainspring::{EventLoop, Interest, Readiness, SelectorKind, spawn};

use crate::support::descriptors::tcp_pair;
use crate::support::network::short_dir;
use crate::support::{on_every_selector, simulated};

fn on_each<F: Future<Output = ()>>(check: impl Fn(EventLoop<()>) -> (EventLoop<()>, F)) {
    on_every_selector(|kind: SelectorKind| {
        let (mut el, future) = check(simulated(kind, ()).0);
        el.run_until_complete(future).unwrap();
    });
}

/// Returns a TCP stream of a task and one of a Unix pair, each with its peer.
async fn streams() -> [(TcpOrUnix, Box<dyn ReadWrite>); 2] {
    let (ours, theirs) = tcp_pair();
    let (unix, peer) = StdUnix::pair().unwrap();
    [
        (TcpOrUnix::Tcp(TcpStream::from_std(ours).unwrap()), Box::new(theirs)),
        (TcpOrUnix::Unix(UnixStream::from_std(unix).unwrap()), Box::new(peer)),
    ]
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

enum TcpOrUnix {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl std::ops::Deref for TcpOrUnix {
    type Target = ConnectedSocket;

    fn deref(&self) -> &ConnectedSocket {
        match self {
            TcpOrUnix::Tcp(stream) => stream,
            TcpOrUnix::Unix(stream) => stream,
        }
    }
}

#[test]
fn s7_a_stream_has_readiness_and_try_io() {
    on_each(|el| {
        (el, async {
            for (socket, mut peer) in streams().await {
                socket.writable().await.unwrap();
                let nothing = socket.try_io(Interest::READABLE, |mut it| it.read(&mut [0; 8]));
                assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
                let mut waiting = pin!(socket.readable());
                let polled = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
                assert!(polled.is_pending(), "nothing has arrived");
                peer.write_all(b"hello").unwrap();
                waiting.await.unwrap();
                let ready = socket.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap();
                assert!(ready.contains(Readiness::READABLE), "{ready:?}");
                let mut buffer = [0; 8];
                let count = socket.try_io(Interest::READABLE, |mut it| it.read(&mut buffer));
                assert_eq!(&buffer[..count.unwrap()], b"hello");
                let wrote = socket.try_io(Interest::WRITABLE, |mut it| it.write(b"answer"));
                assert_eq!(wrote.unwrap(), 6);
                peer.read_exact(&mut buffer[..6]).unwrap();
                assert_eq!(&buffer[..6], b"answer");
                assert!(socket.try_io(Interest::empty(), |_| Ok(())).is_err());
            }
        })
    });
}

#[test]
fn s7_a_stream_has_poll_functions() {
    on_each(|el| {
        (el, async {
            for (socket, mut peer) in streams().await {
                let (mut one, mut two) = ([0; 3], [0; 8]);
                let pending = poll_fn(|cx| Poll::Ready(socket.poll_read(cx, &mut one)));
                assert!(pending.await.is_pending());
                peer.write_all(b"abcdef").unwrap();
                assert_eq!(poll_fn(|cx| socket.poll_read(cx, &mut one)).await.unwrap(), 3);
                assert_eq!(&one, b"abc");
                let count = poll_fn(|cx| {
                    let mut buffers = [IoSliceMut::new(&mut one[..2]), IoSliceMut::new(&mut two)];
                    socket.poll_read_vectored(cx, &mut buffers)
                });
                assert_eq!(count.await.unwrap(), 3);
                assert_eq!((&one[..2], two[0]), (&b"de"[..], b'f'));
                assert_eq!(poll_fn(|cx| socket.poll_write(cx, b"12")).await.unwrap(), 2);
                let slices = [IoSlice::new(b"3"), IoSlice::new(b"45")];
                let count = poll_fn(|cx| socket.poll_write_vectored(cx, &slices)).await.unwrap();
                assert_eq!(count, 3);
                let mut received = [0; 5];
                peer.read_exact(&mut received).unwrap();
                assert_eq!(&received, b"12345");
            }
        })
    });
}

#[test]
fn s7_halves_have_the_options_of_the_stream() {
    on_each(|el| {
        (el, async {
            let (ours, _theirs) = tcp_pair();
            let stream = TcpStream::try_from(ours).unwrap();
            let (reader, writer) = stream.split();
            reader.set_nodelay(true).unwrap();
            assert!(writer.nodelay().unwrap() && stream.nodelay().unwrap());
            let (reader, writer) = stream.into_split();
            writer.set_keepalive(true).unwrap();
            assert!(reader.keepalive().unwrap());
            let times =
                KeepaliveTimes { idle: Some(Duration::from_millis(500)), ..Default::default() };
            if reader.set_keepalive_times(&times).is_ok() {
                let times_set = writer.keepalive_times().unwrap();
                assert_eq!(times_set.idle, Some(Duration::from_secs(1)), "rounded up");
            }
            if reader.set_user_timeout(Some(Duration::from_secs(3))).is_ok() {
                assert_eq!(writer.user_timeout().unwrap(), Some(Duration::from_secs(3)));
            }
            reader.set_linger_zero(true).unwrap();
            assert_eq!(writer.linger().unwrap(), Some(Duration::ZERO));
            for (set, get) in [
                (writer.set_send_buffer(32 * 1024), writer.send_buffer()),
                (writer.set_recv_buffer(32 * 1024), writer.recv_buffer()),
            ] {
                set.unwrap();
                assert!(get.unwrap() >= 32 * 1024);
            }
            assert!(writer.take_error().unwrap().is_none());
            let refused = reader.peer_credentials().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
        })
    });
}

/// A linger time, even a fraction of a second, makes the drop neither block nor reset.
#[test]
#[allow(deprecated)]
fn s3_a_linger_time_neither_blocks_nor_resets() {
    on_each(|el| {
        (el, async {
            for time in [Duration::from_secs(3600), Duration::from_millis(900)] {
                let (ours, mut theirs) = tcp_pair();
                let stream = TcpStream::from_std(ours).unwrap();
                stream.set_linger(Some(time)).unwrap();
                assert_eq!(stream.linger().unwrap(), None, "close(2) would block");
                stream.write_all(&[1; 50_000]).await.unwrap();
                drop(stream);
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).unwrap();
                assert_eq!(all.len(), 50_000);
            }
        })
    });
}

#[test]
fn s7_unix_datagrams_have_pairs_peers_and_names() {
    on_each(|el| {
        (el, async {
            let mut buffer = [0; 8];
            let (one, other) = UnixDatagram::pair().unwrap();
            one.send(b"pair").await.unwrap();
            assert_eq!(other.recv(&mut buffer).await.unwrap(), 4);
            assert!(other.local_addr().unwrap().is_unnamed());
            assert!(
                one.io().ready(Interest::WRITABLE).await.unwrap().contains(Readiness::WRITABLE)
            );

            let folder = short_dir();
            let path = folder.join(format!("ms-thin-{}", std::process::id()));
            let named = UnixDatagram::bind(&path).unwrap();
            let (ours, _theirs) = StdDatagram::pair().unwrap();
            drop(UnixDatagram::from_std(ours).unwrap());
            let client = UnixDatagram::unbound().unwrap();
            assert!(client.peer_addr().is_err());
            client.connect(&path).unwrap();
            assert_eq!(client.peer_addr().unwrap(), named.local_addr().unwrap());
            client.send(b"named").await.unwrap();
            let (count, from) = named.recv_from(&mut buffer).await.unwrap();
            assert!(count == 5 && from.is_unnamed());
            std::fs::remove_file(&path).unwrap();
            let refused = client.connect("127.0.0.1:1").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        })
    });
}

/// Datagram sockets can have abstract names, on systems that have those.
#[test]
fn s7_unix_datagrams_have_abstract_names() {
    on_each(|el| {
        (el, async {
            let name = format!("unix:@ms-thin-{}\\x00'\"", std::process::id());
            let Ok(named) = UnixDatagram::bind(&name) else {
                return println!("skipped: this system has no abstract names");
            };
            let (client, mut buffer) = (UnixDatagram::unbound().unwrap(), [0; 8]);
            client.send_to(b"hello", &name).await.unwrap();
            let (count, from) = named.recv_from(&mut buffer).await.unwrap();
            assert!(count == 5 && from.is_unnamed());
            let answerable = UnixDatagram::bind(format!("{name}-client")).unwrap();
            answerable.send_to(b"hello", named.local_addr().unwrap()).await.unwrap();
            let (_, from) = named.recv_from(&mut buffer).await.unwrap();
            named.send_to(b"answer", from).await.unwrap();
            assert_eq!(answerable.recv(&mut buffer).await.unwrap(), 6);
        })
    });
}

#[test]
fn s7_udp_sockets_have_peek_and_peer_addr() {
    on_each(|el| {
        (el, async {
            let mut buffer = [0; 8];
            let std = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let server = UdpSocket::try_from(std).unwrap();
            let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
            client.connect(server.local_addr().unwrap()).unwrap();
            assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
            client.send(b"hello").await.unwrap();
            for _ in 0..2 {
                let (count, from) = server.peek_from(&mut buffer).await.unwrap();
                assert_eq!((count, from), (5, client.local_addr().unwrap()));
            }
            assert_eq!(server.recv(&mut buffer).await.unwrap(), 5);
            assert!(server.io().ready(Interest::WRITABLE).await.is_ok());
        })
    });
}

#[test]
fn s5_a_stream_can_be_bound_before_connecting() {
    on_each(|el| {
        (el, async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let (stream, local) = loop {
                // A free port: the kernel has just chosen it for another socket.
                let local = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
                let local = local.unwrap();
                match TcpStream::connect_from(local, address).await {
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {} // Another test has it.
                    connected => break (connected.unwrap(), local),
                }
            };
            assert_eq!(stream.local_addr().unwrap(), local);
            assert_eq!(listener.accept().await.unwrap().1, local);
            let taken = TcpStream::connect_from(address, address).await.unwrap_err();
            assert!(taken.to_string().contains(&address.to_string()), "{taken}");

            let folder = short_dir();
            let path = |name| folder.join(format!("ms-from-{name}-{}", std::process::id()));
            let listener = UnixListener::bind(path("server")).unwrap();
            let accepted = spawn(async move { listener.accept().await.unwrap() });
            let stream = UnixStream::connect_from(path("client"), path("server")).await.unwrap();
            let (_conn, from) = accepted.await.unwrap();
            assert_eq!(from.as_pathname(), Some(&*path("client")));
            assert!(stream.peer_addr().unwrap().as_pathname().is_some());
            if let Ok(peer) = stream.peer_credentials() {
                assert!(peer.pid.is_none_or(|pid| pid == std::process::id()));
            }
            for name in ["server", "client"] {
                std::fs::remove_file(path(name)).unwrap();
            }
        })
    });
}
