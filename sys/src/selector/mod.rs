//! Selectors: ways to find out from the kernel which descriptors are ready. One contract, and a
//! backend for each system call.
//!
//! # The contract
//!
//! A conformance suite checks the contract for every backend. The backends have the same functions
//! in the same order.
//!
//! * A registration is an fd number, a [`Token`](crate::Token) that comes back in events, an
//!   [`Interest`](crate::Interest) and a [`TriggerMode`](crate::TriggerMode). A selector stores no
//!   other data of its caller.
//! * There is one registration per fd. A second one is the error `AlreadyExists`; changing or
//!   removing one that does not exist is `NotFound`; an fd that is not open is `EBADF`. After an
//!   error nothing has changed.
//! * An empty interest is the error `InvalidInput`: epoll and poll would still report hang-ups of
//!   such an fd, and kqueue would not. To stop watching, deregister; to watch for the end only, use
//!   [`Interest::READ_CLOSED`](crate::Interest::READ_CLOSED).
//! * Changes take effect at once: after [`deregister`](Selector::deregister) has returned, no event
//!   of the fd is reported, and the kernel has no trace of the registration. Deregister before
//!   closing the fd.
//! * Errors, hang-ups and end of file are reported for every interest, completed as by
//!   [`Readiness::with_implied`](crate::Readiness::with_implied).
//! * Files that the kernel cannot watch, but that poll(2) always reports as ready (regular files,
//!   directories, `/dev/null`), are always ready.
//! * A call reports at most one event per registration. If more fds are ready than fit into
//!   [`Events`](crate::Events), each is reported before any is reported twice.
//! * A wait is never shorter than its timeout because of rounding, and a signal does not end it.
//! * An fd that is closed while it is registered is reported once with
//!   [`INVALID`](crate::Readiness::INVALID), if the kernel reports it, and is silent otherwise. It
//!   is never an error of [`select`](Selector::select) and never makes it spin.

pub use self::any::AnySelector;
pub use self::contract::{Selector, UserEvent};
pub use self::kind::SelectorKind;

#[cfg(any(has_epoll, has_kqueue, test))]
mod always_ready;
mod any;
mod contract;
#[cfg(has_epoll)]
pub mod epoll;
mod errors;
mod kind;
#[cfg(any(has_kqueue, test))]
pub mod kqueue;
pub mod poll;
mod registrations;
pub mod select;
