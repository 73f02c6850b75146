//! A future that waits for an fd.

use std::io;
use std::task::{Context, Poll};

use mainspring_sys::{Interest, Readiness};

use super::registration::Registration;
use super::transferred::Transferred;
use crate::task::Ticket;

/// A future's position in the queue of an fd. Dropping it leaves the queue.
pub(super) struct Waiter<'a> {
    registration: &'a Registration,
    interest: Interest,
    ticket: Ticket,
}

impl<'a> Waiter<'a> {
    /// Creates a waiter for `interest`, which is not in the queue yet.
    #[inline]
    pub(super) fn new(registration: &'a Registration, interest: Interest) -> Waiter<'a> {
        Waiter { registration, interest, ticket: Ticket::new() }
    }

    #[inline]
    pub(super) fn poll_call<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut() -> io::Result<R>,
        transferred: impl Fn(&R) -> Transferred,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_call(&self.ticket, self.interest, cx, call, transferred)
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Readiness>> {
        self.registration.poll_ready(&self.ticket, self.interest, cx)
    }
}

impl Drop for Waiter<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.ticket.may_be_queued() {
            self.registration.leave(&self.ticket, self.interest);
        }
    }
}
