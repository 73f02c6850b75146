//! The descriptor by which another loop hosts this one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

/// The descriptor of a loop's selector, from [`EventLoop::poll_fd`](crate::EventLoop::poll_fd). It is
/// for another loop, the *host*, that sleeps in the place of this one.
///
/// It does not borrow the loop, and clones are the same descriptor. The descriptor stays open while
/// one of them lives. It is never readable after its loop is closed.
///
/// # How a host drives a loop
///
/// A host repeats three steps:
///
/// 1. Sleep until the descriptor is readable, or until
///    [`next_deadline`](crate::LoopHandle::next_deadline).
/// 2. If the host keeps readiness, as edge-triggered hosts do, forget it.
/// 3. Call [`turn(Some(Duration::ZERO))`](crate::EventLoop::turn).
///
/// That is enough for level-triggered hosts (poll(2), GLib, libuv) and for edge-triggered ones
/// (tokio's `AsyncFd`). After a turn that has found a descriptor ready, `next_deadline` is now, until
/// a turn finds none. So every event is served although an edge comes only once, at the cost of one
/// more turn after the last event. On kqueue the descriptor itself is readable once more after such
/// an event, for the same turn.
///
/// A host may also call `turn` until it returns 0 in step 3, which never finds less.
///
/// | step | tokio | GLib |
/// |---|---|---|
/// | 1 | `AsyncFd::readable`, or `sleep_until` | `prepare` returns the time to the deadline |
/// | 2 | `clear_ready` | `check` |
/// | 3 | `turn` | `dispatch` calls `turn` |
///
/// `examples/tokio_host` and `examples/glib_source.rs` of the source repository are whole programs.
///
/// If a descriptor was closed behind the loop's back, epoll(7) can make the loop replace its kernel
/// object under the same number. A host that is an epoll loop itself has to add the number again
/// then.
#[derive(Debug, Clone)]
pub struct PollFd(pub(super) Arc<OwnedFd>);

impl PollFd {
    /// Duplicates the descriptor, see dup(2). A duplicate does not follow if the loop replaces its
    /// kernel object.
    ///
    /// # Errors
    ///
    /// The process has no descriptor left.
    pub fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

impl AsFd for PollFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PollFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
