//! Sockets of tasks: streams, connecting and accepting (docs/contract.md, S1, S4 and S5).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mainspring::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, Result, SelectorKind, Task, spawn, timeout};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

use crate::support::descriptors::{FdLimit, census, tcp_pair};
use crate::support::network::{SilentAddress, SocketFile, closed_address, full_unix_backlog_error};
use crate::support::process::alone;
use crate::support::selector::counted;
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

fn tick_until_idle<S>(el: &mut EventLoop<S>) {
    el.run_until_stalled().unwrap();
}

/// Echoes until the end of the stream.
async fn echo(conn: TcpStream) -> Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match conn.read(&mut buffer).await? {
            0 => return Ok(()),
            count => conn.write_all(&buffer[..count]).await?,
        }
    }
}

async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (conn, _) = listener.accept().await?;
        spawn(echo(conn)).detach();
    }
}

/// Spawns a server. Returns its task and its address.
fn server<S>(el: &EventLoop<S>) -> (Task<Result<()>>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (el.spawn(serve(listener)), address)
}

/// Returns a stream of a task, and its peer.
fn stream() -> (TcpStream, std::net::TcpStream) {
    let (ours, theirs) = tcp_pair();
    (TcpStream::from_std(ours).unwrap(), theirs)
}

#[test]
fn s1_a_server_of_tasks_answers_all_its_clients() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (serving, address) = server(&el);
        el.run_until_complete(async {
            let clients: Vec<_> = (0..50_u8)
                .map(|client| {
                    spawn(async move {
                        let conn = TcpStream::connect(address).await?;
                        for round in 0..20 {
                            let sent = [client, round, 42];
                            conn.write_all(&sent).await?;
                            let mut received = [0; 3];
                            conn.read_exact(&mut received).await?;
                            assert_eq!(sent, received);
                        }
                        Ok::<_, Error>(())
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap().unwrap();
            }
        })
        .unwrap();
        assert!(!serving.is_finished());
    });
}

/// A request costs one wait, one read and one write, as with callbacks. No registration changes.
#[test]
fn q10_a_steady_echo_changes_no_registration() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = EventLoop::builder().selector(selector).build().unwrap();
        let (_serving, address) = server(&el);
        tick_until_idle(&mut el);
        let mut clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        tick_until_idle(&mut el);
        let mut round = |el: &mut EventLoop| {
            for client in &mut clients {
                client.write_all(b"ping").unwrap();
            }
            let ran = el.tick(None).unwrap();
            for client in &mut clients {
                client.read_exact(&mut [0; 4]).unwrap();
            }
            ran
        };
        assert_eq!((0..3).map(|_| round(&mut el)).sum::<usize>(), 9);
        calls.take();
        assert_eq!((0..100).map(|_| round(&mut el)).sum::<usize>(), 300);
        assert_eq!(calls.take(), (100, 0), "waits and changes on {kind}");
    });
}

/// After a short read or write over TCP the task waits without a further call that would block.
#[test]
fn q10_a_short_read_needs_no_further_read() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (conn, mut peer) = stream();
        let task = el.spawn(async move {
            let mut buffer = [0; 8];
            assert_eq!(conn.read(&mut buffer).await.unwrap(), 4);
            let is_known = is_pending(conn.readable()).await;
            if kind == SelectorKind::Kqueue && !is_known {
                return; // Not every kqueue reports urgent data, at which a read stops short.
            }
            assert!(is_known, "another read would be needed to find out");
            // A read that fills the buffer proves nothing. An end that was reported with the data
            // is not reported again.
            assert_eq!(conn.read(&mut buffer).await.unwrap(), 8);
            assert!(!is_pending(conn.readable()).await);
            assert_eq!(conn.read(&mut buffer).await.unwrap(), 4);
            for _ in 0..3 {
                assert_eq!(conn.read(&mut buffer).await.unwrap(), 0);
            }
        });
        tick_until_idle(&mut el);
        peer.write_all(b"four").unwrap();
        tick_until_idle(&mut el);
        peer.write_all(b"eight...four").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        tick_until_idle(&mut el);
        assert!(task.is_finished());
        el.run_until_complete(task).unwrap().unwrap();
    });
}

async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Bytes that a task has read so far.
type Received = Rc<RefCell<Vec<u8>>>;

