//! The descriptor on which a host loop sleeps in place of this loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

/// The descriptor of a loop's selector, from [`EventLoop::poll_fd`](crate::EventLoop::poll_fd).
/// Another loop, the *host*, sleeps on it in place of this one.
///
/// It does not borrow the loop. Clones share one descriptor, which stays open as long as any of
/// them exists. It is never readable after its loop is closed.
///
/// # How a host drives a loop
///
/// A host repeats three steps:
///
/// 1. Sleep until the descriptor is readable, or until
///    [`next_deadline`](crate::LoopHandle::next_deadline).
/// 2. Call [`tick(Some(Duration::ZERO))`](crate::EventLoop::tick).
/// 3. An edge-triggered host, such as tokio's `AsyncFd`, clears the readiness of the descriptor
///    only after a tick has returned 0.
///
/// Step 3 is needed because a tick serves each descriptor once, and leftovers cause no new edge:
/// neither an event that did not fit into the buffer, nor the rest of a stream that a callback has
/// only partly read. Under a level-triggered host (poll(2), GLib, libuv) the descriptor stays
/// readable for these, so one tick for each sleep is enough. On kqueue it stays readable once more
/// after each level-triggered event: the host makes one more tick, which returns 0.
///
/// | step | tokio | GLib |
/// |---|---|---|
/// | 1 | `timeout_at(next_deadline, fd.readable())` | `prepare` returns the time to the deadline |
/// | 2 | `tick` | `dispatch` calls `tick` |
/// | 3 | `clear_ready` if it returned 0 | |
///
/// `examples/tokio_host` and `examples/glib_source.rs` in the source repository are complete
/// programs.
///
/// If a descriptor was closed behind the loop's back, the loop may replace its epoll(7) object
/// under the same number. A host that is an epoll loop itself must then add the number again.
#[derive(Debug, Clone)]
pub struct PollFd(pub(super) Arc<OwnedFd>);

impl PollFd {
    /// Duplicates the descriptor, see dup(2). If the loop replaces its kernel object, a duplicate
    /// keeps the old one.
    ///
    /// # Errors
    ///
    /// EMFILE or ENFILE: no descriptor is left.
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
