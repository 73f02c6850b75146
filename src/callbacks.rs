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
    generation: u32,
}

#[derive(Debug)]
enum Slot<O, C> {
    /// What its next tenant's generation is, and which slot is the next free one.
    Free {
        generation: u32,
        next: u32,
    },
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
        self.insert_with(location, callback, |_| source)
    }

    /// The same for a source that is made for the key.
    #[inline]
    pub(crate) fn insert_with(
        &mut self,
        location: &'static Location<'static>,
        callback: Option<C>,
        source: impl FnOnce(Key) -> O,
    ) -> Key {
        let slot = self.free;
        if slot == NONE {
            let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < Key::SOON);
            let slot = slot.expect("a loop holds fewer than 2^30 callbacks");
            let source = source(Key { slot, generation: 0 });
            let tenant = Tenant { source, location, background: false, callback, generation: 0 };
            self.slots.push(Slot::Taken(tenant));
            return Key { slot, generation: 0 };
        }
        let place = &mut self.slots[slot as usize];
        let Slot::Free { generation, next } = *place else {
            unreachable!("a taken slot is listed as free")
        };
        self.free = next;
        let source = source(Key { slot, generation });
        *place = Slot::Taken(Tenant { source, location, background: false, callback, generation });
        Key { slot, generation }
    }

    #[inline]
    pub(crate) fn tenant(&mut self, key: Key) -> Option<&mut Tenant<O, C>> {
        match self.slots.get_mut(key.slot as usize) {
            Some(Slot::Taken(tenant)) if tenant.generation == key.generation => Some(tenant),
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
        // A slot whose generations are used up is retired: it is on no list any more.
        let next = match key.generation.checked_add(1) {
            Some(generation) => {
                let next = std::mem::replace(&mut self.free, key.slot);
                Slot::Free { generation, next }
            }
            None => Slot::Free { generation: u32::MAX, next: NONE },
        };
        match std::mem::replace(&mut self.slots[key.slot as usize], next) {
            Slot::Taken(tenant) => Some(tenant),
            Slot::Free { .. } => None,
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
        (start..length).chain(0..start).find(|slot| match &self.slots[*slot as usize] {
            Slot::Taken(tenant) => {
                wanted(Key { slot: *slot, generation: tenant.generation }, tenant)
            }
            Slot::Free { .. } => false,
        })
    }

    /// All tenants.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(slot, place): (u32, &Slot<O, C>)| match place {
            Slot::Taken(Tenant { generation, .. }) => Some(Key { slot, generation: *generation }),
            Slot::Free { .. } => None,
        };
        (0..).zip(&self.slots).filter_map(key).collect()
    }
}