/// Spawns a task that reads until the end.
fn listening<S>(el: &EventLoop<S>, read: impl AsyncFn(&mut [u8]) -> usize + 'static) -> Received {
    let received = Received::default();
    let inside = received.clone();
    el.spawn(async move {
        let mut buffer = [0; 64];
        loop {
            match read(&mut buffer).await {
                0 => return,
                count => inside.borrow_mut().extend_from_slice(&buffer[..count]),
            }
        }
    })
    .detach();
    received
}

/// A read that stops short at urgent data has not read everything.
#[test]
fn s1_urgent_data_hides_no_bytes() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (conn, mut peer) = stream();
        let received = listening(&el, async move |buffer| conn.read(buffer).await.unwrap());
        tick_until_idle(&mut el);
        for round in 1..=3 {
            peer.write_all(b"ab").unwrap();
            send(&peer, b"!", SendFlags::OOB).unwrap();
            peer.write_all(b"cd").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(*received.borrow(), b"abcd".repeat(round));
        }
    });
}

/// The same holds for a read that stops short at passed descriptors.
#[test]
fn s1_passed_descriptors_hide_no_bytes() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (conn, peer) = UnixStream::pair().unwrap();
        let peer = peer.into_socket();
        let received = listening(&el, async move |buffer| conn.read(buffer).await.unwrap());
        tick_until_idle(&mut el);
        for round in 1..=3 {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut passed = SendAncillaryBuffer::new(&mut space);
            let fds = [peer.as_fd()];
            assert!(passed.push(SendAncillaryMessage::ScmRights(&fds)));
            let bytes = [IoSlice::new(b"ab")];
            sendmsg(&peer, &bytes, &mut passed, SendFlags::empty()).unwrap();
            (&peer).write_all(b"cd").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(*received.borrow(), b"abcd".repeat(round));
        }
    });
}

#[test]
fn s1_halves_are_closed_one_by_one() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (conn, mut peer) = stream();
        let (reader, writer) = conn.into_split();
        let reading = el.spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        });
        let writing = el.spawn(async move { writer.write_all(b"all we have").await.unwrap() });
        tick_until_idle(&mut el);
        assert!(writing.is_finished());
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap(); // The end arrives because the writer was dropped.
        assert_eq!(received, b"all we have");
        peer.write_all(b"and an answer").unwrap();
        crate::support::descriptors::hang_up(peer);
        tick_until_idle(&mut el);
        assert_eq!(el.run_until_complete(reading).unwrap().unwrap(), b"and an answer");
    });
}

#[test]
fn s1_streams_have_peek_and_vectored_calls() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (one, other) = UnixStream::pair().unwrap();
        el.run_until_complete(async move {
            let (reader, writer) = (one.split().0, other.split().1);
            let parts = [IoSlice::new(b"peeked"), IoSlice::new(b" and read")];
            assert_eq!(writer.write_vectored(&parts).await.unwrap(), 15);
            let (mut six, mut rest) = ([0; 6], [0; 16]);
            assert_eq!(reader.peek(&mut six).await.unwrap(), 6);
            assert_eq!(&six, b"peeked");
            six.fill(0);
            let mut buffers = [IoSliceMut::new(&mut six), IoSliceMut::new(&mut rest)];
            assert_eq!(reader.read_vectored(&mut buffers).await.unwrap(), 15);
            assert_eq!((&six, &rest[..9]), (b"peeked", &b" and read"[..]));
            let short = async {
                writer.write_all(b"short").await.unwrap();
                writer.shutdown_write().unwrap();
                reader.read_exact(&mut rest).await.unwrap_err().kind()
            };
            assert_eq!(short.await, ErrorKind::UnexpectedEof);
        })
        .unwrap();
    });
}

/// A socket moves from a task to a protocol. It stays non-blocking.
#[test]
fn s1_sockets_convert_from_std_and_to_transports() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let (conn, mut peer) = stream();
        let task = el.spawn(async move {
            conn.read_exact(&mut [0; 3]).await.unwrap();
            conn
        });
        tick_until_idle(&mut el);
        peer.write_all(b"abc").unwrap();
        tick_until_idle(&mut el);
        let conn = el.run_until_complete(task).unwrap().unwrap();
        let socket = conn.into_socket();
        assert!(
            !crate::support::descriptors::is_blocking(&socket),
            "a copy of a socket may be watched elsewhere"
        );
        let echo = |_: &_, seen: &mut Vec<u8>, conn: &mainspring::net::Transport, data: &[u8]| {
            seen.extend_from_slice(data);
            Ok(conn.write(data))
        };
        let _transport = el.attach(socket, echo).unwrap();
        peer.write_all(b"def").unwrap();
        tick_until_idle(&mut el);
        peer.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(el.state(), b"def");
    });
}

