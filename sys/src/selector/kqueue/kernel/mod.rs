//! The calls that the selector makes, and the system that answers them.
//!
//! The selector is written over a trait, so that its logic is tested on systems without a kqueue,
//! against a kernel that plays by the rules of the BSDs.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::kevent::Kevent;
use crate::event::{Interest, Token};
use crate::selector::UserEvent;

#[cfg(has_kqueue)]
pub use system::System;

/// A kind of file, as far as it matters for watching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Never waits: a regular file, a directory, a disk.
    File,
    /// A character device that is no terminal. Some of them never wait, which poll(2) reports.
    Device,
    /// Any other: sockets, pipes, terminals.
    Other,
}

/// One kqueue, and what else the selector asks of the kernel.
pub trait Kernel: fmt::Debug {
    /// The kqueue as a descriptor. It is closed when nobody holds it any more.
    fn fd(&self) -> &Arc<OwnedFd>;

    /// kevent(2): makes `changes`, then replaces what is in `events` by at most `room` events.
    ///
    /// Without a timeout it waits for as long as it takes.
    fn kevent(
        &mut self,
        changes: &[Kevent],
        events: &mut Vec<Kevent>,
        room: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()>;

    /// Returns the kind of file that `fd` refers to, by fstat(2).
    ///
    /// # Errors
    ///
    /// `EBADF`: `fd` is not open.
    fn kind(&self, fd: RawFd) -> io::Result<Kind>;

    /// Returns the directions of `asked` that poll(2) reports for `fd` now.
    fn polled(&self, fd: RawFd, asked: Interest) -> Interest;

    /// Returns the directions of `asked` that a new kqueue reports for `fd` at once. A direction
    /// that it refuses to watch is not reported.
    ///
    /// # Errors
    ///
    /// Those of kqueue(2): the process or the system is out of descriptors or memory.
    fn probed(&self, fd: RawFd, asked: Interest) -> io::Result<Interest>;

    /// Whether there is a filter for priority data.
    fn has_except(&self) -> bool;

    /// Whether the filters of an fd go with it when it is closed.
    fn forgets_closed(&self) -> bool;

    /// A new kqueue in the place of the old one.
    fn renew(&mut self) -> io::Result<()>;

    /// What triggers the user event `ident` from any thread.
    fn user_event(&self, ident: usize, token: Token) -> Box<dyn UserEvent>;
}

#[cfg(has_kqueue)]
mod system;
