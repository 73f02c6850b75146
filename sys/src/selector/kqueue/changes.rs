//! A list of changes, and the kernel's answer to each of them.
//!
//! kevent(2) takes several changes in one call. With `EV_RECEIPT`, and room for as many events, it
//! answers each, stops at none of them, and reports nothing else.

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

/// Changes that go to the kernel in one call. The memory is kept from call to call.
#[derive(Debug, Default)]
pub struct Changes {
    asked: Vec<Kevent>,
    receipts: Vec<Kevent>,
}

/// What the kernel said to the changes of one fd.
#[derive(Debug)]
pub struct Answer {
    /// A filter that was to be there was there.
    pub found: bool,
    /// The fd is not open.
    closed: bool,
    /// The filters that were added.
    pub added: Interest,
    /// Why others were not: the first reason, but `EPIPE` or `EBADF` only if there is no other.
    pub refusal: Option<c_int>,
}

impl Changes {
    /// Asks to remove the filters of `held`.
    pub fn delete(&mut self, fd: RawFd, held: Interest) {
        self.ask(fd, held, Token::new(0, 0), EV_DELETE);
    }

    /// Asks for the filters that `registration` holds, disabled if it is asleep.
    pub fn add(&mut self, fd: RawFd, registration: &Registration) {
        let asleep = if registration.asleep { EV_DISABLE } else { 0 };
        let flags = EV_ADD | kevent::flags(registration.mode) | asleep;
        self.ask(fd, registration.held, registration.token, flags);
    }

    /// Asks to keep the filters of `held`, and to report nothing of them.
    pub fn disable(&mut self, fd: RawFd, held: Interest, token: Token) {
        self.ask(fd, held, token, EV_DISABLE);
    }

    /// Asks whether the filters that `registration` holds are there, by making them what they are.
    pub fn touch(&mut self, fd: RawFd, registration: &Registration) {
        let flags = if registration.asleep { EV_DISABLE } else { EV_ENABLE };
        self.ask(fd, registration.held, registration.token, flags);
    }

    /// Asks for a user event: `EV_CLEAR` makes each trigger one report.
    pub fn add_user(&mut self, ident: usize, token: Token) {
        let flags = EV_ADD | kevent::flags(TriggerMode::Edge) | EV_RECEIPT;
        self.asked.push(kevent::change(Filter::User, ident, token, flags));
    }

    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Makes all changes that were asked for.
    ///
    /// The call does not wait, so no signal should interrupt it. If one does, the changes are asked
    /// for again: an addition keeps what is there, and a deletion may answer that nothing was.
    pub fn apply(&mut self, kernel: &mut impl Kernel) -> io::Result<Answer> {
        let (asked, receipts) = (&self.asked, &mut self.receipts);
        let called = retry(|| kernel.kevent(asked, receipts, asked.len(), Some(Duration::ZERO)));
        let answer = called.and_then(|()| self.read());
        self.asked.clear();
        answer
    }

    fn ask(&mut self, fd: RawFd, interest: Interest, token: Token, flags: Flags) {
        for filter in Filter::of(interest) {
            self.asked.push(kevent::change(filter, fd as usize, token, flags | EV_RECEIPT));
        }
    }

    fn read(&self) -> io::Result<Answer> {
        let answered = self.receipts.iter().all(|receipt| receipt.flags & EV_ERROR != 0);
        if !answered || self.receipts.len() != self.asked.len() {
            return Err(io::Error::other("this kqueue does not answer each change by a receipt"));
        }
        let added = Interest::empty();
        let mut answer = Answer { found: false, closed: false, added, refusal: None };
        for (change, receipt) in self.asked.iter().zip(&self.receipts) {
            answer.take(change, kevent::errno(receipt));
        }
        Ok(answer)
    }
}

impl Answer {
    fn take(&mut self, change: &Kevent, errno: c_int) {
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
            // Whatever else keeps a filter from being removed at once (`EINPROGRESS` of macOS), it
            // was there.
            _ => self.found = true,
        }
    }

    /// The error of a registration that the kernel no longer knows: the fd was closed, and its
    /// number may be another file's by now.
    pub fn gone(&self) -> io::Error {
        match self.closed {
            true => io::Error::from_raw_os_error(libc::EBADF),
            false => io::ErrorKind::NotFound.into(),
        }
    }
}