#[test]
fn s5_connecting_succeeds_fails_or_times_out() {
    alone("sockets::task_sockets::s5_connecting_succeeds_fails_or_times_out", || {
        on_every_selector(|kind| {
            let (mut el, clock) = simulated(kind, ());
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let (open, closed) = (listener.local_addr().unwrap(), closed_address());
            let Some(silent) = SilentAddress::new() else { return };
            let before = census();
            el.run_until_complete(async {
                let stream = TcpStream::connect(open).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap(), open);
                let refused = TcpStream::connect_timeout(closed, LONG).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                assert!(refused.to_string().contains(&closed.to_string()), "{refused}");
                let late = TcpStream::connect_timeout(silent.address, SECOND).await.unwrap_err();
                assert_eq!(late.kind(), ErrorKind::TimedOut);
                assert!(late.chain().contains("the time limit of 1s expired"), "{}", late.chain());
            })
            .unwrap();
            assert_eq!(clock.elapsed(), SECOND);
            assert_eq!(census(), before, "a descriptor was left open");
        });
    });
}

/// Dropping the future of an attempt frees its descriptor number at once (P82).
#[test]
fn s5_a_dropped_connect_future_closes_its_socket() {
    alone("sockets::task_sockets::s5_a_dropped_connect_future_closes_its_socket", || {
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, ());
            let Some(silent) = SilentAddress::new() else { return };
            let before = census();
            let connecting = el.spawn(TcpStream::connect(silent.address));
            tick_until_idle(&mut el);
            assert_eq!(census().len(), before.len() + 1);
            connecting.cancel("enough");
            tick_until_idle(&mut el);
            assert_eq!(census(), before);
            let (one, other) = UnixStream::pair().unwrap();
            let reading = el.spawn(async move { one.read(&mut [0; 8]).await.unwrap() });
            tick_until_idle(&mut el);
            assert!(!reading.is_finished());
            drop(other);
            tick_until_idle(&mut el);
            assert!(reading.is_finished());
        });
    });
}

#[test]
fn s5_addresses_of_another_kind_are_refused() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let kinds = el.run_until_complete(async {
        [
            TcpStream::connect("/run/nowhere").await.unwrap_err(),
            TcpStream::connect("localhost:80").await.unwrap_err(),
            UnixStream::connect("127.0.0.1:80").await.unwrap_err(),
            TcpListener::bind("unix:/run/nowhere").unwrap_err(),
            UnixListener::bind("[::1]:80").unwrap_err(),
        ]
        .map(|error| error.kind())
    });
    assert_eq!(kinds.unwrap(), [ErrorKind::InvalidInput; 5]);
}

#[test]
fn s5_unix_sockets_connect_and_a_full_backlog_is_an_error() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let file = SocketFile::new("async-net");
        let options = mainspring::net::ListenOptions { backlog: 0, ..Default::default() };
        let listener = UnixListener::bind_with(file.0.as_path(), &options).unwrap();
        let name = listener.local_addr().unwrap();
        assert_eq!(name.as_pathname(), Some(file.0.as_path()));
        let taken = UnixListener::bind(file.0.as_path()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        el.run_until_complete(async {
            let first = UnixStream::connect(name.clone()).await.unwrap();
            assert_eq!(first.peer_addr().unwrap(), name);
            let full = UnixStream::connect(file.0.as_path()).await.unwrap_err();
            assert_eq!(full.kind(), full_unix_backlog_error(&name.clone().into()));
            let (conn, from) = listener.accept().await.unwrap();
            assert!(from.is_unnamed() && conn.local_addr().unwrap() == name);
            drop(first);
            assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
        })
        .unwrap();
    });
}

/// An accept future can be dropped in each of its states without losing a connection (P127).
#[test]
fn s4_a_dropped_accept_future_loses_no_connection() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _clients: Vec<_> = el
            .run_until_complete(async {
                let mut clients = Vec::new();
                for _ in 0..20 {
                    let mut accepting = pin!(listener.accept());
                    poll_fn(|cx| Poll::Ready(assert!(accepting.as_mut().poll(cx).is_pending())))
                        .await;
                    clients.push(TcpStream::connect(address).await.unwrap());
                    // The event goes to the pinned future, which is never polled again.
                    mainspring::yield_now().await;
                    let accepted = timeout(LONG, listener.accept()).await.unwrap().unwrap();
                    assert_eq!(accepted.1, clients.last().unwrap().local_addr().unwrap());
                    clients.push(accepted.0);
                }
                clients
            })
            .unwrap();
    });
}

