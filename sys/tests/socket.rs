//! Sockets on the real system: addresses, connecting, accepting, options.

mod short_dir;

use std::io::{self, IoSlice, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainspring_sys::socket::{
    self, AcceptError, Address, BindOptions, Connecting, ListenOptions, ReserveFd, UnixAddress,
};
use mainspring_sys::{Events, Interest, SelectorKind, Token, TriggerMode};

const LOOPBACK: &str = "127.0.0.1:0";

fn listen(address: &str) -> (OwnedFd, Address) {
    let listener = socket::listen(&address.parse().unwrap(), &ListenOptions::default()).unwrap();
    let address = socket::local_addr(&listener).unwrap();
    (listener, address)
}

/// A path that no other test uses, removed at the end.
struct SocketFile(PathBuf);

impl SocketFile {
    fn new() -> SocketFile {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mainspring-{}-{number}", std::process::id());
        SocketFile(short_dir::short_dir().join(name))
    }

    fn address(&self) -> Address {
        UnixAddress::from_pathname(&self.0).unwrap().into()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn wait(fd: impl AsFd, interest: Interest) {
    let mut selector = SelectorKind::available()[0].open().unwrap();
    let fd = fd.as_fd().as_raw_fd();
    selector.register(fd, Token::new(0, 0), interest, TriggerMode::Level).unwrap();
    let mut events = Events::with_capacity(1);
    selector.select(&mut events, Some(Duration::from_secs(30))).unwrap();
    assert!(!events.is_empty(), "the socket did not become ready");
}

/// Accepts one connection, waiting for it on a slow machine.
fn accept(listener: &OwnedFd) -> (OwnedFd, Address) {
    wait(listener, Interest::READABLE);
    socket::accept(listener).unwrap()
}

fn connect(address: &Address) -> io::Result<OwnedFd> {
    let connecting = socket::connect(address)?;
    wait(&connecting, Interest::WRITABLE);
    assert!(socket::finish_connect(&connecting)?);
    Ok(connecting.into_fd())
}

fn assert_private(fd: BorrowedFd<'_>) {
    // SAFETY: the command takes no argument.
    let descriptor = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    // SAFETY: as above.
    let file = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    assert_ne!(descriptor & libc::FD_CLOEXEC, 0, "close-on-exec");
    assert_ne!(file & libc::O_NONBLOCK, 0, "non-blocking");
}

/// Returns the loopback addresses of this machine, which may have no IPv6.
fn loopbacks() -> Vec<&'static str> {
    let has = |address: &&str| {
        let is_there = TcpListener::bind(address).is_ok();
        if !is_there {
            println!("skipped: there is no {address}");
        }
        is_there
    };
    [LOOPBACK, "[::1]:0"].into_iter().filter(has).collect()
}

/// W11, P79: every socket that the crate creates is close-on-exec and non-blocking.
#[test]
fn w11_every_socket_is_close_on_exec_and_non_blocking() {
    let file = SocketFile::new();
    let internet = loopbacks().into_iter().map(|address| address.parse().unwrap());
    for address in internet.chain([file.address()]) {
        let listener = socket::listen(&address, &ListenOptions::default()).unwrap();
        assert_private(listener.as_fd());
        let client = connect(&socket::local_addr(&listener).unwrap()).unwrap();
        assert_private(client.as_fd());
        assert_private(accept(&listener).0.as_fd());
    }
    let datagram = socket::bind_datagram(&LOOPBACK.parse().unwrap(), &BindOptions::default());
    let datagram = datagram.unwrap();
    assert_private(datagram.as_fd());
    let remote = socket::local_addr(&datagram).unwrap();
    assert_private(socket::connect_datagram(&remote).unwrap().as_fd());
}

/// S5: success is reported once the peer is there, and both ends have matching addresses.
#[test]
fn s5_connect_succeeds_over_tcp_and_unix() {
    let file = SocketFile::new();
    let unix = file.address();
    let unix = unix.to_string();
    for (listener, address) in loopbacks().into_iter().chain([&*unix]).map(listen) {
        let client = connect(&address).unwrap();
        let (server, from) = accept(&listener);
        assert_eq!(socket::peer_addr(&client).unwrap(), address);
        assert_eq!(socket::local_addr(&server).unwrap(), address);
        assert_eq!(socket::local_addr(&client).unwrap(), from);
        assert_eq!(
            from.as_unix().is_some_and(UnixAddress::is_unnamed),
            address.as_unix().is_some()
        );
    }
}

/// S5, P80: a refusal is reported as one error.
#[test]
fn s5_connect_without_a_listener_is_refused_once() {
    let (listener, address) = listen(LOOPBACK);
    drop(listener);
    let refused = match socket::connect(&address) {
        Ok(connecting) => {
            wait(&connecting, Interest::WRITABLE);
            let refused = socket::finish_connect(&connecting).unwrap_err();
            let later = socket::finish_connect(&connecting).unwrap_err();
            assert_eq!(later.kind(), io::ErrorKind::NotConnected);
            refused
        }
        Err(error) => error,
    };
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

/// S5: a connection that was reset before the check is an error, not success.
#[test]
fn s5_connect_and_reset_is_an_error() {
    let (listener, address) = listen(LOOPBACK);
    let connecting = socket::connect(&address).unwrap();
    let (server, _) = accept(&listener);
    socket::set_linger_zero(&server, true).unwrap();
    drop(server);
    wait(&connecting, Interest::READABLE); // The reset has arrived.
    let reset = socket::finish_connect(&connecting).unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_unix_path_without_a_socket_is_an_error_at_once() {
    let file = SocketFile::new();
    let missing = socket::connect(&file.address()).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    std::fs::write(&file.0, "no socket").unwrap();
    let refused = socket::connect(&file.address()).unwrap_err();
    // Linux refuses; the BSDs return that the file is not a socket (`ENOTSOCK`).
    let is_no_socket = refused.raw_os_error() == Some(libc::ENOTSOCK);
    assert!(refused.kind() == io::ErrorKind::ConnectionRefused || is_no_socket, "{refused}");
}

/// S5: a full Unix backlog is neither success nor a connection in progress.
#[test]
fn s5_a_full_unix_backlog_is_an_error() {
    let file = SocketFile::new();
    let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
    let listener = socket::listen(&file.address(), &options).unwrap();
    let mut clients = Vec::new();
    let full = loop {
        match socket::connect(&file.address()) {
            Ok(Connecting::Done(client)) => clients.push(client),
            Ok(Connecting::InProgress(_)) => panic!("a full backlog is not progress"),
            Err(error) => break error,
        }
        assert!(clients.len() < 100, "the backlog must be limited");
    };
    let kinds = [io::ErrorKind::ResourceBusy, io::ErrorKind::ConnectionRefused];
    assert!(kinds.contains(&full.kind()), "{full}");
    accept(&listener);
    assert!(matches!(socket::connect(&file.address()), Ok(Connecting::Done(_))));
}

/// S5: a socket that never started to connect is writable and without error, but this is not
/// success.
#[test]
fn s5_a_socket_that_never_connected_is_not_a_success() {
    let unconnected = socket::bind_datagram(&LOOPBACK.parse().unwrap(), &BindOptions::default());
    let unconnected = unconnected.unwrap();
    wait(&unconnected, Interest::WRITABLE);
    assert!(socket::take_error(&unconnected).unwrap().is_none());
    let error = socket::finish_connect(&unconnected).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[test]
fn a_connection_in_progress_is_neither_success_nor_failure() {
    // The backlog holds one connection; further attempts stay in progress.
    let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
    let listener = socket::listen(&LOOPBACK.parse().unwrap(), &options).unwrap();
    let address = socket::local_addr(&listener).unwrap();
    let clients: Vec<_> = (0..8).map(|_| socket::connect(&address)).collect();
    let clients = clients.into_iter().flatten(); // The BSDs reset connections beyond the backlog.
    let finished: Vec<_> =
        clients.map(|client| (socket::finish_connect(&client).ok(), client)).collect();
    wait(&finished[0].1, Interest::WRITABLE);
    assert!(socket::finish_connect(&finished[0].1).unwrap());
    let seen: Vec<_> = finished.iter().map(|(seen, _)| *seen).collect();
    assert!(seen.iter().any(|seen| *seen != Some(true)), "{seen:?}");
}

#[test]
fn a_connection_may_come_from_a_chosen_address() {
    let (listener, address) = listen(LOOPBACK);
    // Only Linux has all addresses of 127.0.0.0/8.
    let has = |ip: &&str| TcpListener::bind((*ip, 0)).is_ok();
    let ip = ["127.0.0.2", "127.0.0.1"].into_iter().find(has).unwrap();
    let local = format!("{ip}:0").parse().unwrap();
    let client = socket::connect_from(&address, &local).unwrap();
    let (_server, from) = accept(&listener);
    assert_eq!(from.as_inet().unwrap().ip().to_string(), ip);
    assert_eq!(socket::local_addr(&client).unwrap(), from);
    let foreign = "192.0.2.1:0".parse().unwrap();
    let refused = socket::connect_from(&address, &foreign).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
}

/// P90: paths and names of maximum length, and names with zero bytes, pass through the kernel
/// unchanged.
#[test]
fn s5_p90_unix_addresses_pass_through_the_kernel_unchanged() {
    let file = SocketFile::new();
    let room = if cfg!(has_abstract_unix) { 107 - file.0.as_os_str().len() } else { 0 };
    let longest = SocketFile(PathBuf::from(format!("{}{}", file.0.display(), "x".repeat(room))));
    let mut addresses = vec![file.address()];
    if cfg!(has_abstract_unix) {
        addresses.push(longest.address());
        let unique = format!("mainspring\0{}\0", std::process::id());
        addresses.push(UnixAddress::from_abstract_name(unique).unwrap().into());
        let full = format!("{:\0<107}", format!("\0mainspring {}", std::process::id()));
        addresses.push(UnixAddress::from_abstract_name(full).unwrap().into());
    }
    for address in addresses {
        let listener = socket::listen(&address, &ListenOptions::default()).unwrap();
        assert_eq!(socket::local_addr(&listener).unwrap(), address);
        assert_eq!(socket::peer_addr(connect(&address).unwrap()).unwrap(), address);
    }
}

#[test]
fn addresses_in_use_are_refused_and_files_are_not_changed() {
    let file = SocketFile::new();
    std::fs::write(&file.0, "precious").unwrap();
    let refused = socket::listen(&file.address(), &ListenOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&file.0).unwrap(), b"precious");
    let (_listener, address) = listen(LOOPBACK);
    let refused = socket::listen(&address, &ListenOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn reuse_port_shares_an_address_and_v6_only_leaves_ipv4_free() {
    let bind = BindOptions { reuse_port: true, ..BindOptions::default() };
    let first = socket::bind_datagram(&LOOPBACK.parse().unwrap(), &bind).unwrap();
    let address = socket::local_addr(&first).unwrap();
    socket::bind_datagram(&address, &bind).unwrap();
    let refused = socket::bind_datagram(&address, &BindOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);

    for (only, ipv4) in [(true, Ok(())), (false, Err(io::ErrorKind::AddrInUse))] {
        let bind = BindOptions { v6_only: Some(only), ..BindOptions::default() };
        let socket = socket::bind_datagram(&"[::]:0".parse().unwrap(), &bind).unwrap();
        let port = socket::local_addr(&socket).unwrap().as_inet().unwrap().port();
        let address = format!("0.0.0.0:{port}").parse().unwrap();
        let bound = socket::bind_datagram(&address, &BindOptions::default());
        assert_eq!(bound.map(drop).map_err(|error| error.kind()), ipv4, "v6_only: {only}");
    }
}

/// S4: errors of accept are classified by the reaction to them.
#[test]
fn s4_errors_of_accept_are_classified() {
    let (listener, _) = listen(LOOPBACK);
    assert!(matches!(socket::accept(&listener), Err(AcceptError::WouldBlock)));
    let (not_listening, _writer) = UnixStream::pair().unwrap();
    assert!(matches!(socket::accept(&not_listening), Err(AcceptError::Listener(_))));
    let sorted = |number| AcceptError::from(io::Error::from_raw_os_error(number));
    use libc::{EAGAIN, EBADF, ECONNABORTED, EHOSTUNREACH, EMFILE, ENETDOWN, ENFILE};
    use libc::{EHOSTDOWN, EINVAL, ENETUNREACH, ENOBUFS, ENOMEM, ENOPROTOOPT, EOPNOTSUPP, EPROTO};
    for number in [ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH] {
        assert!(matches!(sorted(number), AcceptError::Connection(_)), "{number}");
    }
    for number in [ENETUNREACH, libc::EPERM, libc::ETIMEDOUT, libc::ECONNRESET, libc::EIO] {
        assert!(matches!(sorted(number), AcceptError::Connection(_)), "{number}");
    }
    for number in [EMFILE, ENFILE, ENOBUFS, ENOMEM] {
        assert!(matches!(sorted(number), AcceptError::Capacity(_)), "{number}");
    }
    for number in [EBADF, EINVAL, EOPNOTSUPP, libc::EFAULT, libc::ENOTSOCK] {
        assert!(matches!(sorted(number), AcceptError::Listener(_)), "{number}");
    }
    assert!(matches!(sorted(EAGAIN), AcceptError::WouldBlock));
}

#[test]
fn a_reserve_accepts_and_closes_one_connection() {
    let (listener, address) = listen(LOOPBACK);
    let mut reserve = ReserveFd::new(&listener).unwrap();
    assert!(matches!(reserve.accept_and_close(&listener), Err(AcceptError::WouldBlock)));
    let unlucky = connect(&address).unwrap();
    let lucky = connect(&address).unwrap();
    let from = reserve.accept_and_close(&listener).unwrap();
    assert_eq!(from, socket::local_addr(&unlucky).unwrap());
    wait(&unlucky, Interest::READABLE);
    assert_eq!(socket::recv(&unlucky, &mut [0; 8]).unwrap(), 0, "the peer notices at once");
    assert_eq!(accept(&listener).1, socket::local_addr(&lucky).unwrap());
    assert!(reserve.release());
    assert!(!reserve.release() && !reserve.is_filled());
    reserve.refill(&listener).unwrap();
    assert!(reserve.is_filled());
}

/// X8: with SIGPIPE at its default action, which kills the process, a send to a closed peer only
/// returns an error.
#[test]
fn x8_sending_to_a_closed_peer_is_an_error_and_no_signal() {
    // SAFETY: no handler of ours is replaced; std only ignores the signal.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (listener, address) = listen(LOOPBACK);
    let tcp = connect(&address).unwrap();
    let (server, _) = accept(&listener);
    socket::set_linger_zero(&server, true).unwrap();
    drop(server);
    wait(&tcp, Interest::READABLE);
    let reset = socket::take_error(&tcp).unwrap();
    assert!(reset.is_some() || socket::send(&tcp, b"x").is_err());
    let (unix, peer) = UnixStream::pair().unwrap();
    drop(peer);
    for socket in [tcp.as_fd(), unix.as_fd()] {
        let broken = socket::send(socket, b"x").unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
        let broken = socket::send_vectored(socket, &[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    }
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGPIPE, before) };
}

#[test]
fn bytes_arrive_and_the_end_follows_the_last() {
    let (listener, address) = listen(LOOPBACK);
    let client = connect(&address).unwrap();
    let (server, _) = accept(&listener);
    let mut buffer = [0; 16];
    let nothing = socket::recv(&server, &mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(socket::send(&client, b"one ").unwrap(), 4);
    let slices = vec![IoSlice::new(b"x"); 3000];
    assert_eq!(socket::send_vectored(&client, &slices).unwrap(), 1024);
    assert_eq!(socket::send_vectored(&client, &[]).unwrap(), 0);
    socket::shutdown_write(&client).unwrap();
    let mut text = String::new();
    let mut server = TcpStream::from(server);
    server.set_nonblocking(false).unwrap();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("one {}", "x".repeat(1024)));
}

fn is_kept_alive(socket: &OwnedFd) -> bool {
    let mut value: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let (fd, place) = (socket.as_raw_fd(), (&raw mut value).cast());
    let (level, name) = (libc::SOL_SOCKET, libc::SO_KEEPALIVE);
    // SAFETY: `place` has room for `length` bytes.
    assert_eq!(unsafe { libc::getsockopt(fd, level, name, place, &raw mut length) }, 0);
    value != 0
}

#[test]
fn options_are_read_back_from_the_kernel() {
    let (listener, address) = listen(LOOPBACK);
    let client = connect(&address).unwrap();
    for on in [true, false] {
        socket::set_nodelay(&client, on).unwrap();
        socket::set_keepalive(&client, on).unwrap();
        assert_eq!(is_kept_alive(&client), on);
    }
    for bytes in [8192, usize::MAX] {
        socket::set_send_buffer(&client, bytes).unwrap();
        socket::set_recv_buffer(&client, bytes).unwrap();
        assert!(socket::send_buffer(&client).unwrap() >= 8192);
        assert!(socket::recv_buffer(&client).unwrap() >= 8192);
    }
    let stream = TcpStream::from(client);
    assert!(!stream.nodelay().unwrap());
    socket::set_nodelay(&stream, true).unwrap();
    assert!(stream.nodelay().unwrap());
    TcpListener::from(listener).local_addr().unwrap();
    let (unix, _peer) = UnixStream::pair().unwrap();
    assert!(socket::set_nodelay(&unix, true).is_err());
    assert!(socket::set_v6_only(&unix, true).is_err());
}
