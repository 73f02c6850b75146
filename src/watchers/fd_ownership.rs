//! Ownership of a watched fd: closed by its source, or by code that the loop does not see.
//!
//! A C library that is driven by the loop (libcurl, c-ares, libpq) may close a socket and open the
//! next one inside one call. The kernel assigns the lowest free number, which is the same one.
//! epoll(7) and kqueue(2) drop their registration with the old file, while the number in the table
//! looks unchanged. So `set_interest` always calls the kernel for such a borrowed fd. A source that
//! closes its own fd does so after the loop has deregistered it, and needs no such call.

use std::any::TypeId;
use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::rc::Rc;
use std::sync::Arc;

/// The side that closes a watched fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FdOwnership {
    /// The source closes the fd when the loop drops the source.
    Owned,
    /// Code that the loop does not see may close the fd at any time.
    Borrowed,
}

impl FdOwnership {
    /// Returns `Owned` for types of the standard library that close their fd, and for pointers to
    /// them. Any other type may wrap a C library's handle, so it is `Borrowed`.
    pub(crate) fn of_source<T: 'static>() -> FdOwnership {
        let is_owner = is_owner::<T, File>()
            || is_owner::<T, OwnedFd>()
            || is_owner::<T, PipeReader>()
            || is_owner::<T, PipeWriter>()
            || is_owner::<T, TcpListener>()
            || is_owner::<T, TcpStream>()
            || is_owner::<T, UdpSocket>()
            || is_owner::<T, UnixDatagram>()
            || is_owner::<T, UnixListener>()
            || is_owner::<T, UnixStream>()
            || is_owner::<T, ChildStderr>()
            || is_owner::<T, ChildStdin>()
            || is_owner::<T, ChildStdout>();
        if is_owner { FdOwnership::Owned } else { FdOwnership::Borrowed }
    }

    /// Returns `Borrowed` for a type without a destructor, which cannot close an fd. For types with
    /// lifetimes: these have no `TypeId`, so [`of_source`](FdOwnership::of_source) does not take
    /// them.
    pub(crate) const fn of_borrowing<T>() -> FdOwnership {
        if std::mem::needs_drop::<T>() { FdOwnership::Owned } else { FdOwnership::Borrowed }
    }
}

/// Returns true if `T` is `Owner` or a pointer to one.
fn is_owner<T: 'static, Owner: 'static>() -> bool {
    let source = TypeId::of::<T>();
    source == TypeId::of::<Owner>()
        || source == TypeId::of::<Rc<Owner>>()
        || source == TypeId::of::<Arc<Owner>>()
        || source == TypeId::of::<Box<Owner>>()
}
