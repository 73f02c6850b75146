//! Credentials of the process at the other end of a Unix socket.

use std::io;
use std::os::fd::AsFd;
#[cfg(has_getpeereid)]
use std::os::fd::AsRawFd;

#[cfg(has_getpeereid)]
use crate::syscall::check;

/// User and process of a Unix peer at the time when it connected or listened.
///
/// The kernel recorded them, so a peer cannot forge them. The peer may have passed its socket on,
/// and its process id may have been reused, so base decisions on the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id. `None` if the system does not record it (all but Linux and Apple systems).
    pub pid: Option<u32>,
}

/// Returns the credentials of the process that a Unix stream socket is connected to: SO_PEERCRED of
/// unix(7) on Linux, getpeereid(3) on BSDs and Apple systems.
///
/// ```
/// use mainspring_sys::socket;
/// use std::os::unix::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let (one, other) = (socket::peer_credentials(&ours)?, socket::peer_credentials(&theirs)?);
/// assert_eq!(one, other, "both ends belong to this process");
/// assert!(one.pid.is_none_or(|pid| pid == std::process::id()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotConnected` for a Unix socket without a peer; `Unsupported` for a socket of another family,
/// and where the system has no such call (Solaris, illumos); the errors of getsockopt(2).
pub fn peer_credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let socket = socket.as_fd();
    if super::endpoints::local_addr(socket)?.as_unix().is_none() {
        let message = "only Unix sockets have peer credentials";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    ask(socket)
}

#[cfg(has_so_peercred)]
fn ask(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let peer: libc::ucred = super::option::get(socket, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    // Linux returns process 0 and user -1 for a socket without a peer.
    match u32::try_from(peer.pid) {
        Ok(pid) if pid != 0 || peer.uid != u32::MAX => {
            Ok(PeerCredentials { uid: peer.uid, gid: peer.gid, pid: Some(pid) })
        }
        _ => Err(io::ErrorKind::NotConnected.into()),
    }
}

#[cfg(has_getpeereid)]
fn ask(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let socket = socket.as_fd();
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: the call writes the two ids, which outlive it.
    check(unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) })?;
    #[cfg(has_local_peerpid)]
    let pid = super::option::get::<libc::pid_t>(socket, libc::SOL_LOCAL, libc::LOCAL_PEERPID).ok();
    #[cfg(not(has_local_peerpid))]
    let pid: Option<libc::pid_t> = None;
    let pid = pid.and_then(|pid| u32::try_from(pid).ok());
    Ok(PeerCredentials { uid, gid, pid })
}

#[cfg(not(any(has_so_peercred, has_getpeereid)))]
fn ask(_: impl AsFd) -> io::Result<PeerCredentials> {
    let message = "this system has no credentials of Unix peers";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}
