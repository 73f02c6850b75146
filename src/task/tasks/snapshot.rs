//! The tasks in a snapshot: their states, their waits, and the regions inside them.

use std::collections::HashMap;

use mainspring_sys::file_type::FileType;

use super::Tasks;
use super::state::Flags;
use crate::clock::{Timebase, Times, time_left};
use crate::handle::{Handle, Key};
use crate::snapshot::{Entry, EntryKind, EntryState, Places, Wait};
use crate::task::cancel_region::live_regions;
use crate::task::keyed_arena::KeyKind;

/// Indices of the entries of tasks.
type Indices = HashMap<Key, usize>;

impl Tasks {
    /// Adds the tasks, the regions inside them, and their descriptors to `entries`.
    pub(super) fn list_all(&self, times: Times, entries: &mut Vec<Entry>) {
        let tasks = self.list_tasks(entries);
        self.list_sleeps(times, &tasks, entries);
        self.list_descriptors(&tasks, entries);
        self.list_joins(&tasks, entries);
        let index_of = |task: Handle| tasks.get(&task.key).copied();
        live_regions(self.loop_id(), self.core.tick(), index_of, entries);
    }

    pub(super) fn count_places(&self, places: &mut Places) {
        self.slots.borrow().count_by_site(|location, count| {
            places.add(EntryKind::Task, location, count);
        });
    }

    fn list_tasks(&self, entries: &mut Vec<Entry>) -> Indices {
        let mut slots = self.slots.borrow_mut();
        let keys = slots.keys();
        let mut indices = HashMap::with_capacity(keys.len());
        entries.reserve(keys.len());
        for key in keys {
            let location = slots.location(key);
            let Some(mut task) = slots.get(key) else { continue };
            let flags = task.slot.flags;
            let mut entry = Entry::new(EntryKind::Task, self.entry_state(key, flags));
            entry.is_foreground = !flags.contains(Flags::BACKGROUND);
            entry.keeps_alive = !flags.intersects(Flags::BACKGROUND | Flags::DONE);
            (entry.handle, entry.location) = (Some(self.handle(key)), location);
            entry.name = task.details().and_then(|details| details.name.as_deref().map(Box::from));
            self.traces.borrow_mut().describe(key, self.core.tick(), &mut entry);
            indices.insert(key, entries.len());
            entries.push(entry);
        }
        indices
    }

    fn entry_state(&self, key: Key, flags: Flags) -> EntryState {
        match () {
            () if flags.contains(Flags::DONE) => EntryState::Done,
            () if flags.contains(Flags::RUNNING) => EntryState::Running,
            // The main task has no flag for its polls.
            () if self.polling.get().key == key => EntryState::Running,
            () if flags.contains(Flags::QUEUED) => EntryState::Pending,
            () if flags.contains(Flags::MAIN) && self.main_due.get() => EntryState::Pending,
            () => EntryState::Waiting,
        }
    }

    fn list_sleeps(&self, times: Times, tasks: &Indices, entries: &mut [Entry]) {
        let mut add = |now, (key, deadline)| {
            if let Some(index) = tasks.get(&key) {
                let wait = Wait::Time(time_left(now, deadline));
                entries[*index].details_mut().waits.push(wait);
            }
        };
        self.core.timers.borrow().armed_timers().for_each(|timer| add(times.now, timer));
        for timebase in Timebase::ALL {
            let now = times.of(timebase);
            self.core.timebases.for_each_armed(timebase, |timer| add(now, timer));
        }
    }

    /// Adds the descriptors, and the waits of their waiters.
    fn list_descriptors(&self, tasks: &Indices, entries: &mut Vec<Entry>) {
        let watchers = self.core.watchers.borrow();
        let mut ios = self.ios.borrow_mut();
        for key in ios.keys() {
            let Some(slot) = ios.get(key) else { continue };
            let Some(fd) = slot.watcher.and_then(|watcher| watchers.fd_of(watcher, key)) else {
                continue;
            };
            let mut state = EntryState::Paused;
            for waiter in slot.waiters() {
                state = EntryState::Waiting;
                if let Some(index) = tasks.get(&waiter.key) {
                    let wait = Wait::Descriptor { fd, interest: waiter.interest };
                    entries[*index].details_mut().waits.push(wait);
                }
            }
            let mut entry = Entry::new(EntryKind::Descriptor, state);
            let details = entry.details_mut();
            (details.fd, details.file) = (Some(fd), FileType::of(fd));
            details.interest = Some(slot.wanted());
            details.add_addresses();
            entry.location = slot.location;
            entry.age = Some(slot.registered_at.age(self.core.tick()).into());
            entries.push(entry);
        }
    }

    /// Adds the waits of tasks that join other tasks.
    fn list_joins(&self, tasks: &Indices, entries: &mut [Entry]) {
        let mut slots = self.slots.borrow_mut();
        for key in tasks.keys() {
            let Some(mut task) = slots.get(*key) else { continue };
            let is_joined = !task.slot.flags.intersects(Flags::DONE | Flags::DETACHED);
            let joiner = *task.joiner();
            if is_joined
                && KeyKind::of(joiner) == KeyKind::Task
                && let Some(index) = tasks.get(&joiner)
            {
                entries[*index].details_mut().waits.push(Wait::Task(self.handle(*key)));
            }
        }
    }
}
