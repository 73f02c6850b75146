//! The lines where tasks wait, their ages, and their numbers of runs, while the loop records them.
//!
//! They are separate from the task table, so that tasks of a loop that does not record are not
//! larger.

use std::collections::HashMap;
use std::panic::Location;

use super::Tasks;
use super::state::Flags;
use crate::awaits::{Await, Turn, is_library};
use crate::handle::Key;
use crate::snapshot::{Entry, EntryState};
use crate::task::keyed_arena::{KeyKind, SLOT};

/// The history of one task, in 48 bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Trace {
    /// Generation of the task's slot. A different one means that the trace belongs to an earlier
    /// task.
    generation: u32,
    /// Number of turns.
    runs: u32,
    /// The tick that spawned the task.
    spawned: u64,
    /// The tick of the last turn.
    last_run: u64,
    /// The first future that was pending in it.
    first: Option<Await>,
}

const _: () = assert!(size_of::<Trace>() == 48);

/// The histories of all tasks, by slot.
#[derive(Debug, Default)]
pub(super) struct Traces {
    traces: Vec<Trace>,
    /// All futures of tasks that wait for several.
    several: HashMap<u32, Box<[Await]>>,
}

/// Number of unused traces that are kept.
const KEPT: usize = 1024;

impl Traces {
    fn begin(&mut self, key: Key, tick: u64, slots: usize) {
        let at = (key.slot & SLOT) as usize;
        if self.traces.len() > 2 * slots.max(at + 1) + KEPT {
            self.traces.truncate(slots.max(at + 1));
            self.traces.shrink_to_fit();
        }
        if self.traces.len() <= at {
            self.traces.resize(at + 1, Trace::default());
        }
        self.several.remove(&key.slot);
        let (generation, spawned, last_run) = (key.generation, tick, tick);
        self.traces[at] = Trace { generation, runs: 0, spawned, last_run, first: None };
    }

    fn get(&mut self, key: Key) -> Option<&mut Trace> {
        let trace = self.traces.get_mut((key.slot & SLOT) as usize)?;
        (trace.generation == key.generation).then_some(trace)
    }

    fn end_turn(&mut self, key: Key, tick: u64, awaits: &[Await]) {
        let Some(trace) = self.get(key) else { return };
        trace.runs = trace.runs.saturating_add(1);
        trace.last_run = tick;
        trace.first = awaits.first().copied();
        match awaits.len() {
            0 | 1 if self.several.is_empty() => {}
            0 | 1 => drop(self.several.remove(&key.slot)),
            _ => drop(self.several.insert(key.slot, awaits.into())),
        }
    }

    /// Adds the history of the task `key` to its entry.
    pub(super) fn describe(&mut self, key: Key, tick: u64, entry: &mut Entry) {
        let Some(trace) = self.get(key).copied() else { return };
        entry.age = Some(tick.saturating_sub(trace.spawned));
        entry.runs = Some(trace.runs.into());
        let waits = matches!(entry.state, EntryState::Waiting | EntryState::Pending);
        if !waits || trace.runs == 0 {
            return;
        }
        let details = entry.details_mut();
        details.waiting_since = Some(trace.last_run);
        details.awaits = match self.several.get(&key.slot) {
            Some(several) => several.to_vec(),
            None => trace.first.into_iter().collect(),
        };
    }
}

impl Tasks {
    /// Begins the history of a task.
    #[cold]
    pub(super) fn begin_trace(&self, key: Key) {
        let slots = self.slots.borrow().count();
        self.traces.borrow_mut().begin(key, self.core.tick(), slots);
    }

    /// Returns true if `key` is that of a task that waits, except the main task, which its run
    /// polls.
    pub(super) fn is_traced(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let untraced = Flags::MAIN | Flags::DONE;
        KeyKind::of(key) == KeyKind::Task
            && slots.get(key).is_some_and(|task| !task.slot.flags.intersects(untraced))
    }

    /// Calls `run`, which returns true if it has polled the task `key`, and records the lines where
    /// the task then waits.
    #[cold]
    pub(super) fn traced(&self, key: Key, run: impl FnOnce() -> bool) -> bool {
        let turn = Turn::begin();
        let ran = run();
        if ran {
            turn.end(|awaits| self.end_turn(key, awaits));
        }
        ran
    }

    /// Keeps the lines where the main task `key` waits after its turn.
    #[cold]
    pub(super) fn end_main_turn(&self, key: Key, turn: Turn) {
        turn.end(|awaits| self.end_turn(key, awaits));
    }

    fn end_turn(&self, key: Key, awaits: &[Await]) {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return };
        if task.slot.flags.contains(Flags::DONE) {
            self.traces.borrow_mut().end_turn(key, self.core.tick(), &[]);
            return;
        }
        // A future that is boxed, or that is the whole task, is polled by a library.
        let spawned_at = slots.location(key);
        let mut traces = self.traces.borrow_mut();
        match awaits {
            [] => traces.end_turn(key, self.core.tick(), &[]),
            [only] => traces.end_turn(key, self.core.tick(), &[at_user_line(*only, spawned_at)]),
            _ => {
                let awaits = awaits.iter().map(|awaited| at_user_line(*awaited, spawned_at));
                traces.end_turn(key, self.core.tick(), &awaits.collect::<Vec<_>>());
            }
        }
    }
}

/// Replaces a line of a library by the line that spawned the task.
fn at_user_line(found: Await, spawned_at: Option<&'static Location<'static>>) -> Await {
    match spawned_at {
        Some(location) if is_library(found.location) => Await { location, ..found },
        _ => found,
    }
}
