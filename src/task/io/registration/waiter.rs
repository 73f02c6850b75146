//! A future's place in the line of those that wait for an fd.

use std::io;
use std::task::{Context, Poll};

use mainspring_sys::{Interest, Readiness};

use super::Registration;
use crate::task::io::transfer::Moved;
use crate::task::tasks::Place;

/// A place in the line, for as long as a future waits there.
pub(in crate::task::io) struct Waiter<'a> {
    pub(super) registration: &'a Registration,
    pub(super) interest: Interest,
    pub(super) place: Place,
}

impl Drop for Waiter<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.place.is_taken() {
            self.registration.leave(&self.place, self.interest);
        }
    }
}

impl Waiter<'_> {
    #[inline]
    pub(in crate::task::io) fn poll_call<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut() -> io::Result<R>,
        moved: impl Fn(&R) -> Moved,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_call(&self.place, self.interest, cx, call, moved)
    }

    pub(in crate::task::io) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Readiness>> {
        self.registration.poll_ready(&self.place, self.interest, cx)
    }
}
