//! Limits of time of a connection: how long it may be idle, and how long it may take to close.
//!
//! There is one timer for all of them. While bytes move, it is not re-armed; only the time of the
//! last move is kept. When the timer runs out, it is armed again for what is left since that move.

use std::time::Duration;

use super::flags::Flags;
use super::inner::Inner;
use super::slot::Slot;
use crate::clock::nanos;
use crate::error::Error;
use crate::timers::TimerSlot;

/// Time without progress after which a closing connection gives up sending.
const STALL: Duration = Duration::from_secs(60);
/// Time for the peer's end after everything was sent.
const LINGER: Duration = Duration::from_secs(2);

/// A limit in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    timer: TimerSlot,
    span: Duration,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// For the time since bytes moved last, in either direction.
    Idle,
    /// For the time since the kernel took bytes last, while the connection closes.
    Stall,
    /// For closing as a whole.
    Whole,
    /// For the peer's end.
    Linger,
}

impl Inner<dyn Slot> {
    /// Sets or lifts the limit of idle time. A connection that closes has limits of its own.
    pub(super) fn limit_idleness(&self, span: Option<Duration>) {
        if self.has(Flags::CLOSING | Flags::FAILING | Flags::DONE) {
            return;
        }
        match span {
            Some(span) => self.limit(Kind::Idle, span),
            None => self.lift_limit(),
        }
    }

    /// Limits closing: as a whole to `span`, or else each lack of progress.
    pub(super) fn limit_closing(&self, span: Option<Duration>) {
        let limit = self.rest().limit.get();
        let is_whole = limit.is_some_and(|limit| limit.kind == Kind::Whole);
        match span {
            Some(span) if is_whole && !self.is_sooner(span) => {}
            Some(span) => self.limit(Kind::Whole, span),
            None if is_whole => {}
            None => self.limit(Kind::Stall, STALL),
        }
    }

    /// Limits the wait for the peer's end, unless closing as a whole has its limit.
    pub(super) fn limit_lingering(&self) {
        let limit = self.rest().limit.get();
        if !limit.is_some_and(|limit| limit.kind == Kind::Whole) {
            self.limit(Kind::Linger, LINGER);
        }
    }

    fn is_sooner(&self, span: Duration) -> bool {
        let Some(limit) = self.rest().limit.get() else { return true };
        let armed = self.core.timers.borrow().deadline(limit.timer);
        armed.is_none_or(|armed| self.core.timeline.nanos_after(span) < armed)
    }

    fn limit(&self, kind: Kind, span: Duration) {
        let rest = self.rest();
        rest.moved.set(self.core.timeline.now_nanos());
        let deadline = self.core.timeline.nanos_after(span);
        let timer = match rest.limit.get() {
            Some(Limit { timer, .. }) => {
                self.core.timers.borrow_mut().reset(timer, deadline);
                timer
            }
            None => self.core.timers.borrow_mut().insert(deadline, self.key),
        };
        rest.limit.set(Some(Limit { timer, span, kind }));
        self.set(Flags::TIMED);
    }

    pub(super) fn lift_limit(&self) {
        self.unset(Flags::TIMED);
        if let Some(limit) = self.rest.get().and_then(|rest| rest.limit.take()) {
            self.core.timers.borrow_mut().remove(limit.timer);
        }
    }

    /// Bytes have moved.
    pub(super) fn note_move(&self) {
        if self.has(Flags::TIMED) {
            self.rest().moved.set(self.core.timeline.now_nanos());
        }
    }

    /// Ends the connection if its limit has run out.
    #[cold]
    pub(super) fn heed_limit(&self) {
        let rest = self.rest();
        let Some(Limit { timer, span, kind }) = rest.limit.get() else { return };
        if !self.core.timers.borrow_mut().take_fed(timer) {
            return;
        }
        let left = match kind {
            Kind::Idle | Kind::Stall => rest.moved.get().saturating_add(nanos(span)),
            Kind::Whole | Kind::Linger => 0,
        };
        if self.core.timeline.now_nanos() < left {
            self.core.timers.borrow_mut().reset(timer, left);
        } else if self.has(Flags::LINGERING) {
            self.done(); // Everything was sent.
        } else {
            self.fail(Error::TimedOut(span));
        }
    }
}
