//! The loop that watches an fd.

use std::panic::Location;

use crate::handle::Key;

/// The loop that watches an fd. Without one, the place that the next loop gets with the fd.
#[derive(Clone, Copy)]
pub(super) enum WatchedBy {
    /// No loop, like before the first wait. Contains the place of the call that made the
    /// registration; `None` if a loop that is gone had it.
    None(Option<&'static Location<'static>>),
    /// Number of the loop, and the fd's key there.
    Loop(u32, Key),
}

impl WatchedBy {
    /// Returns the number of the loop, and the fd's key there.
    #[inline]
    pub(super) fn loop_and_key(self) -> Option<(u32, Key)> {
        match self {
            WatchedBy::Loop(loop_id, key) => Some((loop_id, key)),
            WatchedBy::None(_) => None,
        }
    }

    /// Returns the place of the call that made the registration, unless a loop has it.
    pub(super) fn location(self) -> Option<&'static Location<'static>> {
        match self {
            WatchedBy::None(location) => location,
            WatchedBy::Loop(..) => None,
        }
    }
}
