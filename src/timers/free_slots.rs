//! The free slots of the timers, linked in a [`FreeList`](crate::arena::free_list::FreeList).

use super::{Timer, TimerState, Unarmed};
use crate::arena::free_list::{Links, Slot};

impl Slot for Timer {
    #[inline]
    fn links(&self) -> Option<Links> {
        match self.state {
            TimerState::Unarmed(Unarmed::Free(links)) => Some(links),
            _ => None,
        }
    }

    #[inline]
    fn set_next(&mut self, new: u32) {
        if let TimerState::Unarmed(Unarmed::Free(Links { next, .. })) = &mut self.state {
            *next = new;
        }
    }

    #[inline]
    fn set_previous(&mut self, new: u32) {
        if let TimerState::Unarmed(Unarmed::Free(Links { previous, .. })) = &mut self.state {
            *previous = new;
        }
    }

    #[inline]
    fn generation(&self) -> u32 {
        0 // Timers need no generations: only the callback or task that owns a timer uses its slot.
    }
}
