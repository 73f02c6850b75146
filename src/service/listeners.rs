//! Inherited sockets by name, or new ones.

use std::io::{self, ErrorKind};
use std::os::fd::{OwnedFd, RawFd};

use mainspring_sys::socket::SocketKind;

use super::handle::Service;
use super::inherit::Inherit;
use crate::error::{Error, Result};

impl Service {
    /// Returns the inherited socket of this name, or calls `bind` if none was inherited.
    ///
    /// The name is the `FileDescriptorName=` of systemd's `.socket` unit (by default the unit
    /// name), or the name given to [`store_fd`](Service::store_fd). Unnamed sockets are called
    /// `unknown`. If several sockets have the name, each call returns the next one, in the order in
    /// which they were passed. [`listeners`](Service::listeners) returns all of them.
    ///
    /// For callbacks, `L` is a std type or the [`OwnedFd`](std::os::fd::OwnedFd) of a listener:
    /// pass it to [`serve`](crate::LoopHandle::serve) or
    /// [`add_reader`](crate::LoopHandle::add_reader). For tasks it is a type of
    /// [`net`](crate::net).
    ///
    /// ```
    /// use mainspring::net::{TcpListener, UdpSocket, listen, ListenOptions};
    /// use mainspring::service::Service;
    ///
    /// let service = Service::default();
    /// let http = service.listener("http", || std::net::TcpListener::bind("127.0.0.1:0"))?;
    /// let admin = service.listener("admin", || TcpListener::bind("127.0.0.1:0"))?;
    /// let dns = service.listener("dns", || UdpSocket::bind("127.0.0.1:0"))?;
    /// let any = service.listener("any", || listen("127.0.0.1:0", &ListenOptions::default()))?;
    /// assert_ne!(http.local_addr()?.port(), admin.local_addr()?.port());
    /// # let _ = (dns, any);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Inherit`] names the descriptor: if it is not a socket, or not of the kind of `L`
    /// (it can still be taken as another type), or if all sockets of the name were already taken.
    /// Errors of `bind`; an [`io::Error`] becomes [`Error::Listen`] with the name.
    pub fn listener<L, E>(&self, name: &str, bind: impl FnOnce() -> Result<L, E>) -> Result<L>
    where
        L: Inherit,
        Error: From<E>,
    {
        match self.take_next(name)? {
            Some(listener) => Ok(listener),
            None => bind().map_err(|error| bind_failed(name, error.into())),
        }
    }

    /// Returns all inherited sockets of this name, in the order in which they were passed, or calls
    /// `bind` if none was inherited. Otherwise like [`listener`](Service::listener).
    ///
    /// A `.socket` unit with several `ListenStream=` lines passes several sockets of one name.
    ///
    /// # Errors
    ///
    /// Same as [`listener`](Service::listener).
    pub fn listeners<L, E>(&self, name: &str, bind: impl FnOnce() -> Result<L, E>) -> Result<Vec<L>>
    where
        L: Inherit,
        Error: From<E>,
    {
        let mut all = vec![self.listener(name, bind)?];
        while self.has_unclaimed(name) {
            all.extend(self.take_next(name)?);
        }
        Ok(all)
    }

    /// Returns the next inherited descriptor of this name, whatever file it is: a FIFO, or a file
    /// from [`store_fd`](Service::store_fd). `None` if no further one was inherited.
    ///
    /// It is close-on-exec. Its non-blocking flag is as set by the manager.
    pub fn take_fd(&self, name: &str) -> Option<OwnedFd> {
        let mut inherited = self.state.inherited.borrow_mut();
        inherited
            .iter_mut()
            .find(|descriptor| descriptor.name == name && descriptor.fd.is_some())?
            .fd
            .take()
    }

    /// Returns the names of the inherited descriptors that were not taken, in order.
    ///
    /// Clients may be waiting on such a socket, so a service should check that none is left. They
    /// are closed with the last clone of the service.
    ///
    /// ```
    /// assert!(mainspring::service::Service::default().unclaimed().is_empty());
    /// ```
    pub fn unclaimed(&self) -> Vec<String> {
        let inherited = self.state.inherited.borrow();
        inherited
            .iter()
            .filter(|descriptor| descriptor.fd.is_some())
            .map(|descriptor| descriptor.name.clone())
            .collect()
    }

    fn has_unclaimed(&self, name: &str) -> bool {
        self.state
            .inherited
            .borrow()
            .iter()
            .any(|descriptor| descriptor.name == name && descriptor.fd.is_some())
    }

    /// Takes the next socket of this name. Returns `None` if the name was never inherited.
    fn take_next<L: Inherit>(&self, name: &str) -> Result<Option<L>> {
        let Some((index, number)) = self.find_next(name) else { return Ok(None) };
        let failed = |source| Error::Inherit { fd: number, name: name.to_owned(), source };
        // Taken out first, because the methods of `L` may be user code.
        let Some(fd) = self.state.inherited.borrow_mut()[index].fd.take() else {
            return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "it was taken before")));
        };
        match check_kind::<L>(&fd) {
            Ok(()) => L::from_inherited(fd).map(Some),
            Err(source) => {
                self.state.inherited.borrow_mut()[index].fd = Some(fd);
                Err(failed(source))
            }
        }
    }

    /// Returns index and number of the next descriptor of this name; of the first one, if none is
    /// left.
    fn find_next(&self, name: &str) -> Option<(usize, RawFd)> {
        let inherited = self.state.inherited.borrow();
        let named =
            || inherited.iter().enumerate().filter(|(_, descriptor)| descriptor.name == name);
        let next =
            named().find(|(_, descriptor)| descriptor.fd.is_some()).or_else(|| named().next())?;
        Some((next.0, next.1.number))
    }
}

/// Checks that the descriptor is a socket that `L` accepts.
fn check_kind<L: Inherit>(fd: &OwnedFd) -> io::Result<()> {
    let kind = SocketKind::of(fd)?;
    if L::accepts(kind) {
        return Ok(());
    }
    let message = format!("expected {}, found {kind}", L::EXPECTED);
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

/// Adds the socket's name to an error of a system call.
fn bind_failed(name: &str, error: Error) -> Error {
    match error {
        Error::Io(source) => Error::Listen { address: name.to_owned(), source },
        other => other,
    }
}
