//! The table of a loop's tasks: a slot of 32 bytes for each, because there may be a million.
//!
//! What few tasks have lies elsewhere: a name, a waker of its own, done-callbacks. Where a task was
//! spawned is one of few places in the program, so a slot has the number of its place. The vacant
//! slots are a list that goes through themselves.
//!
//! # Invariants
//!
//! * A key names one task for ever: a slot whose generations are used up is retired.
//! * A vacant slot has a generation that no key has yet.
//! * Memory is given back after a peak, see [`vacancy`](crate::vacancy).

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::DoneCallback;
use super::places::Places;
use crate::handle::Key;
use crate::task::ending::{CancelReason, TaskEnding};
use crate::task::extent::Extent;
use crate::task::job::Boxed;
use crate::task::slab::{Kind, SLOT, Slab};
use crate::task::waker::TaskWaker;
use crate::vacancy::{self, Links, Vacancies};

#[cfg(all(not(loom), test))]
mod tests;

bitflags::bitflags! {
    /// Where a task is in its life. The bits above these are the number of its place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Flags: u32 {
        /// It has been polled.
        const STARTED = 1;
        /// It is in the ready deque.
        const QUEUED = 1 << 1;
        /// It is being polled, or dropped.
        const RUNNING = 1 << 2;
        const DONE = 1 << 3;
        /// It ended by a panic.
        const PANICKED = 1 << 4;
        /// It ended because it was cancelled.
        const CANCELLED = 1 << 5;
        /// Somebody wants it to end.
        const CANCELLING = 1 << 6;
        /// Nobody will ask for its output.
        const DETACHED = 1 << 7;
        /// It does not keep the loop running.
        const BACKGROUND = 1 << 8;
        /// Its future is with whoever runs the loop.
        const MAIN = 1 << 9;
        /// There is no such task.
        const VACANT = 1 << 10;
    }
}

const PLACE_SHIFT: u32 = 11;

impl Flags {
    pub(super) fn ended(ending: TaskEnding) -> Flags {
        Flags::DONE
            | match ending {
                TaskEnding::Result => Flags::empty(),
                TaskEnding::Panicked => Flags::PANICKED,
                TaskEnding::Cancelled => Flags::CANCELLED,
            }
    }

    #[inline]
    fn at(self, place: u32) -> Flags {
        Flags::from_bits_retain(self.bits() | place << PLACE_SHIFT)
    }

    fn place(self) -> u32 {
        self.bits() >> PLACE_SHIFT
    }
}

/// A task.
pub(super) struct Slot {
    /// The future, or the output; it is out while it is polled.
    pub(super) content: Option<Boxed>,
    /// Who waits for the end. If something of the task lies aside that is named here, and knows who
    /// waits; a vacant slot has its neighbours here.
    link: Key,
    generation: u32,
    pub(super) flags: Flags,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl vacancy::Slot for Slot {
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

/// What most tasks do not have.
struct Aside {
    /// Its own waker, once somebody has kept it.
    waker: Option<Arc<TaskWaker>>,
    joiner: Key,
    extras: Option<Box<Extras>>,
}

/// What few tasks have.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) name: Option<Rc<str>>,
    pub(super) reason: Option<CancelReason>,
    /// It was cancelled while it was polled, and that poll was the last one.
    pub(super) had_last_poll: bool,
    /// What is to be done when it is done.
    pub(super) callbacks: Vec<DoneCallback>,
    /// How many of them have not run.
    pub(super) outstanding: usize,
    /// Whether one has.
    pub(super) seen: bool,
    /// Knows what keeps a cancellation off, once there was something.
    pub(super) extent: Option<Rc<Extent>>,
}

const THERE: &str = "what lies aside lives as long as its task";

/// A task of the table.
pub(super) struct Entry<'a> {
    pub(super) slot: &'a mut Slot,
    aside: &'a mut Slab<Aside>,
}

impl<'a> Entry<'a> {
    #[inline]
    pub(super) fn extras(&mut self) -> Option<&mut Extras> {
        self.aside()?.extras.as_deref_mut()
    }

