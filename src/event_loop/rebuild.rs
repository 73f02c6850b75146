//! Rebuilding the kernel object of the selector, and what happens if that fails.

use super::loop_core::LoopCore;
use crate::error::{Error, Result};
use crate::watchers::{internal_token, wakeup_bit};

/// Pending while the kernel object is incomplete, so that the next tick does not sleep.
const REBUILD: u16 = wakeup_bit(internal_token(15));

impl LoopCore {
    /// Rebuilds the selector's kernel object from the registrations of the loop, to end events that
    /// find no callback.
    ///
    /// Without a free descriptor the old one stays. The next event that finds no callback then
    /// requests a rebuild again. Such events keep the loop from sleeping, but all others are
    /// served.
    ///
    /// # Errors
    ///
    /// [`Error::Select`] if the new one is incomplete. The next tick does not sleep, and rebuilds
    /// it.
    #[cold]
    pub(super) fn rebuild(&self) -> Result<()> {
        let mut watchers = self.watchers.borrow_mut();
        let rebuilt = watchers.rebuild(&mut self.agenda.ready.borrow_mut());
        if !watchers.is_incomplete() {
            self.agenda.remove_wakeup(REBUILD);
            return Ok(());
        }
        self.agenda.add_wakeups(REBUILD);
        self.saw_unknown_key.set(true); // The next tick gets here without an event.
        rebuilt.map_err(Error::Select)
    }
}
