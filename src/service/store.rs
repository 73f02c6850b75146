//! Descriptors that the service manager keeps while the service is restarted.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use super::handle::Service;
use crate::error::{Error, Result};

/// Maximum length of a name (sd_notify(3), `FDNAME=`).
const MAX_NAME: usize = 255;

impl Service {
    /// Gives the manager a copy of a descriptor, which it passes to the next process of this
    /// service (`FDSTORE=1`). So a listener survives a crash: clients wait in the backlog until the
    /// next process accepts them.
    ///
    /// The next process gets it by [`listener`](Service::listener) or
    /// [`take_fd`](Service::take_fd) with the same name. systemd keeps as many descriptors as
    /// `FileDescriptorStoreMax=` allows, which is none by default, and ignores one that it already
    /// has. It drops a connection after its peer has hung up, but never a listener.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use mainspring::service::Service;
    ///
    /// let service = Service::from_env()?;
    /// let listener = service.listener("http", || TcpListener::bind("127.0.0.1:0"))?;
    /// service.store_fd("http", &listener)?;
    /// assert!(service.store_fd("a:b", &listener).is_err());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Notify`], of the kind `InvalidInput` if the name is empty, longer than 255 bytes,
    /// or contains a colon or a byte that is not printable ASCII; `ETOOMANYREFS` if too many
    /// descriptors are in flight to the manager.
    pub fn store_fd(&self, name: &str, fd: impl AsFd) -> Result<()> {
        check_name(name)?;
        let message = format!("FDSTORE=1\nFDNAME={name}");
        let fd = fd.as_fd();
        self.state.notifier.as_ref().map_or(Ok(()), |notifier| notifier.send(&message, &[fd]))
    }

    /// Makes the manager close all stored descriptors of this name (`FDSTOREREMOVE=1`).
    ///
    /// # Errors
    ///
    /// Same as [`store_fd`](Service::store_fd).
    pub fn remove_stored_fds(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }
}

/// Checks a name by the rule of sd_notify(3). The manager would drop another one silently.
fn check_name(name: &str) -> Result<()> {
    let is_allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let problem = "a name has 1 to 255 printable ASCII characters, without colons";
    let source = io::Error::new(ErrorKind::InvalidInput, problem);
    Err(Error::Notify { message: format!("FDNAME={name:?}"), source })
}
