//! The callbacks arena: every closure that the loop may call, under a key that never names another.
//!
//! The arena knows neither what it holds (`C`) nor what that waits for (`O`). Whatever it gives
//! away is dropped by the caller, outside of any borrow, because a user's `Drop` may call the loop.
//!
//! # Invariants
//!
//! * A slot is free, or taken with its callback in it, or kept for one that is on its way.
//! * A slot's generation changes when its tenant goes.

use std::panic::Location;

use crate::handle::Key;

#[cfg(test)]
mod tests;

/// A taken slot.
#[derive(Debug)]
pub(crate) struct Tenant<O, C> {
    /// What makes the callback ready.
    pub(crate) source: O,
    pub(crate) location: &'static Location<'static>,
    /// Whether it alone keeps [`run`](crate::EventLoop::run) going.
    pub(crate) background: bool,
    /// Empty while it is on its way.
    pub(crate) callback: Option<C>,
}

/// A cache line, so that an event touches one.
#[derive(Debug)]
#[repr(align(64))]
struct Slot<O, C> {
    generation: u32,
    content: Content<O, C>,
}

#[derive(Debug)]
enum Content<O, C> {
    Free { next: u32 },
    Taken(Tenant<O, C>),
}

const NONE: u32 = u32::MAX;

/// Callbacks by key.
#[derive(Debug)]
pub(crate) struct Callbacks<O, C> {
    slots: Vec<Slot<O, C>>,
    free: u32,
}

impl<O, C> Default for Callbacks<O, C> {
    fn default() -> Callbacks<O, C> {
        Callbacks { slots: Vec::new(), free: NONE }
    }
}

impl<O, C> Callbacks<O, C> {
    /// Takes a callback in, or keeps a slot for one that is put there later.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        source: O,
        location: &'static Location<'static>,
        callback: Option<C>,
    ) -> Key {
        if self.free == NONE {
            self.grow();
        }
        let slot = self.free;
        let place = &mut self.slots[slot as usize];
        if let Content::Free { next } = place.content {
            self.free = next;
        }
        place.content = Content::Taken(Tenant { source, location, background: false, callback });
        Key { slot, generation: place.generation }
    }

    /// Makes a free slot.
    #[cold]
    fn grow(&mut self) {
        let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < Key::SOON);
        let slot = slot.expect("a loop holds fewer than 2^30 callbacks");
        self.slots.push(Slot { generation: 0, content: Content::Free { next: NONE } });
        self.free = slot;
    }

    #[inline]
    pub(crate) fn tenant(&mut self, key: Key) -> Option<&mut Tenant<O, C>> {
        match self.slots.get_mut(key.slot as usize) {
            Some(Slot { generation, content: Content::Taken(tenant) })
                if *generation == key.generation =>
            {
                Some(tenant)
            }
            _ => None,
        }
    }

    /// Puts a callback into the slot that was kept for it. If that is gone it is given back.
    pub(crate) fn put_back(&mut self, key: Key, callback: C) -> Option<C> {
        match self.tenant(key) {
            Some(tenant) if tenant.callback.is_none() => {
                tenant.callback = Some(callback);
                None
            }
            _ => Some(callback),
        }
    }

    /// Ends a tenancy.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Tenant<O, C>> {
        self.tenant(key)?;
        let next = self.free;
        let place = &mut self.slots[key.slot as usize];
        let content = std::mem::replace(&mut place.content, Content::Free { next });
        // A slot whose generations are used up is retired: it is on no list any more.
        if let Some(generation) = place.generation.checked_add(1) {
            place.generation = generation;
            self.free = key.slot;
        }
        match content {
            Content::Taken(tenant) => Some(tenant),
            Content::Free { .. } => None,
        }
    }

    /// The first tenant from slot `from` on, in turn, for which `wanted` holds.
    pub(crate) fn find(
        &self,
        from: u32,
        mut wanted: impl FnMut(Key, &Tenant<O, C>) -> bool,
    ) -> Option<u32> {
        let length = self.slots.len() as u32;
        let start = if from < length { from } else { 0 };
        (start..length).chain(0..start).find(|slot| {
            let Slot { generation, content } = &self.slots[*slot as usize];
            let key = Key { slot: *slot, generation: *generation };
            matches!(content, Content::Taken(tenant) if wanted(key, tenant))
        })
    }

    /// All tenants.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let slots = (0..).zip(&self.slots);
        let taken = slots.filter(|(_, place)| matches!(place.content, Content::Taken(_)));
        taken.map(|(slot, place)| Key { slot, generation: place.generation }).collect()
    }
}
