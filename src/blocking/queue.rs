//! The queue of a pool: the jobs that wait, and the job of each worker.
//!
//! # Invariant
//!
//! For each job that could run now there is an idle worker, or one that was just started or woken.
//! Exceptions are the limit of workers and a system that refuses a thread. See
//! [`JobQueue::lacks_workers`].

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

use super::label::JobLabel;
use super::stuck_jobs::StuckJob;

/// The closure of a job. Both methods catch its panics.
pub(super) trait JobClosure: Send {
    /// Runs the closure, and wakes the task that awaits the job.
    fn run(self: Box<Self>);
    /// Drops the closure without running it, and wakes the task that awaits the job.
    fn refuse(self: Box<Self>);
}

/// The class of a job. Each class has a limit of jobs that run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobClass {
    /// The job takes as long as this machine needs for it.
    Local,
    /// The job waits for the answer of a server, which may not come.
    Lookup,
}

const CLASSES: [JobClass; 2] = [JobClass::Local, JobClass::Lookup];

/// A job that waits for a worker.
pub(super) struct WaitingJob {
    label: JobLabel,
    /// The tick of the loop that submitted the job; `None` for a job of other code.
    submitted_in: Option<u64>,
    pub(super) closure: Box<dyn JobClosure>,
}

/// A job that runs.
struct RunningJob {
    class: JobClass,
    label: JobLabel,
    submitted_in: Option<u64>,
    since: Instant,
}

/// A job in a list: one that waits, or one that runs.
pub(super) struct ListedJob<'a> {
    pub(super) label: &'a JobLabel,
    pub(super) submitted_in: Option<u64>,
    /// Time since the begin; `None` if the job waits.
    pub(super) running_for: Option<Duration>,
}

/// The jobs of one class.
struct ClassQueue {
    /// By id, which is the order of submission. Any job can be removed in O(log n).
    waiting: BTreeMap<u64, WaitingJob>,
    running: usize,
    /// Maximum number of jobs that run at the same time.
    max_running: usize,
}

impl ClassQueue {
    fn new(max_running: usize) -> ClassQueue {
        ClassQueue { waiting: BTreeMap::new(), running: 0, max_running }
    }

    /// Returns the number of waiting jobs that could run now, given enough workers.
    fn runnable(&self) -> usize {
        self.waiting.len().min(self.max_running - self.running)
    }
}

/// The part of a pool that its lock protects.
pub(super) struct JobQueue {
    pub(super) closed: bool,
    next_id: u64,
    classes: [ClassQueue; CLASSES.len()],
    /// Jobs by the number of their worker; `None` for an idle worker.
    workers: BTreeMap<usize, Option<RunningJob>>,
}

impl JobQueue {
    /// Creates an empty queue for a pool with at most `max_threads` workers.
    pub(super) fn new(max_threads: usize) -> JobQueue {
        let classes = CLASSES.map(|class| match class {
            JobClass::Local => ClassQueue::new(max_threads),
            // At most half, so that servers that do not answer leave threads for other jobs.
            JobClass::Lookup => ClassQueue::new((max_threads / 2).max(1)),
        });
        JobQueue { closed: false, next_id: 0, classes, workers: BTreeMap::new() }
    }

    /// Returns the number of workers, busy or idle.
    pub(super) fn threads(&self) -> usize {
        self.workers.len()
    }

    /// Returns the number of jobs that run.
    pub(super) fn running(&self) -> usize {
        self.classes.iter().map(|class| class.running).sum()
    }

    /// Returns the number of jobs that wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        CLASSES.into_iter().map(|class| self.waiting_of(class)).sum()
    }

    pub(super) fn waiting_of(&self, class: JobClass) -> usize {
        self.classes[class as usize].waiting.len()
    }

    /// Returns true if there are more runnable jobs than idle workers. A worker that was just
    /// started or woken counts as idle until it takes a job.
    pub(super) fn lacks_workers(&self) -> bool {
        let runnable: usize = self.classes.iter().map(ClassQueue::runnable).sum();
        runnable > self.threads() - self.running()
    }

    /// Adds a job to the waiting ones, and returns its id.
    pub(super) fn push(
        &mut self,
        class: JobClass,
        label: JobLabel,
        submitted_in: Option<u64>,
        closure: Box<dyn JobClosure>,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.classes[class as usize]
            .waiting
            .insert(id, WaitingJob { label, submitted_in, closure });
        id
    }

    /// Removes a waiting job. Returns `None` if the job does not wait any longer.
    pub(super) fn remove(&mut self, class: JobClass, id: u64) -> Option<WaitingJob> {
        self.classes[class as usize].waiting.remove(&id)
    }

    /// Removes all waiting jobs.
    pub(super) fn remove_all(&mut self) -> Vec<WaitingJob> {
        let waiting = |class: &mut ClassQueue| mem::take(&mut class.waiting).into_values();
        self.classes.iter_mut().flat_map(waiting).collect()
    }

    /// Adds an idle worker, and returns its number: the lowest that is free.
    pub(super) fn add_worker(&mut self) -> usize {
        let number = (1..).find(|number| !self.workers.contains_key(number)).unwrap_or(0);
        self.workers.insert(number, None);
        number
    }

    /// Removes an idle worker.
    pub(super) fn remove_worker(&mut self, number: usize) {
        let job = self.workers.remove(&number);
        debug_assert!(matches!(job, Some(None)), "worker {number} is removed during a job");
    }

    /// Gives a worker the oldest waiting job of all classes that are below their limits.
    pub(super) fn begin(&mut self, worker: usize) -> Option<Box<dyn JobClosure>> {
        let runnable =
            CLASSES.into_iter().filter(|class| self.classes[*class as usize].runnable() > 0);
        let oldest =
            |class: &JobClass| self.classes[*class as usize].waiting.keys().next().copied();
        let class = runnable.min_by_key(oldest)?;
        let queue = &mut self.classes[class as usize];
        let (_, WaitingJob { label, submitted_in, closure }) = queue.waiting.pop_first()?;
        queue.running += 1;
        let running = RunningJob { class, label, submitted_in, since: Instant::now() };
        self.workers.insert(worker, Some(running));
        Some(closure)
    }

    /// Ends the job of a worker, if it has one.
    pub(super) fn end(&mut self, worker: usize) {
        if let Some(job) = self.workers.get_mut(&worker).and_then(Option::take) {
            self.classes[job.class as usize].running -= 1;
        }
    }

    /// Returns all jobs, those that run first.
    pub(super) fn jobs(&self) -> impl Iterator<Item = ListedJob<'_>> {
        let now = Instant::now();
        let running = self.workers.values().flatten().map(move |job| {
            let running_for = Some(now.saturating_duration_since(job.since));
            ListedJob { label: &job.label, submitted_in: job.submitted_in, running_for }
        });
        let waiting = self.classes.iter().flat_map(|class| class.waiting.values()).map(|job| {
            ListedJob { label: &job.label, submitted_in: job.submitted_in, running_for: None }
        });
        running.chain(waiting)
    }

    /// Returns the jobs that run, the longest-running first.
    pub(super) fn stuck(&self) -> Vec<StuckJob> {
        let now = Instant::now();
        let running = self.workers.iter().filter_map(|(number, job)| Some((number, job.as_ref()?)));
        let mut stuck: Vec<StuckJob> = running
            .map(|(number, job)| {
                StuckJob::new(job.label.clone(), *number, now.saturating_duration_since(job.since))
            })
            .collect();
        stuck.sort_by_key(|job| std::cmp::Reverse(job.running_for()));
        stuck
    }
}
