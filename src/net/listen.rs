//! Opening a listening socket.

use std::os::fd::OwnedFd;

use mainspring_sys::socket::{self, ListenOptions};

use super::into_address::IntoAddress;
use crate::error::{Error, Result};

/// Opens a socket that listens at `address`, TCP or Unix, for [`serve`](crate::LoopHandle::serve).
///
/// ```
/// use mainspring::net::{ListenOptions, listen};
///
/// let listener = listen("127.0.0.1:0", &ListenOptions::default())?;
/// let listener = std::net::TcpListener::from(listener);
/// let bound = listener.local_addr()?;
/// let error = listen(bound, &ListenOptions::default()).unwrap_err();
/// assert!(error.to_string().contains(&bound.to_string()));
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Listen`] with the address: it is in use, the file exists, or it belongs to another
/// machine. [`Error::Io`] with `InvalidInput` if the value is not an address.
pub fn listen(address: impl IntoAddress, options: &ListenOptions) -> Result<OwnedFd> {
    let address = address.into_address()?;
    let listening = socket::listen(&address, options);
    listening.map_err(|source| Error::Listen { address: address.to_string(), source })
}
