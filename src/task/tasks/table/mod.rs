//! The table of a loop's tasks: 32 bytes for each task, because there may be a million.
//!
//! State that few tasks have is stored elsewhere, as [`RareState`]: a waker, a name,
//! done-callbacks. The line that spawned a task is one of few in the program, so a slot has its
//! number only. Free slots form a list through the slots.
//!
//! The small slot is worth its code: spawning, running and joining a million tasks takes 0.95 to
//! 0.98 of monoio's time. With 48 bytes and a separate list of free slots it was 1.15.
//!
//! # Invariants
//!
//! * A key is never reused for a second task: a slot is retired after its last generation.
//! * A free slot has a generation that no key has yet.
//! * Memory is given back after a peak, see [`free_list`](crate::arena::free_list).

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::spawn_sites::SpawnSites;
use super::state::Flags;
use crate::arena::free_list::{self, FreeList, Links};
use crate::event_loop::task_port::TaskOrigin;
use crate::handle::Key;
use crate::task::any_task::BoxedTask;
use crate::task::cancel_region::Region;
use crate::task::keyed_arena::{KeyKind, KeyedArena, SLOT};
use crate::task::outcome::CancelReason;
use crate::task::waker::TaskWaker;

#[cfg(all(not(loom), test))]
mod tests;

/// A done-callback, and the line that added it.
pub(in crate::task) type DoneCallback = (Box<dyn FnOnce()>, &'static Location<'static>);

/// A task, or a free slot.
pub(super) struct TaskSlot {
    /// The future, or the output of a task that is done; `None` during a poll.
    pub(super) content: Option<BoxedTask>,
    /// Key of the joiner; or of the task's [`RareState`], which then holds the joiner; or, in a
    /// free slot, its neighbours in the list of free slots.
    link: Key,
    generation: u32,
    pub(super) flags: Flags,
}

const _: () = assert!(size_of::<TaskSlot>() == 32);

impl free_list::Slot for TaskSlot {
    #[inline]
    fn links(&self) -> Option<Links> {
        let is_listed = self.flags.contains(Flags::VACANT) && self.generation < u32::MAX;
        is_listed.then_some(Links { next: self.link.slot, previous: self.link.generation })
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        self.link.slot = next;
    }

    #[inline]
    fn set_previous(&mut self, previous: u32) {
        self.link.generation = previous;
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }
}

/// State that most tasks do not have, in 40 bytes of an arena.
struct RareState {
    /// The task's own waker, after a poll that kept a clone.
    waker: Option<Arc<TaskWaker>>,
    joiner: Key,
    details: Option<Box<Details>>,
}

/// State that very few tasks have. It is boxed, so that a task with only a waker stays small.
#[derive(Default)]
pub(super) struct Details {
    pub(super) name: Option<Rc<str>>,
    /// Reason of the cancellation, if one was requested.
    pub(super) reason: Option<CancelReason>,
    /// True if the task was cancelled during a poll: that poll was its last one.
    pub(super) had_last_poll: bool,
    /// True if the key is in the ready deque because of the cancellation.
    pub(super) is_queued_to_end: bool,
    /// Done-callbacks to queue when the task is done.
    pub(super) callbacks: Vec<DoneCallback>,
    /// Number of done-callbacks that have not run.
    pub(super) outstanding: usize,
    /// True if a done-callback has seen the output.
    pub(super) seen: bool,
    /// The region of the whole task, if a guard has needed it.
    pub(super) region: Option<Rc<Region>>,
}

const HAS_RARE_STATE: &str = "rare state lives as long as its task";

/// Access to a task of the table.
pub(super) struct TaskEntry<'a> {
    pub(super) slot: &'a mut TaskSlot,
    rare: &'a mut KeyedArena<RareState>,
}

impl<'a> TaskEntry<'a> {
    #[inline]
    pub(super) fn details(&mut self) -> Option<&mut Details> {
        self.rare()?.details.as_deref_mut()
    }

