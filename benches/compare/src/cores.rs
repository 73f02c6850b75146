//! Assignment of cores: workers run on the first core, the main process on the last one.
//!
//! A process inherits the cores of the thread that starts it, whatever its language. So the main
//! process moves to the worker's core, starts the worker, and moves back.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use.
#[derive(Debug, Clone, Copy)]
pub struct Cores(CpuSet);

/// The cores of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The first core, which no other process of the comparison uses.
    FirstCore,
    /// All cores. A worker with two threads assigns a core to each.
    AllCores,
}

impl Cores {
    /// Returns the cores at the first call, before threads moved to single cores.
    pub fn of_this_process() -> Cores {
        static CORES: OnceLock<Cores> = OnceLock::new();
        let ask = || {
            Cores(
                sched_getaffinity(None).expect("sched_getaffinity(2) works for the calling thread"),
            )
        };
        *CORES.get_or_init(ask)
    }

    /// Moves this thread, and the processes that it will start, to the first core.
    pub fn go_to_first(&self) {
        self.go(&self.first());
    }

    /// Moves this thread, and the processes that it will start, to the last core.
    pub fn go_to_last(&self) {
        self.go(&self.last());
    }

    /// Calls `start` on the cores for a worker, and moves this thread back to the last core.
    pub fn start_at<T>(&self, placement: Placement, start: impl FnOnce() -> T) -> T {
        match placement {
            Placement::FirstCore => self.go_to_first(),
            Placement::AllCores => self.go(&self.0),
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
        one.set(core.expect("a process has at least one core"));
        one
    }

    fn go(&self, cores: &CpuSet) {
        sched_setaffinity(None, cores)
            .expect("sched_setaffinity(2) accepts the cores of the process");
    }
}
