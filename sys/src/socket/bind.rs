//! Sockets that wait for others: listeners, and datagram sockets with a name.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::{Address, bind_to, open, option};
use crate::syscall::check;

/// How to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BindOptions {
    /// Whether an address may be taken that is still cooling down after its last owner.
    pub reuse_address: bool,
    /// Whether others who say so too may be bound to the same address.
    pub reuse_port: bool,
    /// Whether `[::]` leaves IPv4 to others. None leaves it to the system.
    pub v6_only: Option<bool>,
}

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// How to bind.
    pub bind: BindOptions,
    /// How many connections may wait to be accepted. The kernel has a limit of its own.
    pub backlog: u32,
}

impl Default for ListenOptions {
    /// As daemons want it: a restart gets its address back at once, and 1024 may wait.
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
/// assert_ne!(bound.port(), 0); // The kernel has chosen one.
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As socket(2), bind(2) and listen(2). `AddrInUse` also for a Unix path that exists, whatever is
/// there: it is never removed here.
pub fn listen(address: &Address, options: &ListenOptions) -> io::Result<OwnedFd> {
    let listener = open_bound(address, libc::SOCK_STREAM, &options.bind)?;
    let backlog = libc::c_int::try_from(options.backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: the call takes two integers and touches no memory of ours.
    check(unsafe { libc::listen(listener.as_raw_fd(), backlog) })?;
    Ok(listener)
}

/// Opens a datagram socket that receives what is sent to `address`.
///
/// # Errors
///
/// As socket(2) and bind(2). `AddrInUse` also for a Unix path that exists.
pub fn bind_datagram(address: &Address, options: &BindOptions) -> io::Result<OwnedFd> {
    open_bound(address, libc::SOCK_DGRAM, options)
}

fn open_bound(address: &Address, kind: libc::c_int, options: &BindOptions) -> io::Result<OwnedFd> {
    let socket = open(address, kind)?;
    if address.as_inet().is_some() && options.reuse_address {
        option::set_reuse_address(&socket, true)?;
    }
    if options.reuse_port {
        option::set_reuse_port(&socket, true)?;
    }
    if let (Some(only), libc::AF_INET6) = (options.v6_only, address.family()) {
        option::set_v6_only(&socket, only)?;
    }
    bind_to(&socket, address)?;
    Ok(socket)
}