    pub(super) fn details_or_new(self) -> &'a mut Details {
        self.rare_or_new().details.get_or_insert_default()
    }

    #[inline]
    fn rare(&mut self) -> Option<&mut RareState> {
        if self.has_rare() { self.find_rare() } else { None }
    }

    #[cold]
    fn find_rare(&mut self) -> Option<&mut RareState> {
        self.rare.get(self.slot.link)
    }

    #[inline]
    fn has_rare(&self) -> bool {
        KeyKind::of(self.slot.link) == KeyKind::Rare
    }

    fn rare_or_new(self) -> &'a mut RareState {
        if !self.has_rare() {
            let new = RareState { waker: None, joiner: self.slot.link, details: None };
            self.slot.link = self.rare.insert(new);
        }
        self.rare.get(self.slot.link).expect(HAS_RARE_STATE)
    }

    /// Takes the task's own waker, if it has one.
    #[inline]
    pub(super) fn take_waker(&mut self) -> Option<Arc<TaskWaker>> {
        self.rare()?.waker.take()
    }

    pub(super) fn keep_waker(self, waker: Arc<TaskWaker>) {
        self.rare_or_new().waker = Some(waker);
    }

    /// Returns true if done-callbacks have not run yet.
    #[inline]
    pub(super) fn has_callbacks(&mut self) -> bool {
        self.details().is_some_and(|details| details.outstanding > 0)
    }

    /// Returns true if a guard inside the task delays its cancellation.
    pub(super) fn is_guarded(&mut self) -> bool {
        let region = self.details().and_then(|details| details.region.as_ref());
        region.is_some_and(|region| region.is_guarded())
    }

    /// Returns true if the key is in the ready deque because of a cancellation.
    #[cold]
    pub(super) fn is_queued_to_end(&mut self) -> bool {
        self.details().is_some_and(|details| details.is_queued_to_end)
    }

    /// Returns the key of the joiner; for a detached task, the number of its failure function.
    #[inline]
    pub(super) fn joiner(&mut self) -> &mut Key {
        match self.has_rare() {
            true => &mut self.find_rare().expect(HAS_RARE_STATE).joiner,
            false => &mut self.slot.link,
        }
    }
}

/// The parts of a task that has left the table.
pub(super) struct RemovedTask {
    pub(super) content: Option<BoxedTask>,
    pub(super) details: Option<Box<Details>>,
    /// Key of the joiner; for a detached task, the number of its failure function.
    pub(super) joiner: Key,
    /// Number of the spawn site.
    site: u32,
}

/// The tasks of a loop, by key.
pub(super) struct Table {
    slots: Vec<TaskSlot>,
    vacant: FreeList,
    rare: KeyedArena<RareState>,
    sites: SpawnSites,
}

impl Table {
    /// Returns the number of tasks, including those that are done but not joined.
    pub(super) fn count(&self) -> usize {
        self.vacant.taken()
    }

    pub(super) fn new() -> Table {
        let (slots, vacant, sites) = Default::default();
        Table { slots, vacant, rare: KeyedArena::new(KeyKind::Rare), sites }
    }

    #[inline]
    pub(super) fn insert(
        &mut self,
        content: Option<BoxedTask>,
        flags: Flags,
        location: &'static Location<'static>,
    ) -> Key {
        // The flags may be changed in any way: the bits of the spawn site are above them.
        let flags = flags.with_site(self.sites.number(location));
        let Some(at) = self.vacant.take(&self.slots) else { return self.append(content, flags) };
        let slot = &mut self.slots[at as usize];
        slot.content = content;
        slot.link = Key::NONE;
        slot.flags = flags;
        Key { slot: Key::TASK_BASE | at, generation: slot.generation }
    }

    #[inline]
    fn append(&mut self, content: Option<BoxedTask>, flags: Flags) -> Key {
        let (at, generation) = (self.slots.len(), self.vacant.append());
        assert!(at < SLOT as usize, "a loop can hold fewer than 2^29 tasks");
        self.slots.push(TaskSlot { content, link: Key::NONE, generation, flags });
        Key { slot: Key::TASK_BASE | at as u32, generation }
    }