/// Texts of the reports.
type Reports = Vec<String>;

fn reported(kind: SelectorKind) -> (EventLoop<Reports>, SimClock) {
    let (el, clock) = simulated(kind, Reports::new());
    el.set_exception_handler(|_, reports: &mut Reports, report| {
        reports.push(report.error.to_string());
    });
    (el, clock)
}

fn is_served(el: &mut EventLoop<Reports>, client: &mut std::net::TcpStream) -> bool {
    client.write_all(b"hello").unwrap();
    client.set_nonblocking(true).unwrap();
    let served = (0..5).any(|_| {
        // Only ticks that do not sleep: the clock must not advance.
        tick(el);
        loopback::deliver();
        matches!(client.read(&mut [0; 8]), Ok(5))
    });
    client.set_nonblocking(false).unwrap();
    served
}

fn is_rejected(client: &mut std::net::TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    loopback::deliver();
    match client.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// At the descriptor limit a loop that only accepts keeps running, does not spin, and accepts the
/// waiting clients when there is room again.
#[test]
fn s4_at_the_fd_limit_accepting_pauses_and_resumes() {
    alone("sockets::task_sockets::s4_at_the_fd_limit_accepting_pauses_and_resumes", || {
        on_every_selector(|kind| {
            let (mut el, clock) = reported(kind);
            let (serving, address) = server(&el);
            let mut inside = std::net::TcpStream::connect(address).unwrap();
            assert!(is_served(&mut el, &mut inside));
            let mut waiting: Vec<_> =
                (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
            let full = FdLimit::new();
            tick_with_clock_stopped(&mut el);
            for pause in 1..=2 {
                // During the pause nothing runs although clients wait, and the connected client is
                // served.
                assert_eq!((0..100).map(|_| tick(&mut el)).sum::<usize>(), 0);
                assert!(is_served(&mut el, &mut inside));
                clock.advance(Duration::from_millis(100));
                tick_with_clock_stopped(&mut el);
                let rejected = waiting.iter_mut().filter_map(|it| is_rejected(it).then_some(()));
                assert_eq!(rejected.count(), 8 * pause, "after pause {pause}");
            }
            assert_eq!(el.state().len(), 1, "{:?}", el.state());
            assert!(el.state()[0].starts_with("cannot accept a connection on fd"));
            assert!(!serving.is_finished());
            drop(full);
            clock.advance(Duration::from_millis(100));
            tick_with_clock_stopped(&mut el);
            for client in &mut waiting[16..] {
                assert!(is_served(&mut el, client));
            }
        });
    });
}

/// Ticks until nothing runs. The clock stands still.
fn tick_with_clock_stopped<S>(el: &mut EventLoop<S>) {
    let ticks = (0..1000).take_while(|_| tick(el) > 0).count();
    assert!(ticks < 1000, "the loop spins");
}

#[test]
fn s4_several_accepting_tasks_share_a_pause() {
    alone("sockets::task_sockets::s4_several_accepting_tasks_share_a_pause", || {
        on_every_selector(|kind| {
            let (mut el, clock) = reported(kind);
            let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let address = listener.local_addr().unwrap();
            let accepting = [(); 3].map(|()| {
                let listener = listener.clone();
                el.spawn(async move { listener.accept().await.map(|_| ()) })
            });
            tick_with_clock_stopped(&mut el);
            let mut waiting: Vec<_> =
                (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
            let full = FdLimit::new();
            tick_with_clock_stopped(&mut el);
            clock.advance(Duration::from_millis(100));
            tick_with_clock_stopped(&mut el);
            let rejected = waiting.iter_mut().filter_map(|it| is_rejected(it).then_some(()));
            assert_eq!(rejected.count(), 8, "one pause, three tasks");
            assert_eq!(el.state().len(), 1, "{:?}", el.state());
            drop(full);
            clock.advance(Duration::from_millis(100));
            tick_with_clock_stopped(&mut el);
            assert!(accepting.iter().all(Task::is_finished));
        });
    });
}
