//! Naive reference implementation of tasks: a stack of frames for each task, a queue of polls, and
//! a list of timers.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use crate::models::tasks::{Event, Op};

mod steps;

/// Reason why a task waits in the middle of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wait {
    Nothing,
    Turn,
    Timer(usize),
    Task(usize),
    Promise(usize),
    /// For the frame above this one.
    Nested,
}

#[derive(Debug)]
enum Frame {
    Run { ops: Vec<Op>, next: usize, wait: Wait },
    Timeout { limit: u64, timer: Option<usize>, last_call: bool, due: bool, waker: bool },
    Shield,
    Group { number: usize, over: bool },
}

impl Frame {
    fn run(ops: &[Op]) -> Frame {
        Frame::Run { ops: ops.to_vec(), next: 0, wait: Wait::Nothing }
    }

    fn is_guard(&self) -> bool {
        matches!(self, Frame::Shield | Frame::Group { over: false, .. })
    }

    fn is_due(&self) -> bool {
        matches!(self, Frame::Timeout { due: true, .. })
    }
}

#[derive(Debug, Default)]
struct Task {
    stack: Vec<Frame>,
    is_queued: bool,
    is_cancelled: bool,
    has_begun: bool,
    /// Cancelled during its own poll, which was the last one.
    had_last_poll: bool,
    /// Failed; waits for the poll that ends it.
    is_shell: bool,
    ending: Option<Event>,
    joiner: Option<usize>,
    children: Vec<Option<usize>>,
    member_of: Option<usize>,
}

#[derive(Debug)]
struct Group {
    owner: usize,
    children: BTreeMap<usize, usize>,
    errors: usize,
    is_open: bool,
    waker: bool,
}

#[derive(Debug)]
struct Timer {
    /// `None` if the timer has run or was removed.
    deadline: Option<u64>,
    task: usize,
    rang: bool,
}

#[derive(Debug, Clone, Default)]
struct Promise {
    is_set: bool,
    is_taken: bool,
    waiter: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Twin {
    now: u64,
    queue: VecDeque<usize>,
    tasks: Vec<Task>,
    groups: Vec<Group>,
    promises: Vec<Promise>,
    timers: Vec<Timer>,
    trace: Vec<(u64, usize, Event)>,
    /// Task that is being polled.
    running: Option<usize>,
}

/// Result of a step.
enum Step {
    Went,
    Waits,
    Ended,
}

impl Twin {
    /// Runs the program and returns its trace.
    pub fn run(program: &[Op], promises: usize) -> Vec<(u64, usize, Event)> {
        let mut twin = Twin { promises: vec![Promise::default(); promises], ..Twin::default() };
        twin.spawn(program, None);
        loop {
            let next = twin.timers.iter().filter_map(|timer| timer.deadline).min();
            match next {
                Some(next) if twin.queue.is_empty() => twin.now = twin.now.max(next),
                None if twin.queue.is_empty() => return twin.trace,
                _ => {}
            }
            twin.supply_timers();
            for task in mem::take(&mut twin.queue) {
                twin.turn(task);
            }
        }
    }

    fn supply_timers(&mut self) {
        let due = |timer: &Timer| timer.deadline.is_some_and(|at| at <= self.now);
        let mut fed: Vec<usize> =
            (0..self.timers.len()).filter(|i| due(&self.timers[*i])).collect();
        fed.sort_by_key(|i| (self.timers[*i].deadline, *i));
        for timer in fed {
            self.timers[timer].deadline = None;
            self.timers[timer].rang = true;
            self.wake(self.timers[timer].task);
        }
    }

    fn spawn(&mut self, program: &[Op], member_of: Option<usize>) -> usize {
        self.tasks.push(Task { stack: vec![Frame::run(program)], member_of, ..Task::default() });
        self.wake(self.tasks.len() - 1);
        self.tasks.len() - 1
    }

    fn wake(&mut self, task: usize) {
        let it = &mut self.tasks[task];
        if it.ending.is_none() && !mem::replace(&mut it.is_queued, true) {
            self.queue.push_back(task);
        }
    }

    fn note(&mut self, task: usize, event: Event) {
        self.trace.push((self.now, task, event));
    }

    fn arm(&mut self, task: usize, delay: u64) -> usize {
        self.timers.push(Timer { deadline: Some(self.now + delay), task, rang: false });
        self.timers.len() - 1
    }

