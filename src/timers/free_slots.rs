//! The slots of timers as those of an arena.

use super::{State, Timer, Unarmed};
use crate::arena::free_list::{Links, Slot};

impl Slot for Timer {
    #[inline]
    fn links(&self) -> Option<Links> {
        match self.state {
            State::Unarmed(Unarmed::Vacant(links)) => Some(links),
            _ => None,
        }
    }

    #[inline]
    fn set_next(&mut self, new: u32) {
        if let State::Unarmed(Unarmed::Vacant(Links { next, .. })) = &mut self.state {
            *next = new;
        }
    }

    #[inline]
    fn set_previous(&mut self, new: u32) {
        if let State::Unarmed(Unarmed::Vacant(Links { previous, .. })) = &mut self.state {
            *previous = new;
        }
    }

    #[inline]
    fn generation(&self) -> u32 {
        0 // Its owner knows when it ends.
    }
}
