//! The size of a transfer, and what a short one means.

use crate::task::budget::steps_of;

/// Size of a transfer that succeeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transferred {
    /// Number of bytes; `None` if it is not known.
    pub(super) bytes: Option<usize>,
    /// Number of steps that it takes of the [budget](crate::task::budget).
    pub(super) steps: u32,
    /// True if the transfer was shorter than requested in a way that the next one would block.
    pub(super) is_short: bool,
}

impl Transferred {
    /// For a call without a size in its result.
    pub(super) const UNKNOWN: Transferred = Transferred { bytes: None, steps: 1, is_short: false };

    /// For a call that has moved datagrams. It takes one step, however long they are.
    #[inline]
    pub(super) fn datagrams(bytes: usize) -> Transferred {
        Transferred { bytes: Some(bytes), steps: 1, is_short: false }
    }

    /// For a transfer that may stop short for any reason.
    #[inline]
    pub(super) fn bytes(bytes: usize) -> Transferred {
        Transferred { bytes: Some(bytes), steps: steps_of(bytes), is_short: false }
    }

    /// For a transfer that stops short only if the next one would block. Zero bytes mean the end of
    /// the stream, which the next call reports again without blocking.
    #[inline]
    pub(super) fn of(bytes: usize, requested: usize) -> Transferred {
        let is_short = 0 < bytes && bytes < requested;
        Transferred { bytes: Some(bytes), steps: steps_of(bytes), is_short }
    }
}