    fn cancel(&mut self, task: usize) {
        if self.tasks[task].ending.is_none()
            && !mem::replace(&mut self.tasks[task].is_cancelled, true)
        {
            self.tasks[task].had_last_poll = self.running == Some(task);
            self.wake(task);
        }
    }

    fn is_guarded(&self, task: usize, above: usize) -> bool {
        self.tasks[task].stack.iter().skip(above).any(Frame::is_guard)
    }

    fn turn(&mut self, task: usize) {
        self.tasks[task].is_queued = false;
        if self.tasks[task].ending.is_some() {
            return;
        }
        let Task { is_cancelled, has_begun, had_last_poll, .. } = self.tasks[task];
        if is_cancelled && (!has_begun || had_last_poll && !self.is_guarded(task, 0)) {
            return self.drop_task(task);
        }
        self.tasks[task].has_begun = true;
        self.running = Some(task);
        self.poll(task);
        self.running = None;
        if is_cancelled && self.tasks[task].ending.is_none() && !self.is_guarded(task, 0) {
            self.drop_task(task);
        }
    }

    fn poll(&mut self, task: usize) {
        self.begin_polls(task);
        loop {
            match self.step(task) {
                Step::Went => {}
                Step::Waits if self.end_polls(task) => {}
                Step::Waits | Step::Ended => return,
            }
        }
    }

    /// Marks timeouts that have had their last poll as due, and wakes the innermost group.
    fn begin_polls(&mut self, task: usize) {
        let mut wants = false;
        for frame in &mut self.tasks[task].stack {
            if let Frame::Timeout { last_call: true, due, .. } = frame {
                wants |= !mem::replace(due, true);
            }
        }
        if let Some(Frame::Group { number, over: false }) = self.tasks[task].stack.last()
            && wants
            && mem::take(&mut self.groups[*number].waker)
        {
            self.wake(task);
        }
    }

    /// Called when the task waits. Returns true if a timeout ended that wait, so that the task
    /// continues.
    fn end_polls(&mut self, task: usize) -> bool {
        for i in (0..self.tasks[task].stack.len()).rev() {
            let ends = self.tasks[task].stack[i].is_due() && self.ends(task, i);
            let now_due = self.tasks[task].stack[i].is_due();
            let Frame::Timeout { limit, timer, last_call, waker, .. } =
                &mut self.tasks[task].stack[i]
            else {
                continue;
            };
            let (limit, timer) = (*limit, *timer);
            if ends {
                self.drop_frames(task, i);
                self.done(task, Event::TimedOut);
                return true;
            }
            match timer {
                _ if now_due || *last_call => *waker = true,
                Some(timer) if self.timers[timer].rang => {
                    *last_call = true;
                    self.wake(task);
                }
                Some(_) => {}
                None => {
                    let armed = self.arm(task, limit);
                    let Frame::Timeout { timer, .. } = &mut self.tasks[task].stack[i] else {
                        continue;
                    };
                    *timer = Some(armed);
                }
            }
        }
        false
    }

    /// Returns true if no guard inside `frame` holds it back and nothing around it ends first.
    fn ends(&self, task: usize, frame: usize) -> bool {
        let ends = |i: usize| !self.is_guarded(task, i + 1);
        let due = |i: &usize| self.tasks[task].stack[*i].is_due();
        let outer = (0..frame).filter(due).any(ends);
        let root = self.tasks[task].is_cancelled && !self.is_guarded(task, 0);
        ends(frame) && !outer && !root
    }

    fn is_outer_due(&self, task: usize) -> bool {
        for frame in self.tasks[task].stack.iter().rev().skip(1) {
            match frame {
                Frame::Shield => return false,
                frame if frame.is_due() => return true,
                _ => {}
            }
        }
        self.tasks[task].is_cancelled
    }

    /// A guard was removed: wakes what waited for that.
    fn withdraw(&mut self, task: usize) {
        for i in (0..self.tasks[task].stack.len()).rev() {
            if !self.tasks[task].stack[i].is_due() || self.is_guarded(task, i + 1) {
                continue;
            }
            let outermost = self.is_outermost(task, i);
            let Frame::Timeout { waker, .. } = &mut self.tasks[task].stack[i] else { continue };
            if mem::take(waker) || outermost {
                self.wake(task);
            }
        }
        if self.tasks[task].is_cancelled && !self.is_guarded(task, 0) {
            self.wake(task);
        }
    }

    fn is_outermost(&self, task: usize, frame: usize) -> bool {
        self.tasks[task].stack[..frame].iter().all(|frame| matches!(frame, Frame::Run { .. }))
    }
}