    pub(super) fn extras_or_new(self) -> &'a mut Extras {
        self.aside_or_new().extras.get_or_insert_default()
    }

    #[inline]
    fn aside(&mut self) -> Option<&mut Aside> {
        if self.has_aside() { self.look_aside() } else { None }
    }

    #[cold]
    fn look_aside(&mut self) -> Option<&mut Aside> {
        self.aside.get(self.slot.link)
    }

    #[inline]
    fn has_aside(&self) -> bool {
        Kind::of(self.slot.link) == Kind::Aside
    }

    fn aside_or_new(self) -> &'a mut Aside {
        if !self.has_aside() {
            let new = Aside { waker: None, joiner: self.slot.link, extras: None };
            self.slot.link = self.aside.insert(new);
        }
        self.aside.get(self.slot.link).expect(THERE)
    }

    /// Its own waker, if it has one.
    #[inline]
    pub(super) fn take_waker(&mut self) -> Option<Arc<TaskWaker>> {
        self.aside()?.waker.take()
    }

    pub(super) fn keep_waker(self, waker: Arc<TaskWaker>) {
        self.aside_or_new().waker = Some(waker);
    }

    /// Whether done-callbacks have not run yet.
    #[inline]
    pub(super) fn outstanding(&mut self) -> bool {
        self.extras().is_some_and(|extras| extras.outstanding > 0)
    }

    /// Whether something keeps a cancellation off.
    pub(super) fn is_guarded(&mut self) -> bool {
        let extent = self.extras().and_then(|extras| extras.extent.as_ref());
        extent.is_some_and(|extent| extent.is_guarded())
    }

    /// Key of the joiner; of a detached task, the number of its judge.
    #[inline]
    pub(super) fn joiner(&mut self) -> &mut Key {
        match self.has_aside() {
            true => &mut self.look_aside().expect(THERE).joiner,
            false => &mut self.slot.link,
        }
    }
}

/// What was in a slot.
pub(super) struct Removed {
    pub(super) content: Option<Boxed>,
    pub(super) extras: Option<Box<Extras>>,
    /// The joiner; of a detached task, the number of its judge.
    pub(super) joiner: Key,
    place: u32,
}

/// The tasks of a loop, by key.
pub(super) struct Table {
    slots: Vec<Slot>,
    vacant: Vacancies,
    aside: Slab<Aside>,
    places: Places,
}

impl Table {
    pub(super) fn new() -> Table {
        let (slots, vacant, places) = Default::default();
        Table { slots, vacant, aside: Slab::new(Kind::Aside), places }
    }

    #[inline]
    pub(super) fn insert(
        &mut self,
        content: Option<Boxed>,
        flags: Flags,
        location: &'static Location<'static>,
    ) -> Key {
        let flags = flags.at(self.places.number(location));
        let Some(at) = self.vacant.take(&self.slots) else { return self.append(content, flags) };
        let slot = &mut self.slots[at as usize];
        slot.content = content;
        slot.link = Key::NOWHERE;
        slot.flags = flags;
        Key { slot: Key::GUEST | at, generation: slot.generation }
    }

    #[inline]
    fn append(&mut self, content: Option<Boxed>, flags: Flags) -> Key {
        let (at, generation) = (self.slots.len(), self.vacant.append());
        assert!(at < SLOT as usize, "a loop holds fewer than 2^29 tasks");
        self.slots.push(Slot { content, link: Key::NOWHERE, generation, flags });
        Key { slot: Key::GUEST | at as u32, generation }
    }

    #[inline]
    pub(super) fn get(&mut self, key: Key) -> Option<Entry<'_>> {
        let slot = self.slots.get_mut((key.slot & SLOT) as usize)?;
        (slot.generation == key.generation).then_some(Entry { slot, aside: &mut self.aside })
    }

    /// The output of a task that is done, with nothing aside: that ends its tenancy.
    #[inline]
    pub(super) fn take_output(&mut self, key: Key) -> Option<Boxed> {
        let entry = self.get(key)?;
        if !entry.slot.flags.contains(Flags::DONE) || entry.has_aside() {
            return None;
        }
        let output = entry.slot.content.take();
        self.vacate(key);
        output
    }

    /// Ends a tenancy.
    pub(super) fn remove(&mut self, key: Key) -> Option<Removed> {
        let entry = self.get(key)?;
        let aside = if entry.has_aside() { entry.aside.remove(entry.slot.link) } else { None };
        let (joiner, extras) = match aside {
            Some(aside) => (aside.joiner, aside.extras),
            None => (entry.slot.link, None),
        };
        let (content, place) = (entry.slot.content.take(), entry.slot.flags.place());
        self.vacate(key);
        Some(Removed { content, extras, joiner, place })
    }

    #[inline]
    fn vacate(&mut self, key: Key) {
        let at = key.slot & SLOT;
        let slot = &mut self.slots[at as usize];
        slot.flags = Flags::VACANT;
        slot.generation += 1;
        if slot.generation < u32::MAX {
            slot.link.slot = self.vacant.links().next;
            self.vacant.add(&mut self.slots, at);
        }
    }

    /// The place where something was spawned that was removed.
    pub(super) fn place_of(&self, removed: &Removed) -> &'static Location<'static> {
        self.places.of(removed.place)
    }

    /// Where a task was spawned.
    pub(super) fn location(&mut self, key: Key) -> Option<&'static Location<'static>> {
        let place = self.get(key)?.slot.flags.place();
        Some(self.places.of(place))
    }

    /// The keys of all tasks.
    pub(super) fn keys(&self) -> Vec<Key> {
        let taken = (0..).zip(&self.slots).filter(|(_, slot)| !slot.flags.contains(Flags::VACANT));
        let key =
            |(at, slot): (u32, &Slot)| Key { slot: Key::GUEST | at, generation: slot.generation };
        taken.map(key).collect()
    }
}
