//! The index of the watchers' table: entry by fd.
//!
//! # Invariant
//!
//! The index has four bytes for each number up to the highest fd that is watched, or was watched
//! since memory was last given back.

use std::os::fd::RawFd;

/// Index of the table entry of each fd.
#[derive(Debug, Default)]
pub(super) struct FdIndex {
    /// Entry index plus one, by fd; zero means that the fd has no entry.
    by_fd: Vec<u32>,
}

impl FdIndex {
    pub(super) fn get(&self, fd: RawFd) -> Option<u32> {
        let fd = usize::try_from(fd).ok()?;
        self.by_fd.get(fd)?.checked_sub(1)
    }

    /// Sets the entry of an fd, in place of an earlier one. Does nothing for a negative fd.
    pub(super) fn set(&mut self, fd: RawFd, index: u32) {
        let Ok(at) = usize::try_from(fd) else { return };
        if at >= self.by_fd.len() {
            self.by_fd.resize(at + 1, 0);
        }
        self.by_fd[at] = index + 1;
    }

    /// Removes the entry of an fd, unless the fd now has another entry.
    pub(super) fn remove(&mut self, fd: RawFd, index: u32) {
        match usize::try_from(fd).ok().and_then(|fd| self.by_fd.get_mut(fd)) {
            Some(stored) if *stored == index + 1 => *stored = 0,
            _ => {}
        }
    }

    /// Gives back memory for the numbers above the highest fd that is watched.
    #[cold]
    pub(super) fn shrink(&mut self) {
        let end = self.by_fd.iter().rposition(|index| *index != 0).map_or(0, |last| last + 1);
        self.by_fd.truncate(end);
        self.by_fd.shrink_to(end);
    }
}
