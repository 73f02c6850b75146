//! Keys: how everything that is registered is called, inside the loop and out.
//!
//! # Invariant
//!
//! A key names one tenant of one slot for ever. A slot whose generations are used up is never given out again, so an old key
//! misses; it never hits a stranger.

use std::fmt;

/// A slot and the generation of its tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.generation)
    }
}
