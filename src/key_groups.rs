//! Sets of keys, in insertion order: handlers by signal, hooks by stage.
//!
//! # Invariant
//!
//! `members` and `places` contain the same keys.

use std::collections::{BTreeMap, HashMap};

use crate::arena;
use crate::handle::Key;
use crate::step_counter::step;

/// Keys of callbacks, each in one group. Adding and removing a key costs O(log n).
#[derive(Debug)]
pub(crate) struct KeyGroups<G> {
    /// Ordered by group, then by the number of the addition.
    members: BTreeMap<(G, u64), Key>,
    places: HashMap<Key, (G, u64)>,
    /// Number of the next addition.
    next: u64,
}

impl<G> Default for KeyGroups<G> {
    fn default() -> KeyGroups<G> {
        KeyGroups { members: BTreeMap::new(), places: HashMap::new(), next: 0 }
    }
}

impl<G: Copy + Ord> KeyGroups<G> {
    /// Adds a key that is in no group yet.
    pub(crate) fn add(&mut self, group: G, key: Key) {
        let place = (group, self.next);
        self.next += 1;
        self.members.insert(place, key);
        self.places.insert(key, place);
    }

    /// Removes a key, if it is in a group.
    pub(crate) fn remove(&mut self, key: Key) {
        step();
        if let Some(place) = self.places.remove(&key) {
            self.members.remove(&place);
            arena::shrink_map(&mut self.places);
        }
    }

    /// Returns the keys of a group, the oldest first.
    pub(crate) fn of(&self, group: G) -> impl Iterator<Item = Key> {
        self.members.range((group, 0)..=(group, u64::MAX)).map(|(_, key)| {
            step();
            *key
        })
    }

    /// Returns true if the group has a key.
    pub(crate) fn has(&self, group: G) -> bool {
        self.of(group).next().is_some()
    }

    /// Returns the number of keys in all groups.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        self.members.clear();
        self.places.clear();
    }
}
