//! Lists of filter changes, and the kernel's result for each change.
//!
//! kevent(2) takes several changes in one call. With `EV_RECEIPT`, and room for as many events, it
//! returns a receipt for each change, stops at none of them, and reports nothing else.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use libc::c_int;

use super::kernel::Kernel;
use super::kevent::{self, EV_ADD, EV_DELETE, EV_DISABLE, EV_ENABLE, EV_ERROR, EV_RECEIPT};
use super::kevent::{Filter, Flags, Kevent};
use super::table::Registration;
use crate::event::{Interest, Token, TriggerMode};
use crate::syscall::retry;

/// Changes for one call of kevent(2). The memory is reused.
#[derive(Debug, Default)]
pub struct Changes {
    requested: Vec<Kevent>,
    receipts: Vec<Kevent>,
}

/// Result of the changes of one fd.
#[derive(Debug)]
pub struct ChangeResult {
    /// True if at least one filter that was deleted or touched existed.
    pub found: bool,
    /// True if the fd is not open.
    closed: bool,
    /// Filters that were added.
    pub added: Interest,
    /// First errno of a filter that was not added. `EPIPE` and `EBADF` count only if there is no
    /// other.
    pub refusal: Option<c_int>,
}

impl Changes {
    /// Adds the removal of the filters of `held`.
    pub fn delete(&mut self, fd: RawFd, held: Interest) {
        self.push(fd, held, Token::new(0, 0), EV_DELETE);
    }

    /// Adds the filters that `registration` holds, disabled if it is asleep.
    pub fn add(&mut self, fd: RawFd, registration: &Registration) {
        let asleep = if registration.asleep { EV_DISABLE } else { 0 };
        let flags = EV_ADD | kevent::flags(registration.mode) | asleep;
        self.push(fd, registration.held, registration.token, flags);
    }

    /// Disables the filters of `held`.
    pub fn disable(&mut self, fd: RawFd, held: Interest, token: Token) {
        self.push(fd, held, token, EV_DISABLE);
    }

    /// Checks that the filters of `registration` exist, by enabling or disabling them as they
    /// already are.
    pub fn touch(&mut self, fd: RawFd, registration: &Registration) {
        let flags = if registration.asleep { EV_DISABLE } else { EV_ENABLE };
        self.push(fd, registration.held, registration.token, flags);
    }

    /// Adds a user event: `EV_CLEAR` makes each trigger one report.
    pub fn add_user(&mut self, ident: usize, token: Token) {
        let flags = EV_ADD | kevent::flags(TriggerMode::Edge) | EV_RECEIPT;
        self.requested.push(kevent::change(Filter::User, ident, token, flags));
    }

    pub fn is_empty(&self) -> bool {
        self.requested.is_empty()
    }

    /// Makes all changes of the list, and empties it.
    ///
    /// The call does not wait, so no signal should interrupt it. If one does, the changes are made
    /// again: an addition keeps an existing filter, and a deletion may report that there was none.
    pub fn apply(&mut self, kernel: &mut impl Kernel) -> io::Result<ChangeResult> {
        let (requested, receipts) = (&self.requested, &mut self.receipts);
        let called =
            retry(|| kernel.kevent(requested, receipts, requested.len(), Some(Duration::ZERO)));
        let answer = called.and_then(|()| self.read_receipts());
        self.requested.clear();
        answer
    }

    fn push(&mut self, fd: RawFd, interest: Interest, token: Token, flags: Flags) {
        for filter in Filter::of(interest) {
            self.requested.push(kevent::change(filter, fd as usize, token, flags | EV_RECEIPT));
        }
    }

    fn read_receipts(&self) -> io::Result<ChangeResult> {
        let have_receipts = self.receipts.iter().all(|receipt| receipt.flags & EV_ERROR != 0);
        if !have_receipts || self.receipts.len() != self.requested.len() {
            return Err(io::Error::other("this kqueue does not return a receipt for each change"));
        }
        let added = Interest::empty();
        let mut answer = ChangeResult { found: false, closed: false, added, refusal: None };
        for (change, receipt) in self.requested.iter().zip(&self.receipts) {
            answer.add_receipt(change, kevent::errno(receipt));
        }
        Ok(answer)
    }
}

impl ChangeResult {
    fn add_receipt(&mut self, change: &Kevent, errno: c_int) {
        let adds = change.flags & EV_ADD != 0;
        match errno {
            0 if adds => {
                let filter = Filter::in_event(change);
                self.added |= filter.map_or(Interest::empty(), Filter::interest);
            }
            _ if adds => {
                let weak = |first: &c_int| matches!(*first, libc::EPIPE | libc::EBADF);
                self.refusal = self.refusal.filter(|first| !weak(first)).or(Some(errno));
            }
            libc::ENOENT => {}
            libc::EBADF => self.closed = true,
            // The filter existed, whatever prevents its removal at once (`EINPROGRESS` of macOS).
            _ => self.found = true,
        }
    }

    /// Returns the error for a registration that the kernel no longer has: the fd was closed, and
    /// its number may belong to another file by now.
    pub fn lost_error(&self) -> io::Error {
        match self.closed {
            true => io::Error::from_raw_os_error(libc::EBADF),
            false => io::ErrorKind::NotFound.into(),
        }
    }
}
