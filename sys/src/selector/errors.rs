//! Errors that several selectors return.

use std::io;

use super::contract::UserEvent;
use crate::event::Interest;

/// Returns the error of [`user_event`](super::Selector::user_event) for kernels without user
/// events.
pub(super) fn no_user_events() -> io::Result<Box<dyn UserEvent>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns the error for a selector that a forked child still shares with its parent.
#[cfg(has_epoll)]
pub(super) fn parents_selector() -> io::Error {
    io::Error::other(
        "the selector belongs to the parent process; reset it in the forked child first",
    )
}

/// Returns an error for a descriptor that was not registered.
#[cfg(any(has_epoll, has_kqueue, test))]
pub(super) fn check_found(was_found: bool) -> io::Result<()> {
    if was_found { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Refuses an empty interest.
pub(super) fn check_interest(interest: Interest) -> io::Result<()> {
    if !interest.is_empty() {
        return Ok(());
    }
    let message = "an empty interest cannot be registered; deregister the fd instead";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Refuses an interest in the end alone, which kqueue(2) reports only to readers.
#[cfg(any(has_kqueue, test))]
pub(super) fn check_end(interest: Interest) -> io::Result<()> {
    if interest & (Interest::READABLE | Interest::READ_CLOSED) != Interest::READ_CLOSED {
        return Ok(());
    }
    let message = "kqueue reports the end of the read side only to readers; use poll or select";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}
