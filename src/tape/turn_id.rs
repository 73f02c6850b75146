//! Ids of registrations, short enough for a record.

use crate::handle::Key;

/// Number of bits for the slot. Slots beyond that share their ids with others.
const SLOT_BITS: u32 = 24;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// The registration of a turn, in 32 bits: its slot, and the lower bits of its generation. A queued
/// closure has the lower bits of its sequence number instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TurnId(pub(super) u32);

impl TurnId {
    /// The id of the loop, and of messages.
    pub(crate) const NONE: TurnId = TurnId(0);

    #[inline]
    pub(crate) fn of(key: Key) -> TurnId {
        match key {
            Key { slot: u32::MAX, .. } => TurnId::NONE, // The loop, or another thread.
            key if key.is_soon() => TurnId(key.generation),
            Key { slot, generation } => TurnId(slot & SLOT_MASK | generation << SLOT_BITS),
        }
    }

    /// Returns the slot, limited to its bits.
    pub(super) fn slot(self) -> u32 {
        self.0 & SLOT_MASK
    }
}
