//! The numbers of the fds that are watched.
//!
//! # Invariant
//!
//! There are four bytes for each number up to the highest fd that is watched, or was watched since
//! memory was last given back.

use std::os::fd::RawFd;

/// The slot of each fd.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Slot by fd, plus one; zero is none.
    by_fd: Vec<u32>,
}

impl Numbers {
    pub(super) fn slot_of(&self, fd: RawFd) -> Option<u32> {
        let fd = usize::try_from(fd).ok()?;
        self.by_fd.get(fd)?.checked_sub(1)
    }

    /// Assigns the number to a slot, in place of an earlier one.
    pub(super) fn assign(&mut self, fd: RawFd, slot: u32) {
        let Ok(at) = usize::try_from(fd) else { return };
        if at >= self.by_fd.len() {
            self.by_fd.resize(at + 1, 0);
        }
        self.by_fd[at] = slot + 1;
    }

    /// Removes the number of a slot, unless the number is another slot's by now.
    pub(super) fn remove(&mut self, fd: RawFd, slot: u32) {
        match usize::try_from(fd).ok().and_then(|fd| self.by_fd.get_mut(fd)) {
            Some(place) if *place == slot + 1 => *place = 0,
            _ => {}
        }
    }

    /// Gives back memory for the numbers above the highest fd that is watched.
    #[cold]
    pub(super) fn shrink(&mut self) {
        let end = self.by_fd.iter().rposition(|slot| *slot != 0).map_or(0, |last| last + 1);
        self.by_fd.truncate(end);
        self.by_fd.shrink_to(end);
    }
}