    #[inline]
    pub(super) fn get(&mut self, key: Key) -> Option<TaskEntry<'_>> {
        let slot = self.slots.get_mut((key.slot & SLOT) as usize)?;
        (slot.generation == key.generation).then_some(TaskEntry { slot, rare: &mut self.rare })
    }

    /// Takes the output of a task that is done and has no rare state, and removes the task.
    #[inline]
    pub(super) fn take_output(&mut self, key: Key) -> Option<BoxedTask> {
        let entry = self.get(key)?;
        if !entry.slot.flags.contains(Flags::DONE) || entry.has_rare() {
            return None;
        }
        let output = entry.slot.content.take();
        self.vacate(key);
        output
    }

    /// Removes a task. The caller drops its parts when the table is no longer borrowed.
    pub(super) fn remove(&mut self, key: Key) -> Option<RemovedTask> {
        let entry = self.get(key)?;
        let rare = if entry.has_rare() { entry.rare.remove(entry.slot.link) } else { None };
        let (joiner, details) = match rare {
            Some(rare) => (rare.joiner, rare.details),
            None => (entry.slot.link, None),
        };
        let (content, site) = (entry.slot.content.take(), entry.slot.flags.site());
        self.vacate(key);
        Some(RemovedTask { content, details, joiner, site })
    }

    #[inline]
    fn vacate(&mut self, key: Key) {
        let at = key.slot & SLOT;
        let slot = &mut self.slots[at as usize];
        slot.flags = Flags::VACANT;
        slot.generation += 1;
        // The last generation is not used: the slot is retired, and never enters the list.
        if slot.generation < u32::MAX {
            slot.link.slot = self.vacant.links().next;
            self.vacant.add(&mut self.slots, at);
        }
    }

    /// Returns the line that spawned a task that was removed.
    pub(super) fn site_of(&self, removed: &RemovedTask) -> &'static Location<'static> {
        self.sites.get(removed.site)
    }

    /// Returns the line that spawned a task.
    pub(super) fn location(&mut self, key: Key) -> Option<&'static Location<'static>> {
        let site = self.get(key)?.slot.flags.site();
        Some(self.sites.get(site))
    }

    /// Returns the line that spawned a task; `None` if the task has a name.
    #[inline]
    pub(super) fn spawn_line(&mut self, key: Key) -> Option<&'static Location<'static>> {
        let mut entry = self.get(key)?;
        if entry.details().is_some_and(|details| details.name.is_some()) {
            return None;
        }
        let site = entry.slot.flags.site();
        Some(self.sites.get(site))
    }

    /// Returns the line that spawned a task, and its name.
    #[inline]
    pub(super) fn origin(&mut self, key: Key) -> Option<TaskOrigin> {
        let mut entry = self.get(key)?;
        let name = entry.details().and_then(|details| details.name.clone());
        let site = entry.slot.flags.site();
        Some((key, self.sites.get(site), name))
    }

    /// Returns true if a task's own waker meets the condition.
    pub(super) fn any_waker(&self, condition: impl Fn(&Arc<TaskWaker>) -> bool) -> bool {
        self.rare.find(0, |rare| rare.waker.as_ref().is_some_and(&condition)).is_some()
    }

    /// Passes each line that has spawned tasks of the table, with their number, to `sink`.
    pub(super) fn count_by_site(&self, mut sink: impl FnMut(&'static Location<'static>, usize)) {
        let mut counts = vec![0; self.sites.count()];
        for slot in self.slots.iter().filter(|slot| !slot.flags.contains(Flags::VACANT)) {
            counts[slot.flags.site() as usize] += 1;
        }
        for (site, count) in (0..).zip(counts).filter(|(_, count)| *count > 0) {
            sink(self.sites.get(site), count);
        }
    }

    /// Returns the keys of all tasks.
    pub(super) fn keys(&self) -> Vec<Key> {
        let taken = (0..).zip(&self.slots).filter(|(_, slot)| !slot.flags.contains(Flags::VACANT));
        let key = |(at, slot): (u32, &TaskSlot)| Key {
            slot: Key::TASK_BASE | at,
            generation: slot.generation,
        };
        taken.map(key).collect()
    }

    /// Checks every slot: its flags and its content are a legal combination.
    #[cfg(all(not(loom), test))]
    pub(super) fn verify(&self) {
        for (at, slot) in self.slots.iter().enumerate() {
            if let Err(state) = slot.flags.verify(slot.content.is_some()) {
                panic!("slot {at} is in a state that is not in the table of states: {state}");
            }
        }
    }
}
