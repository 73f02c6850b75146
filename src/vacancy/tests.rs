use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{KEPT, LAST_GENERATION, Links, Slot, Vacancies};

/// A generation, and links while it is vacant.
#[derive(Debug)]
struct Place(u32, Option<Links>);

impl Slot for Place {
    fn links(&self) -> Option<Links> {
        self.1
    }

    fn set_next(&mut self, next: u32) {
        self.1.as_mut().expect("it is vacant").next = next;
    }

    fn set_previous(&mut self, previous: u32) {
        self.1.as_mut().expect("it is vacant").previous = previous;
    }

    fn generation(&self) -> u32 {
        self.0
    }
}

#[derive(Debug, Default)]
struct Arena {
    slots: Vec<Place>,
    vacant: Vacancies,
}

impl Arena {
    fn insert(&mut self) -> (u32, u32) {
        match self.vacant.take(&self.slots) {
            Some(at) => {
                self.slots[at as usize].1 = None;
                (at, self.slots[at as usize].0)
            }
            None => {
                let generation = self.vacant.append();
                self.slots.push(Place(generation, None));
                (self.slots.len() as u32 - 1, generation)
            }
        }
    }

    fn remove(&mut self, at: u32) {
        self.slots[at as usize] = Place(self.slots[at as usize].0 + 1, Some(self.vacant.links()));
        self.vacant.add(&mut self.slots, at);
    }

    /// Returns the number of slots on the list. Panics if it is not one in both directions.
    fn listed(&self) -> usize {
        let (mut at, mut before, mut count) = (self.vacant.first, None, 0);
        while let Some(slot) = self.slots.get(at as usize) {
            let links = slot.links().expect("it is vacant");
            assert!(before.is_none_or(|before| links.previous == before));
            (before, at, count) = (Some(at), links.next, count + 1);
        }
        count
    }
}

#[test]
fn t6_an_arena_ends_at_its_last_slot_in_use() {
    let mut arena = Arena::default();
    for _ in 0..100 * KEPT {
        arena.insert();
    }
    (20..100 * KEPT as u32 - 1).for_each(|at| arena.remove(at));
    assert_eq!(arena.slots.len(), 100 * KEPT);
    arena.remove(100 * KEPT as u32 - 1);
    assert_eq!((arena.slots.len(), arena.listed()), (20, 0));
    assert!(arena.slots.capacity() <= 4 * 20);
    assert_eq!(arena.insert(), (20, 1));
}

#[test]
fn t6_generations_are_not_used_up_by_a_slot_that_is_given_back() {
    let mut arena = Arena::default();
    for _ in 0..=KEPT {
        arena.insert();
    }
    arena.slots[KEPT].0 = LAST_GENERATION;
    arena.remove(KEPT as u32);
    assert_eq!((arena.slots.len(), arena.vacant.floor), (KEPT + 1, 0));
    assert_eq!(arena.insert(), (KEPT as u32, LAST_GENERATION + 1));
}

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn t6_no_key_comes_twice_and_no_slot_is_lost(
        steps in vec((0..100_u32, any::<Index>()), 0..300),
    ) {
        let mut arena = Arena::default();
        let (mut taken, mut former) = (Vec::new(), std::collections::HashSet::new());
        for (step, (chance, at)) in steps.into_iter().enumerate() {
            // Waves: it grows, and shrinks again.
            let inserts = chance < if step / 50 % 2 == 0 { 80 } else { 20 };
            if inserts || taken.is_empty() {
                let key = arena.insert();
                prop_assert!(former.insert(key), "{:?} was given out twice", key);
                taken.push(key.0);
            } else {
                arena.remove(taken.swap_remove(at.index(taken.len())));
            }
            let last = taken.iter().max().map_or(0, |last| *last as usize + 1);
            prop_assert!(arena.slots.len() <= last.max(4 * taken.len() + 3).max(KEPT));
            prop_assert_eq!(arena.vacant.taken, taken.len());
            prop_assert_eq!(arena.listed(), arena.slots.len() - taken.len());
        }
    }
}
