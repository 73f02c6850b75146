//! Operations of a program, and the end of tasks and groups.

use std::collections::BTreeMap;
use std::mem;

use super::{Frame, Group, Step, Twin, Wait};
use crate::models::tasks::{Event, Op};

impl Twin {
    /// Does one step of the innermost frame.
    pub(super) fn step(&mut self, task: usize) -> Step {
        let (op, wait) = match self.tasks[task].stack.last() {
            None => return Step::Waits,
            Some(Frame::Group { number, over }) => {
                return if *over { Step::Waits } else { self.step_group(task, *number) };
            }
            Some(Frame::Run { ops, next, wait }) => (ops.get(*next).cloned(), *wait),
            Some(_) => unreachable!("every other frame has a run frame above it"),
        };
        let done = match wait {
            Wait::Nothing => return self.begin(task, op),
            Wait::Turn => Event::Went,
            Wait::Timer(timer) if self.timers[timer].rang => Event::Went,
            Wait::Task(child) => match self.tasks[child].ending {
                Some(ending) => ending,
                None => return Step::Waits,
            },
            Wait::Promise(promise) if self.promises[promise].is_set => Event::Went,
            Wait::Timer(_) | Wait::Promise(_) | Wait::Nested => return Step::Waits,
        };
        self.done(task, done);
        Step::Went
    }

    /// Completes the current operation of the innermost run.
    pub(super) fn done(&mut self, task: usize, event: Event) {
        if let Some(Frame::Run { next, wait, .. }) = self.tasks[task].stack.last_mut() {
            *next += 1;
            *wait = Wait::Nothing;
        }
        self.note(task, event);
    }

    fn suspend(&mut self, task: usize, on: Wait) -> Step {
        if let Some(Frame::Run { wait, .. }) = self.tasks[task].stack.last_mut() {
            *wait = on;
        }
        Step::Waits
    }

    fn enter_frames(&mut self, task: usize, frames: impl IntoIterator<Item = Frame>) -> Step {
        self.suspend(task, Wait::Nested);
        self.tasks[task].stack.extend(frames);
        Step::Went
    }

    fn begin(&mut self, task: usize, op: Option<Op>) -> Step {
        let Some(op) = op else { return self.leave(task) };
        match op {
            Op::Yield => {
                self.wake(task);
                return self.suspend(task, Wait::Turn);
            }
            Op::Sleep(delay) => {
                let timer = self.arm(task, delay);
                return self.suspend(task, Wait::Timer(timer));
            }
            Op::Join(i) => {
                if let Some(child) = self.child(task, i).and_then(Option::take) {
                    self.tasks[child].joiner = Some(task);
                    self.suspend(task, Wait::Task(child));
                    return if self.tasks[child].ending.is_some() {
                        Step::Went
                    } else {
                        Step::Waits
                    };
                }
            }
            Op::Get(promise) if !mem::replace(&mut self.promises[promise].is_taken, true) => {
                self.promises[promise].waiter = Some(task);
                self.suspend(task, Wait::Promise(promise));
                return if self.promises[promise].is_set { Step::Went } else { Step::Waits };
            }
            Op::Timeout(limit, ops) => {
                let (timer, last_call, due, waker) = (None, false, false, false);
                let timeout = Frame::Timeout { limit, timer, last_call, due, waker };
                return self.enter_frames(task, [timeout, Frame::run(&ops)]);
            }
            Op::Shield(ops) => return self.enter_frames(task, [Frame::Shield, Frame::run(&ops)]),
            Op::Group(programs) => return self.begin_group(task, &programs),
            Op::Fail => return self.fail(task),
            Op::Spawn(program) => {
                let child = self.spawn(&program, None);
                self.tasks[task].children.push(Some(child));
            }
            Op::Cancel(i) => {
                if let Some(Some(child)) = self.child(task, i).copied() {
                    self.cancel(child);
                }
            }
            Op::Set(promise) => {
                if !mem::replace(&mut self.promises[promise].is_set, true)
                    && let Some(waiter) = self.promises[promise].waiter.take()
                {
                    self.wake(waiter);
                }
            }
            Op::Get(_) => {}
        }
        self.done(task, Event::Went);
        Step::Went
    }

