//! Who runs on which core: workers on the first one, the leading process on the last one.
//!
//! A worker inherits the core from the process that starts it, so that this works for programs in
//! any language: who starts one goes where it shall be, and then back.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process was given.
#[derive(Debug, Clone, Copy)]
pub struct Cores(CpuSet);

/// Where a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the first core, which it has for itself.
    Alone,
    /// On all: it has two threads, and gives them a core each.
    Anywhere,
}

impl Cores {
    /// Those that the process was given, wherever its threads have gone since the first call.
    pub fn of_this_process() -> Cores {
        static CORES: OnceLock<Cores> = OnceLock::new();
        let ask = || Cores(sched_getaffinity(None).expect("a process may ask for its cores"));
        *CORES.get_or_init(ask)
    }

    /// Moves this thread, and what it will start.
    pub fn go_to_first(&self) {
        self.go(&self.first());
    }

    /// The same, to the last one.
    pub fn go_to_last(&self) {
        self.go(&self.last());
    }

    /// Calls `start` at a place for workers, and comes back.
    pub fn at<T>(&self, place: Place, start: impl FnOnce() -> T) -> T {
        match place {
            Place::Alone => self.go_to_first(),
            Place::Anywhere => self.go(&self.0),
        }
        let started = start();
        self.go_to_last();
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
