//! FdOwnership of a watched fd: whether its number can become another file's while it is watched.
//!
//! A library in C that is driven by the loop (libcurl, c-ares, libpq) closes a socket and opens the
//! next one inside one call, and the kernel gives out the lowest free number: the same one. epoll(7)
//! and kqueue(2) drop their registration with the old file, and the number in the table looks
//! unchanged. So an interest that is set for such an fd always reaches the kernel. For a source that
//! closes its own fd, after the loop has deregistered it, that call would be wasted.

use std::any::TypeId;
use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::rc::Rc;
use std::sync::Arc;

/// Which side closes a watched fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FdOwnership {
    /// The source does, when the loop drops it.
    Owned,
    /// Code that the loop does not see may do it at any time.
    Borrowed,
}

impl FdOwnership {
    /// Returns `Owned` for the types of the standard library, and pointers to them, that close their
    /// fd. A type of the user's crate may wrap a library's handle, so it is `Borrowed`.
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

    /// Returns `Borrowed` for a type without a destructor, which cannot close anything: a borrowed fd
    /// or a reference. The type may have a lifetime, so it cannot be compared with others.
    pub(crate) const fn of_borrowing<T>() -> FdOwnership {
        if std::mem::needs_drop::<T>() { FdOwnership::Owned } else { FdOwnership::Borrowed }
    }
}

/// True if `T` is `Owner` or a pointer to one.
fn is_owner<T: 'static, Owner: 'static>() -> bool {
    let source = TypeId::of::<T>();
    source == TypeId::of::<Owner>()
        || source == TypeId::of::<Rc<Owner>>()
        || source == TypeId::of::<Arc<Owner>>()
        || source == TypeId::of::<Box<Owner>>()
}
