//! Who runs on which core: workers on the first one, the leading process on the last one.
//!
//! A worker inherits the core from the process that starts it, so that this works for programs in
//! any language: who starts one goes where it shall be, and then back.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process was given.
#[derive(Debug, Clone, Copy)]
pub struct Cores(CpuSet);

/// Where a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the first core, which it has for itself.
    Alone,
    /// Wherever the system likes: it has threads that are to run at the same time.
    Anywhere,
}

impl Cores {
    /// Moves this process to its last core.
    pub fn take() -> Cores {
        let cores = Cores(sched_getaffinity(None).expect("a process may ask for its cores"));
        cores.go(&cores.last());
        cores
    }

    /// Calls `start` at a place for workers, and comes back.
    pub fn at<T>(&self, place: Place, start: impl FnOnce() -> T) -> T {
        match place {
            Place::Alone => self.go(&self.first()),
            Place::Anywhere => self.go(&self.0),
        }
        let started = start();
        self.go(&self.last());
        started
    }

    pub fn count(&self) -> u32 {
        self.0.count()
    }

    fn first(&self) -> CpuSet {
        self.one((0..CpuSet::MAX_CPU).find(|core| self.0.is_set(*core)))
    }

    fn last(&self) -> CpuSet {
        self.one((0..CpuSet::MAX_CPU).rfind(|core| self.0.is_set(*core)))
    }

    fn one(&self, core: Option<usize>) -> CpuSet {
        let mut one = CpuSet::new();
        one.set(core.expect("a process has a core"));
        one
    }

    fn go(&self, cores: &CpuSet) {
        sched_setaffinity(None, cores).expect("a process may choose among its cores");
    }
}
