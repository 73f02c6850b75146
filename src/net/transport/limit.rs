//! Time limits of a connection: on the time without a transfer, and on the time of closing.
//!
//! A connection has one timer for all of them. A transfer does not re-arm it, but stores its own
//! time. When the timer expires, it is armed again for what is left since the latest transfer.

use std::time::Duration;

use super::extra::{Limit, LimitKind};
use super::flags::Flags;
use super::state::TransportState;
use super::stream_cell::StreamCell;
use crate::clock::nanos;
use crate::error::Error;

/// Time without progress after which a closing connection gives up sending.
const STALL: Duration = Duration::from_secs(60);
/// Time for which the peer's end is awaited after everything was sent.
const LINGER: Duration = Duration::from_secs(2);

impl TransportState<dyn StreamCell> {
    /// Sets or lifts the limit on idle time. A connection that closes has other limits.
    pub(super) fn limit_idleness(&self, span: Option<Duration>) {
        if self.has(Flags::CLOSING | Flags::FAILING | Flags::DONE) {
            return;
        }
        match span {
            Some(span) => self.limit(LimitKind::Idle, span),
            None => self.lift_limit(),
        }
    }

    /// Returns the limit on idle time that is in force.
    pub(super) fn idle_limit(&self) -> Option<Duration> {
        let limit = self.extra.get()?.limit.get()?;
        (limit.kind == LimitKind::Idle).then_some(limit.span)
    }

    /// Limits the time of closing to `span`, or without a span each time without progress.
    pub(super) fn limit_closing(&self, span: Option<Duration>) {
        let limit = self.extra().limit.get();
        let is_whole = limit.is_some_and(|limit| limit.kind == LimitKind::Whole);
        match span {
            Some(span) if is_whole && !self.is_sooner(span) => {}
            Some(span) => self.limit(LimitKind::Whole, span),
            None if is_whole => {}
            None => self.limit(LimitKind::Stall, STALL),
        }
    }

    /// Limits the wait for the peer's end, unless the whole time of closing is limited.
    pub(super) fn limit_lingering(&self) {
        let limit = self.extra().limit.get();
        if !limit.is_some_and(|limit| limit.kind == LimitKind::Whole) {
            self.limit(LimitKind::Linger, LINGER);
        }
    }

    fn is_sooner(&self, span: Duration) -> bool {
        let Some(limit) = self.extra().limit.get() else { return true };
        let armed = self.core.timers.borrow().deadline(limit.timer);
        armed.is_none_or(|armed| self.core.timeline.nanos_after(span) < armed)
    }

    fn limit(&self, kind: LimitKind, span: Duration) {
        let extra = self.extra();
        extra.moved.set(self.core.timeline.now_nanos()); // Idle time begins now.
        let deadline = self.core.timeline.nanos_after(span);
        let timer = match extra.limit.get() {
            Some(Limit { timer, .. }) => {
                self.core.timers.borrow_mut().reset(timer, deadline);
                timer
            }
            None => self.core.timers.borrow_mut().insert(deadline, self.key),
        };
        extra.limit.set(Some(Limit { timer, span, kind }));
        self.set(Flags::LIMITED);
    }

    pub(super) fn lift_limit(&self) {
        self.unset(Flags::LIMITED);
        if let Some(limit) = self.extra.get().and_then(|extra| extra.limit.take()) {
            self.core.timers.borrow_mut().remove(limit.timer);
        }
    }

    /// Stores the time of a transfer if a limit is in force.
    pub(super) fn note_transfer(&self) {
        if self.has(Flags::LIMITED) {
            self.extra().moved.set(self.core.timeline.now_nanos());
        }
    }

    /// Ends the connection if its limit is exceeded.
    #[cold]
    pub(super) fn check_limit(&self) {
        let extra = self.extra();
        let Some(Limit { timer, span, kind }) = extra.limit.get() else { return };
        if !self.core.timers.borrow_mut().take_fed(timer) {
            return; // Another reason runs the callback; the timer has not expired.
        }
        let deadline = match kind {
            LimitKind::Idle | LimitKind::Stall => extra.moved.get().saturating_add(nanos(span)),
            LimitKind::Whole | LimitKind::Linger => 0, // Transfers do not prolong these.
        };
        if self.core.timeline.now_nanos() < deadline {
            self.core.timers.borrow_mut().reset(timer, deadline);
        } else if self.has(Flags::LINGERING) {
            self.end(); // Without an error, because everything was sent.
        } else {
            self.fail(Error::TimedOut(span));
        }
    }
}
