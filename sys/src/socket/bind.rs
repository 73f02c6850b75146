//! Binding: listeners, and datagram sockets with an address.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::address::Address;
use super::endpoints::local_addr;
use super::open::{bind_to, open, prevent_sigpipe};
use super::{option, socket_file};
use crate::syscall::check;

/// Options for binding a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BindOptions {
    /// `SO_REUSEADDR`: binds to an internet address even if connections of its last owner are still
    /// in TIME_WAIT. Unix addresses have no such state.
    ///
    /// * TCP, all systems: it never lets two sockets listen at the same address and port.
    /// * TCP on BSDs and Apple systems: `0.0.0.0` and one address of the machine may be bound to
    ///   one port (Linux refuses that while one of the two listens).
    /// * UDP on Linux (socket(7)): several sockets may be bound to the same address and port; a
    ///   datagram for one receiver goes to the latest one, multicast to all. Elsewhere only for
    ///   multicast addresses.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: several sockets may be bound to the same address and port, if all of them
    /// set the option. `Unsupported` on Solaris and illumos.
    ///
    /// * Linux (socket(7)): all must have the same effective user. The kernel distributes
    ///   connections and datagrams by a hash of the peer. Connections in the backlog of a socket
    ///   that is closed are lost.
    /// * FreeBSD (setsockopt(2)), NetBSD, OpenBSD, Apple systems: nothing is distributed; one of
    ///   the sockets gets everything that is not multicast. (`SO_REUSEPORT_LB` of FreeBSD is
    ///   another option.)
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`: if true, a socket bound to `[::]` does not receive IPv4; if false, it
    /// receives both. `None` is the system's default: both on most systems, IPv6 only on OpenBSD
    /// and if the administrator has set it.
    pub v6_only: Option<bool>,
    /// Takes over the path of a Unix socket that no process uses any more: the stale file of a
    /// killed daemon.
    ///
    /// The file is removed if it is a socket and connect(2) to it is refused. Anything else is left
    /// unchanged and gives `AddrInUse`: a file of another kind, a symbolic link, a socket that is
    /// bound but does not listen yet. Processes that do this at the same time wait for each other,
    /// for at most 100 ms, by flock(2) on the directory, which must be readable.
    pub replace_stale: bool,
}

/// Options for listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Options for binding a socket.
    pub bind: BindOptions,
    /// Maximum number of connections in the backlog. The kernel caps it at its own limit
    /// (`net.core.somaxconn`, `kern.ipc.somaxconn`).
    pub backlog: u32,
}

impl Default for ListenOptions {
    /// Options for daemons: `reuse_address`, so that a restart can bind at once, and a backlog of
    /// 1024.
    fn default() -> ListenOptions {
        let bind = BindOptions { reuse_address: true, ..BindOptions::default() };
        ListenOptions { bind, backlog: 1024 }
    }
}

/// Opens a stream socket that listens at `address`.
///
/// ```
/// use mainspring_sys::socket::{self, Address, ListenOptions};
///
/// let address: Address = "127.0.0.1:0".parse()?;
/// let listener = socket::listen(&address, &ListenOptions::default())?;
/// let bound = socket::local_addr(&listener)?.as_inet().unwrap();
/// assert_ne!(bound.port(), 0); // The kernel chose a port.
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of socket(2), bind(2) and listen(2). `AddrInUse` even if only the file of a Unix path
/// exists, unless [`replace_stale`](BindOptions::replace_stale) finds that no process uses it.
pub fn listen(address: &Address, options: &ListenOptions) -> io::Result<OwnedFd> {
    listen_as(address, libc::SOCK_STREAM, options)
}

/// Opens a socket of the type `kind` that listens at `address`.
pub(super) fn listen_as(
    address: &Address,
    kind: libc::c_int,
    options: &ListenOptions,
) -> io::Result<OwnedFd> {
    bound(address, &options.bind, || {
        let listener = open_bound(address, kind, &options.bind)?;
        let backlog = libc::c_int::try_from(options.backlog).unwrap_or(libc::c_int::MAX);
        // SAFETY: the call takes two integers and touches no memory of ours.
        check(unsafe { libc::listen(listener.as_raw_fd(), backlog) })?;
        Ok(listener)
    })
}

/// Opens a datagram socket that is bound to `address`.
///
/// ```
/// use mainspring_sys::socket::{self, BindOptions};
///
/// let receiver = socket::bind_datagram(&"127.0.0.1:0".parse()?, &BindOptions::default())?;
/// let sender = socket::connect_datagram(&socket::local_addr(&receiver)?)?;
/// assert_eq!(socket::send(&sender, b"ping")?, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of socket(2) and bind(2). `AddrInUse` for a Unix path as for [`listen`].
pub fn bind_datagram(address: &Address, options: &BindOptions) -> io::Result<OwnedFd> {
    bound(address, options, || open_bound(address, libc::SOCK_DGRAM, options))
}

/// Sets the options of a listener that accepted sockets inherit, and returns its address:
/// `TCP_NODELAY` for TCP, `SO_NOSIGPIPE` on Apple systems. A socket from [`listen`] already has the
/// second one.
///
/// Setting an option once on the listener costs no system call per connection. It also cannot fail
/// for a client that has already reset the connection.
///
/// ```
/// use mainspring_sys::socket;
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = socket::prepare_listener(&listener)?.as_inet().unwrap();
/// let _client = TcpStream::connect(address)?;
/// let (accepted, _) = socket::accept(&listener)?;
/// assert!(TcpStream::from(accepted).nodelay()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The errors of getsockname(2) and setsockopt(2); `Unsupported` for a family that is neither
/// internet nor Unix.
pub fn prepare_listener(listener: impl AsFd) -> io::Result<Address> {
    let listener = listener.as_fd();
    let address = local_addr(listener)?;
    prevent_sigpipe(listener)?;
    if matches!(address, Address::Inet(_)) {
        option::set_nodelay(listener, true)?;
    }
    Ok(address)
}

fn bound(
    address: &Address,
    options: &BindOptions,
    make: impl Fn() -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    if options.replace_stale { socket_file::replacing_stale(address, make) } else { make() }
}

fn open_bound(address: &Address, kind: libc::c_int, options: &BindOptions) -> io::Result<OwnedFd> {
    let socket = open(address, kind)?;
    // All options must be set before bind(2).
    if address.as_inet().is_some() {
        if options.reuse_address {
            option::set_reuse_address(&socket, true)?;
        }
        if options.reuse_port {
            option::set_reuse_port(&socket, true)?;
        }
    }
    if let (Some(only), libc::AF_INET6) = (options.v6_only, address.family()) {
        option::set_v6_only(&socket, only)?;
    }
    bind_to(&socket, address)?;
    Ok(socket)
}
