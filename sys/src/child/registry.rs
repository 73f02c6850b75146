//! The processes that the loops of this process watch, by pid, and the children of closed loops.
//!
//! # Invariants
//!
//! * A pid is in the table while its process is watched and was not reaped.
//! * The lock of the table is taken after that of a process. No process is called or dropped under
//!   it.

use std::collections::BTreeMap;
use std::mem;
use std::ptr;
use std::sync::{Arc, Weak};

/// A table of values by process id.
#[derive(Debug)]
pub(super) struct Registry<T> {
    watched: BTreeMap<u32, Weak<T>>,
    /// Children that outlive their loop.
    abandoned: Vec<Arc<T>>,
}

impl<T> Registry<T> {
    pub(super) const fn new() -> Registry<T> {
        Registry { watched: BTreeMap::new(), abandoned: Vec::new() }
    }

    /// Adds a process, unless one with this pid is watched. Returns the one that is watched now.
    pub(super) fn find_or_add(&mut self, pid: u32, process: &Arc<T>) -> Arc<T> {
        self.find(pid).unwrap_or_else(|| {
            self.watched.insert(pid, Arc::downgrade(process));
            process.clone()
        })
    }

    /// Returns the process with this pid, if a loop watches it.
    pub(super) fn find(&self, pid: u32) -> Option<Arc<T>> {
        self.watched.get(&pid).and_then(Weak::upgrade)
    }

    /// Removes a process that has ended, or that nothing watches any longer.
    pub(super) fn remove(&mut self, pid: u32, process: &T) {
        let found = self.watched.get(&pid);
        if found.is_some_and(|found| ptr::eq(found.as_ptr(), process)) {
            self.watched.remove(&pid);
        }
    }

    pub(super) fn add_abandoned(&mut self, processes: impl IntoIterator<Item = Arc<T>>) {
        self.abandoned.extend(processes);
    }

    pub(super) fn take_abandoned(&mut self) -> Vec<Arc<T>> {
        mem::take(&mut self.abandoned)
    }
}
