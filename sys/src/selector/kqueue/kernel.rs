//! The system calls of the selector, as a trait.
//!
//! The trait makes it possible to test the selector's logic on systems without kqueue(2), against a
//! scripted kernel that behaves like those of the BSDs.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::kevent::Kevent;
use crate::event::{Interest, Token};
use crate::selector::contract::UserEvent;

/// Kind of a file, as far as it matters for watching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Never blocks: a regular file, a directory, a disk.
    File,
    /// A character device other than a terminal. Some of them never block, which poll(2) reports.
    Device,
    /// Any other file: sockets, pipes, terminals.
    Other,
}

/// One kqueue, and the other system calls of the selector.
pub trait Kernel: fmt::Debug {
    /// Returns the descriptor of the kqueue. It is closed with its last `Arc`.
    fn fd(&self) -> &Arc<OwnedFd>;

    /// Calls kevent(2): makes `changes`, then replaces the contents of `events` by at most `room`
    /// events.
    ///
    /// Without a timeout it waits without limit.
    fn kevent(
        &mut self,
        changes: &[Kevent],
        events: &mut Vec<Kevent>,
        room: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()>;

    /// Returns the kind of the file that `fd` refers to, by fstat(2).
    ///
    /// # Errors
    ///
    /// `EBADF`: `fd` is not open.
    fn kind(&self, fd: RawFd) -> io::Result<FileKind>;

    /// Returns the directions of `requested` that poll(2) reports for `fd` now.
    fn polled(&self, fd: RawFd, requested: Interest) -> Interest;

    /// Returns the directions of `requested` that a new kqueue reports at once for `fd`. A
    /// direction that it refuses to watch is not included.
    ///
    /// # Errors
    ///
    /// The errors of kqueue(2): the process or the system is out of descriptors or memory.
    fn probed(&self, fd: RawFd, requested: Interest) -> io::Result<Interest>;

    /// Returns true if the kernel has a filter for priority data.
    fn has_except(&self) -> bool;

    /// Returns true if the kernel drops the filters of an fd when it is closed.
    fn forgets_closed(&self) -> bool;

    /// Replaces the kqueue by a new one, without registrations.
    fn renew(&mut self) -> io::Result<()>;

    /// Returns a handle that triggers the user event `ident` from any thread.
    fn user_event(&self, ident: usize, token: Token) -> Box<dyn UserEvent>;
}
