//! Reports: events of one fd, translated into readiness.

use std::os::fd::RawFd;

use super::kevent::{EV_EOF, EV_ERROR, Filter, Kevent, NOTE_OOB};
use crate::event::{Interest, Readiness, Token};

/// Merged events of one registration in a batch.
#[derive(Debug)]
pub(super) struct Report {
    /// Fd of the registration; `None` for a user event.
    pub(super) fd: Option<RawFd>,
    pub(super) token: Token,
    pub(super) readiness: Readiness,
    /// Directions of the filters that have reported.
    pub(super) from: Interest,
}

/// Returns the readiness of one event. Its flags concern only its own direction; the errno of a
/// socket comes only with the end.
///
/// The filter for priority data is also active at the end of input, with `EV_EOF` (macOS; OpenBSD
/// for pipes), and for ordinary data that fills the buffer, with neither `EV_EOF` nor `NOTE_OOB`
/// (macOS). The first is reported as the end, the second is ignored. At the end `fflags` is an
/// errno.
pub(super) fn translate(filter: Filter, event: &Kevent) -> Readiness {
    let is_end = event.flags & EV_EOF != 0;
    let (ready, closed) = match filter {
        Filter::Read => (Readiness::READABLE, Readiness::READ_CLOSED),
        Filter::Write => (Readiness::WRITABLE, Readiness::WRITE_CLOSED),
        Filter::Except if is_end => (Readiness::empty(), Readiness::READ_CLOSED),
        Filter::Except if event.fflags & NOTE_OOB == 0 => return Readiness::empty(),
        Filter::Except | Filter::User => (Readiness::PRIORITY, Readiness::empty()),
    };
    let mut readiness = ready;
    if is_end {
        readiness |= closed;
        readiness.set(Readiness::ERROR, event.fflags != 0);
    }
    if event.flags & EV_ERROR != 0 {
        readiness |= Readiness::ERROR;
    }
    readiness
}

/// Completes a merged report: if both filters have reported their end, the fd is hung up.
pub(super) fn with_hangup(readiness: Readiness) -> Readiness {
    const ENDED: Readiness = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED);
    let hangup = if readiness.contains(ENDED) { Readiness::HANGUP } else { Readiness::empty() };
    (readiness | hangup).with_implied()
}
