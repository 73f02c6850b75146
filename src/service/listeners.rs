//! Inherited sockets by name, or new ones.

use std::io;
use std::os::fd::OwnedFd;

use mainspring_sys::socket::SocketKind;

use super::handle::{Inherited, Service};
use super::inherit::Inherit;
use crate::error::{Error, Result};

impl Service {
    /// Returns the inherited socket of this name, or calls `bind` if none was inherited.
    ///
    /// The name is the `FileDescriptorName=` of systemd's `.socket` unit, which is by default the
    /// name of the unit, or the name in [`store_fd`](Service::store_fd). Sockets without a name are
    /// called `unknown`. If several sockets have the name, each call returns the next one, in the
    /// order in which they were passed. [`listeners`](Service::listeners) returns all of them.
    ///
    /// For callbacks, `L` is a type of std or the result of [`listen`](crate::net::listen): pass it
    /// to [`serve`](crate::LoopHandle::serve) or [`add_reader`](crate::LoopHandle::add_reader). For
    /// tasks it is a type of [`net`](crate::net).
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
    /// [`Error::Inherit`] names the descriptor: if it is no socket, or not of the kind of `L` (it
    /// can still be taken as another type), or if all sockets of the name were taken before. Errors
    /// of `bind`; an [`io::Error`] becomes [`Error::Listen`] with the name.
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
    /// Those of [`listener`](Service::listener).
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
    /// It is close-on-exec. Its non-blocking flag is as the manager has set it.
    pub fn take_fd(&self, name: &str) -> Option<OwnedFd> {
        let mut inherited = self.state.inherited.borrow_mut();
        inherited.iter_mut().find(|it| it.name == name && it.fd.is_some())?.fd.take()
    }

    /// Returns the names of the inherited descriptors that were not taken, in order.
    ///
    /// Clients may wait at such a socket, so a service checks that none is left. They are closed
    /// with the last clone of the service.
    ///
    /// ```
    /// assert!(mainspring::service::Service::default().unclaimed().is_empty());
    /// ```
    pub fn unclaimed(&self) -> Vec<String> {
        let inherited = self.state.inherited.borrow();
        inherited.iter().filter(|it| it.fd.is_some()).map(|it| it.name.clone()).collect()
    }

    fn has_unclaimed(&self, name: &str) -> bool {
        self.state.inherited.borrow().iter().any(|it| it.name == name && it.fd.is_some())
    }

    /// Takes the next socket of this name. Returns `None` if the name was never inherited.
    fn take_next<L: Inherit>(&self, name: &str) -> Result<Option<L>> {
        let mut inherited = self.state.inherited.borrow_mut();
        let mut named = inherited.iter_mut().filter(|it| it.name == name);
        let Some(first) = named.next() else { return Ok(None) };
        let number = first.number;
        let mut next = Some(first).into_iter().chain(named).filter(|it| it.fd.is_some());
        let Some(next) = next.next() else {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "it was taken before");
            return Err(Error::Inherit { fd: number, name: name.to_owned(), source });
        };
        let fd = take_socket::<L>(next)?;
        drop(inherited); // The conversion may be user code.
        fd.map(L::from_inherited).transpose()
    }
}

/// Takes the descriptor if it is a socket that `L` accepts.
fn take_socket<L: Inherit>(inherited: &mut Inherited) -> Result<Option<OwnedFd>> {
    let failed = |source| {
        let (fd, name) = (inherited.number, inherited.name.clone());
        Error::Inherit { fd, name, source }
    };
    let Some(fd) = &inherited.fd else { return Ok(None) };
    let kind = SocketKind::of(fd).map_err(failed)?;
    if !L::accepts(kind) {
        let message = format!("expected {}, found {kind}", L::EXPECTED);
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, message)));
    }
    Ok(inherited.fd.take())
}

/// Adds the socket's name to an error of a system call.
fn bind_failed(name: &str, error: Error) -> Error {
    match error {
        Error::Io(source) => Error::Listen { address: name.to_owned(), source },
        other => other,
    }
}