    fn child(&mut self, task: usize, i: usize) -> Option<&mut Option<usize>> {
        let children = &mut self.tasks[task].children;
        let count = children.len().max(1);
        children.get_mut(i % count)
    }

    /// Called when the innermost run is complete.
    fn leave(&mut self, task: usize) -> Step {
        self.tasks[task].stack.pop();
        match self.tasks[task].stack.pop() {
            None => {
                self.end(task, Event::Result);
                return Step::Ended;
            }
            Some(Frame::Shield) => self.withdraw(task),
            Some(frame) => self.remove_timer(&frame),
        }
        self.done(task, Event::Went);
        Step::Went
    }

    fn fail(&mut self, task: usize) -> Step {
        while let Some(frame) = self.tasks[task].stack.pop() {
            self.remove_timer(&frame);
            if matches!(frame, Frame::Shield) {
                self.withdraw(task);
            }
        }
        match self.tasks[task].member_of {
            Some(group) => {
                self.tasks[task].is_shell = true;
                self.groups[group].errors += 1;
                self.end_group(group);
                self.note(task, Event::Ended);
                Step::Waits
            }
            None => {
                self.end(task, Event::Failed);
                Step::Ended
            }
        }
    }

    fn remove_timer(&mut self, frame: &Frame) {
        match frame {
            Frame::Timeout { timer: Some(timer), .. }
            | Frame::Run { wait: Wait::Timer(timer), .. } => self.timers[*timer].deadline = None,
            Frame::Run { wait: Wait::Task(child), .. } => self.tasks[*child].joiner = None,
            Frame::Run { wait: Wait::Promise(promise), .. } => {
                self.promises[*promise].waiter = None
            }
            _ => {}
        }
    }

    pub(super) fn drop_frames(&mut self, task: usize, from: usize) {
        for frame in self.tasks[task].stack.split_off(from) {
            self.remove_timer(&frame);
        }
    }

    pub(super) fn drop_task(&mut self, task: usize) {
        self.drop_frames(task, 0);
        self.end(task, Event::Cancelled);
    }

    /// Drops the future of a task and wakes its joiner.
    fn end(&mut self, task: usize, ending: Event) {
        if !self.tasks[task].is_shell {
            self.note(task, Event::Ended);
        }
        if let Some(group) = self.tasks[task].member_of {
            self.groups[group].children.remove(&task);
            if self.groups[group].children.is_empty() {
                self.wake_group(group);
            }
        }
        self.tasks[task].ending = Some(ending);
        if let Some(joiner) = self.tasks[task].joiner.take() {
            self.wake(joiner);
        }
    }

    fn begin_group(&mut self, task: usize, programs: &[Vec<Op>]) -> Step {
        let number = self.groups.len();
        let children = BTreeMap::new();
        self.groups.push(Group { owner: task, children, errors: 0, is_open: true, waker: false });
        for program in programs {
            let child = self.spawn(program, Some(number));
            self.groups[number].children.insert(child, child);
        }
        self.enter_frames(task, [Frame::Group { number, over: false }])
    }

    fn step_group(&mut self, task: usize, number: usize) -> Step {
        if !self.groups[number].children.is_empty() {
            if self.is_outer_due(task) {
                self.end_group(number);
            }
            self.groups[number].waker = true;
            return Step::Waits;
        }
        self.tasks[task].stack.pop();
        let Group { errors, is_open, .. } = self.groups[number];
        if errors == 0 && !is_open {
            self.tasks[task].stack.push(Frame::Group { number, over: true });
            self.withdraw(task);
            return Step::Waits;
        }
        self.withdraw(task);
        self.done(task, Event::Errors(errors));
        Step::Went
    }

    fn end_group(&mut self, number: usize) {
        if mem::take(&mut self.groups[number].is_open) {
            self.wake_group(number);
            for child in self.groups[number].children.clone().into_values() {
                self.cancel(child);
            }
        }
    }

    fn wake_group(&mut self, number: usize) {
        let owner = self.groups[number].owner;
        let frame = self.tasks[owner].stack.len().saturating_sub(1);
        if mem::take(&mut self.groups[number].waker) || self.is_outermost(owner, frame) {
            self.wake(owner);
        }
    }
}
