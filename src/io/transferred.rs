//! The size of a transfer, and what a short one means.

/// Size of a transfer that succeeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transferred {
    pub(super) bytes: usize,
    /// True if the transfer was shorter than requested in a way that the next one would block.
    pub(super) is_short: bool,
}

impl Transferred {
    /// For a call without a size in its result.
    pub(super) const UNKNOWN: Transferred = Transferred { bytes: 0, is_short: false };

    /// For a transfer that may stop short for any reason.
    #[inline]
    pub(super) fn bytes(bytes: usize) -> Transferred {
        Transferred { bytes, is_short: false }
    }

    /// For a transfer that stops short only if the next one would block. Zero bytes mean the end of
    /// the stream, which the next call reports again without blocking.
    #[inline]
    pub(super) fn of(bytes: usize, requested: usize) -> Transferred {
        Transferred { bytes, is_short: 0 < bytes && bytes < requested }
    }
}
