//! Entries whose number has lost its file, because that was closed behind the loop's back.
//!
//! Safe code can do that: `mem::forget(Io::new(&stream)?)` leaves an entry, and then the stream is
//! closed. The next owner of the number finds the entry, which gives way to it. The selector answers
//! for a registered file, and [`FileId`] for a paused one.
//!
//! The same file may come back under its number, by dup(2). Then nothing was lost.

use mainspring_sys::fd::FileId;

use super::Watchers;
use super::entry::{Entry, Idle};
use crate::ready::ReadyDeque;

impl Watchers {
    /// Returns true if the entry was found lost before, and its callbacks have not run since.
    pub(super) fn is_lost(&self, slot: u32) -> bool {
        let Entry { registered, idle, .. } = self.entries[slot as usize];
        registered.is_empty() && matches!(idle, Idle::Lost)
    }

    /// Returns true if an entry has outlived its file: closed behind the loop's back, and the number
    /// is in use again. Its callbacks are fed the news.
    ///
    /// The question to the selector is to add it again, which it refuses for a file that it has. To
    /// change the entry would arm it again where it was reported once.
    pub(super) fn outlived(&mut self, slot: u32, ready: &mut ReadyDeque) -> bool {
        let Entry { fd, token, registered, mode, idle, .. } = self.entries[slot as usize];
        if !registered.is_empty() {
            let is_new = self.selector.register(fd, token, registered, mode).is_ok();
            if is_new {
                self.lose(slot, ready);
            }
            return is_new;
        }
        let is_lost = match idle {
            Idle::PausedOf(file) => FileId::of(fd).is_ok_and(|now| now.differs(file)),
            Idle::Paused | Idle::Lost => false,
        };
        if is_lost {
            self.entries[slot as usize].invalidate(ready);
        }
        is_lost
    }

    /// The fd was closed behind the loop's back: has the kernel forget what it can, and tells the
    /// callbacks.
    pub(super) fn lose(&mut self, slot: u32, ready: &mut ReadyDeque) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        // Where the kernel keeps an open file that it knows by no number any more, it comes back as
        // a stranger, see `rebuild`.
        let _ = self.selector.deregister(entry.fd);
        entry.invalidate(ready);
    }
}
