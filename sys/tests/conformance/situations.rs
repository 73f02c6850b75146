//! Descriptors in every state of the truth table.

use std::fs::File;
use std::io::{self, Write};
use std::mem::size_of;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use mainspring_sys::Readiness;

use crate::support::{R, W, pair, wait_for};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const PRIORITY: Readiness = Readiness::PRIORITY;
const NOTHING: Readiness = Readiness::empty();

/// An fd, and the readiness that all selectors must report for the full interest.
pub struct Situation {
    pub name: &'static str,
    pub fd: OwnedFd,
    pub verdict: Readiness,
    /// Descriptor that must stay open for the situation to last.
    _peers: Vec<OwnedFd>,
}

fn situation(name: &'static str, fd: impl Into<OwnedFd>, verdict: Readiness) -> Situation {
    Situation { name, fd: fd.into(), verdict, _peers: Vec::new() }
}

impl Situation {
    fn with(mut self, peer: impl Into<OwnedFd>) -> Situation {
        self._peers.push(peer.into());
        self
    }
}

pub fn all() -> Vec<Situation> {
    [files(), pipes(), unix_sockets(), tcp(), tcp_ends(), udp(), counters()]
        .into_iter()
        .flatten()
        .collect()
}

fn files() -> Vec<Situation> {
    let program = File::open(std::env::current_exe().unwrap()).unwrap();
    vec![
        situation("regular file", program, R | W),
        situation("directory", File::open("/").unwrap(), R | W),
        situation("/dev/null", File::open("/dev/null").unwrap(), R | W),
        situation("/dev/zero", File::open("/dev/zero").unwrap(), R | W),
        #[cfg(has_epoll)]
        situation("/dev/random", File::open("/dev/random").unwrap(), R),
        #[cfg(has_epoll)]
        situation("/dev/urandom", File::open("/dev/urandom").unwrap(), R | W),
    ]
}

fn pipes() -> Vec<Situation> {
    let (idle, silent) = io::pipe().unwrap();
    let (full, mut talker) = io::pipe().unwrap();
    talker.write_all(b"data").unwrap();
    let (left, mut gone) = io::pipe().unwrap();
    gone.write_all(b"data").unwrap();
    drop(gone);
    vec![
        situation("pipe, empty", idle.try_clone().unwrap(), NOTHING)
            .with(silent.try_clone().unwrap()),
        situation("pipe, write end", silent, W).with(idle),
        situation("pipe with data", full, R).with(talker),
        situation("pipe, writer closed, empty", io::pipe().unwrap().0, R | W),
        situation("pipe, writer closed, data left", left, R | W),
        situation("pipe, reader closed", io::pipe().unwrap().1, R | W),
    ]
}

fn unix_sockets() -> Vec<Situation> {
    let (idle, peer) = pair();
    let (data, mut talker) = pair();
    talker.write_all(b"data").unwrap();
    let (half, half_peer) = pair();
    half_peer.shutdown(Shutdown::Write).unwrap();
    let mut sockets = vec![
        situation("unix stream, idle", idle, W).with(peer),
        situation("unix stream with data", data, R | W).with(talker),
        situation("unix stream, peer shut down writing", half, R | W).with(half_peer),
        situation("unix stream, peer closed", pair().0, R | W),
    ];
    sockets.extend(full_backlog());
    sockets
}

