//! Unix seqpacket sockets: connections that keep message boundaries.

use std::io;
use std::os::fd::OwnedFd;

use super::address::Address;
use super::bind::ListenOptions;
use super::unix::UnixAddress;

/// Opens a seqpacket socket that listens on `address`. [`accept`](super::accept) accepts its
/// connections.
///
/// ```
/// use mainspring_sys::socket::{self, ListenOptions, UnixAddress};
///
/// let path = std::env::temp_dir().join(format!("example-{}.packets", std::process::id()));
/// let address = UnixAddress::from_pathname(&path)?;
/// # if socket::has_seqpacket() {
/// let listener = socket::listen_seqpacket(&address, &ListenOptions::default())?;
/// let client = socket::connect_seqpacket(&address)?;
/// socket::send(&client, b"one")?;
/// socket::send(&client, b"two")?;
/// let (accepted, _) = socket::accept(&listener)?;
/// assert_eq!(socket::recv(&accepted, &mut [0; 16])?, 3); // Not six.
/// # std::fs::remove_file(&path)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The errors of [`listen`](super::listen); `Unsupported` on Apple systems and Solaris.
pub fn listen_seqpacket(address: &UnixAddress, options: &ListenOptions) -> io::Result<OwnedFd> {
    super::bind::listen_as(&Address::Unix(address.clone()), kind()?, options)
}

/// Opens a seqpacket socket and connects it to `remote`, without waiting.
///
/// # Errors
///
/// The errors of [`connect`](super::connect): `ResourceBusy` if the backlog is full. `Unsupported`
/// on Apple systems and Solaris.
pub fn connect_seqpacket(remote: &UnixAddress) -> io::Result<OwnedFd> {
    super::connect::connect_as(&Address::Unix(remote.clone()), kind()?)
}

/// Returns two connected seqpacket sockets.
///
/// # Errors
///
/// The errors of socketpair(2); `Unsupported` on Apple systems and Solaris.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    super::open::pair(kind()?)
}

/// Returns true if this system has seqpacket sockets.
pub fn has_seqpacket() -> bool {
    cfg!(has_seqpacket)
}

fn kind() -> io::Result<libc::c_int> {
    if has_seqpacket() {
        return Ok(libc::SOCK_SEQPACKET);
    }
    let message = "this system has no Unix sockets of sequenced packets";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}
