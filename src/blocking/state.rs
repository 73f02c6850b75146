//! What an executor knows: which jobs wait, and which worker runs what.
//!
//! # Invariant
//!
//! As many workers as there are jobs that could run are idle, awake or woken, as long as there are
//! fewer workers than allowed and the system lets threads start: see [`State::lacks_workers`].

use std::collections::BTreeMap;
use std::mem;
use std::time::Instant;

use super::job::About;
use super::stuck::StuckJob;

/// A closure that waits for a thread. Neither of its ends lets a panic out.
pub(super) trait Work: Send {
    /// Runs it, and tells whoever awaits it.
    fn run(self: Box<Self>);
    /// Drops it without running it, and tells whoever awaits it.
    fn refuse(self: Box<Self>);
}

/// What sort of work a job is, which says how much of it may be done at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It takes as long as this machine does.
    Work,
    /// It takes as long as a server somewhere does.
    Lookup,
}

const CLASSES: [Class; 2] = [Class::Work, Class::Lookup];

/// A job that waits.
pub(super) struct Waiting {
    about: About,
    pub(super) work: Box<dyn Work>,
}

/// A job that runs.
struct Running {
    class: Class,
    about: About,
    since: Instant,
}

/// The jobs of one class.
struct Lane {
    /// By id, so in the order of submission. Any of them may be removed, in O(log n).
    waiting: BTreeMap<u64, Waiting>,
    running: usize,
    at_once: usize,
}

impl Lane {
    fn new(at_once: usize) -> Lane {
        Lane { waiting: BTreeMap::new(), running: 0, at_once }
    }

    /// How many of those that wait could run now, if there were workers.
    fn runnable(&self) -> usize {
        self.waiting.len().min(self.at_once - self.running)
    }
}

/// What the lock of an executor protects.
pub(super) struct State {
    pub(super) closed: bool,
    next_id: u64,
    lanes: [Lane; CLASSES.len()],
    /// By number; a worker without a job is idle.
    workers: BTreeMap<usize, Option<Running>>,
}

impl State {
    /// Nothing waits, nothing runs, and there will be at most so many threads.
    pub(super) fn new(threads: usize) -> State {
        let lanes = CLASSES.map(|class| match class {
            Class::Work => Lane::new(threads),
            Class::Lookup => Lane::new((threads / 2).max(1)),
        });
        State { closed: false, next_id: 0, lanes, workers: BTreeMap::new() }
    }

    pub(super) fn threads(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn running(&self) -> usize {
        self.lanes.iter().map(|lane| lane.running).sum()
    }

    pub(super) fn waiting(&self) -> usize {
        CLASSES.into_iter().map(|class| self.waiting_of(class)).sum()
    }

    pub(super) fn waiting_of(&self, class: Class) -> usize {
        self.lanes[class as usize].waiting.len()
    }

    /// Whether a job could run that no worker is there for. One that has just been started, or
    /// woken, is there for one.
    pub(super) fn lacks_workers(&self) -> bool {
        let runnable: usize = self.lanes.iter().map(Lane::runnable).sum();
        runnable > self.threads() - self.running()
    }

    /// Adds a job to those that wait, and gives its id.
    pub(super) fn push(&mut self, class: Class, about: About, work: Box<dyn Work>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.lanes[class as usize].waiting.insert(id, Waiting { about, work });
        id
    }

    /// Takes a job out of those that wait, if it is one of them.
    pub(super) fn remove(&mut self, class: Class, id: u64) -> Option<Waiting> {
        self.lanes[class as usize].waiting.remove(&id)
    }

    /// Takes all that wait.
    pub(super) fn remove_all(&mut self) -> Vec<Waiting> {
        self.lanes.iter_mut().flat_map(|lane| mem::take(&mut lane.waiting).into_values()).collect()
    }

    /// Adds an idle worker, with the lowest number that is free.
    pub(super) fn add_worker(&mut self) -> usize {
        let number = (1..).find(|number| !self.workers.contains_key(number)).unwrap_or(0);
        self.workers.insert(number, None);
        number
    }

    /// Removes a worker that is idle.
    pub(super) fn remove_worker(&mut self, number: usize) {
        let job = self.workers.remove(&number);
        debug_assert!(matches!(job, Some(None)), "worker {number} leaves its job");
    }

    /// Gives a worker the job that has waited longest of those that may run.
    pub(super) fn begin(&mut self, worker: usize) -> Option<Box<dyn Work>> {
        let may_run =
            CLASSES.into_iter().filter(|class| self.lanes[*class as usize].runnable() > 0);
        let first = |class: &Class| self.lanes[*class as usize].waiting.keys().next().copied();
        let class = may_run.min_by_key(first)?;
        let lane = &mut self.lanes[class as usize];
        let (_, Waiting { about, work }) = lane.waiting.pop_first()?;
        lane.running += 1;
        self.workers.insert(worker, Some(Running { class, about, since: Instant::now() }));
        Some(work)
    }

    /// The worker's job, if it had one, has ended.
    pub(super) fn end(&mut self, worker: usize) {
        if let Some(job) = self.workers.get_mut(&worker).and_then(Option::take) {
            self.lanes[job.class as usize].running -= 1;
        }
    }

    /// What runs, the longest first.
    pub(super) fn stuck(&self) -> Vec<StuckJob> {
        let now = Instant::now();
        let running = self.workers.iter().filter_map(|(number, job)| Some((number, job.as_ref()?)));
        let mut stuck: Vec<StuckJob> = running
            .map(|(number, job)| {
                StuckJob::new(job.about.clone(), *number, now.saturating_duration_since(job.since))
            })
            .collect();
        stuck.sort_by_key(|job| std::cmp::Reverse(job.running_for()));
        stuck
    }
}