/// A connect that failed at a full backlog, on systems that return `EAGAIN`: the socket seems
/// writable and without error.
fn full_backlog() -> Option<Situation> {
    let path =
        crate::short_dir::short_dir().join(format!("mainspring-backlog-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    // SAFETY: the call takes two integers and touches no memory of ours.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let mut refused = situation("unix stream, backlog full", listener, R | W);
    let outcome = loop {
        let socket = stream_socket(libc::AF_UNIX);
        match connect_unix(&socket, path.to_str().unwrap()) {
            Ok(()) => refused._peers.push(socket),
            Err(error) => break (error, socket),
        }
    };
    std::fs::remove_file(&path).unwrap();
    let (error, socket) = outcome;
    let listener = std::mem::replace(&mut refused.fd, socket);
    (error.raw_os_error() == Some(libc::EAGAIN)).then_some(refused.with(listener))
}

fn tcp() -> Vec<Situation> {
    let (idle, idle_peer) = tcp_pair();
    let (urgent, urgent_peer) = tcp_pair();
    // SAFETY: the byte is readable and outlives the call.
    let sent =
        unsafe { libc::send(urgent_peer.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
    wait_for(&urgent, libc::POLLPRI);
    vec![
        situation("tcp, fresh", stream_socket(libc::AF_INET), R | W),
        situation("tcp, idle", idle, W).with(idle_peer),
        situation("tcp, urgent byte", urgent, W | PRIORITY).with(urgent_peer),
        situation("tcp, listening, idle", TcpListener::bind(ANY).unwrap(), NOTHING),
        situation("tcp, connect refused", refused_connect(), R | W),
    ]
}

fn tcp_ends() -> Vec<Situation> {
    let (finished, peer) = tcp_pair();
    peer.shutdown(Shutdown::Write).unwrap();
    wait_for(&finished, libc::POLLIN);
    let (over, over_peer) = tcp_pair();
    over.shutdown(Shutdown::Write).unwrap();
    over_peer.shutdown(Shutdown::Write).unwrap();
    wait_for(&over, libc::POLLIN);
    vec![
        situation("tcp, peer sent FIN", finished, R | W).with(peer),
        situation("tcp, both directions shut", over, R | W).with(over_peer),
        situation("tcp, reset", reset_connection(), R | W),
    ]
}

fn udp() -> Vec<Situation> {
    let (connected, free) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
    let unused = UdpSocket::bind(ANY).unwrap().local_addr().unwrap();
    connected.connect(unused).unwrap();
    connected.send(b"refused").unwrap();
    wait_for(&connected, libc::POLLIN); // poll(2) of FreeBSD does not wake a call without events.
    free.send_to(b"refused", unused).unwrap();
    vec![
        situation("udp, connected, port unreachable", connected, R | W),
        situation("udp, unconnected, port unreachable", free, W),
    ]
}

#[cfg(has_eventfd)]
fn counters() -> Vec<Situation> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    // SAFETY: the call succeeded (otherwise the write below fails), and no other code has the
    // number yet.
    let counter = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut file = File::from(counter);
    file.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    let full = file.write(&1u64.to_ne_bytes()).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    vec![situation("eventfd at its maximum", file, R)]
}

#[cfg(not(has_eventfd))]
fn counters() -> Vec<Situation> {
    Vec::new()
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// Returns a connection that its peer has reset, with the error not yet taken.
pub fn reset_connection() -> TcpStream {
    let (ours, theirs) = tcp_pair();
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let (start, length) = ((&raw const at_once).cast(), size_of::<libc::linger>());
    let (fd, length) = (theirs.as_raw_fd(), length as libc::socklen_t);
    // SAFETY: `at_once` is readable for its whole length and outlives the call.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, start, length) };
    assert_eq!(done, 0);
    drop(theirs);
    wait_for(&ours, 0);
    ours
}

/// Returns a socket after a failed connect.
pub fn refused_connect() -> OwnedFd {
    let unused = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let SocketAddr::V4(unused) = unused else { unreachable!("bound to an IPv4 address") };
    // SAFETY: the struct has only integer fields, for which zero is a valid value.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = unused.port().to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes(unused.ip().octets());
    let socket = stream_socket(libc::AF_INET);
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let start = (&raw const address).cast();
    // SAFETY: `address` is readable for its whole length and outlives the call.
    let outcome = unsafe { libc::connect(socket.as_raw_fd(), start, length) };
    assert_eq!(outcome, -1);
    assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EINPROGRESS));
    wait_for(&socket, libc::POLLOUT);
    socket
}

fn stream_socket(family: libc::c_int) -> OwnedFd {
    // SAFETY: the call takes three integers and touches no memory of ours.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
    assert!(fd >= 0);
    // SAFETY: the call succeeded, so `fd` is open, and no other code has the number yet.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    mainspring_sys::fd::set_nonblocking(socket.as_fd(), true).unwrap();
    socket
}

fn connect_unix(socket: &OwnedFd, path: &str) -> io::Result<()> {
    // SAFETY: the struct has only integer fields, for which zero is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    assert!(path.len() < address.sun_path.len());
    for (place, byte) in address.sun_path.iter_mut().zip(path.bytes()) {
        *place = byte as libc::c_char;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    let start = (&raw const address).cast();
    // SAFETY: `address` is readable for its whole length and outlives the call.
    match unsafe { libc::connect(socket.as_raw_fd(), start, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
