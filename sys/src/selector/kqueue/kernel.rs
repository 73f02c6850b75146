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
use crate::event::Token;
use crate::selector::UserEvent;

#[cfg(has_kqueue)]
pub use system::System;

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

    /// Whether `fd` is a file that never makes anyone wait, by its type: a regular file, a
    /// directory, a disk.
    ///
    /// # Errors
    ///
    /// `EBADF`: `fd` is not open.
    fn is_file(&self, fd: RawFd) -> io::Result<bool>;

    /// Whether `fd` is a device that is always ready, by what poll(2) says: `/dev/null` is, a
    /// terminal is not.
    fn is_idle_device(&self, fd: RawFd) -> bool;

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
