use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::free_list::{KEPT, LAST_GENERATION, Slot as _};
use super::{Arena, Entry, Slot};

/// An entry that has nothing but its generation.
#[derive(Debug, PartialEq)]
struct TestEntry(u32);

impl Entry for TestEntry {
    const LIMIT: usize = 1 << 20;

    fn generation(&self) -> u32 {
        self.0
    }
}

type TestArena = Arena<TestEntry>;

fn insert(arena: &mut TestArena) -> (u32, u32) {
    arena.insert(|_, generation| TestEntry(generation))
}

/// Returns the number of slots on the free list. Panics if the two directions of the list differ.
fn listed(arena: &TestArena) -> usize {
    let (mut index, mut before, mut count) = (arena.free.first(), None, 0);
    while let Some(slot) = arena.slots.get(index as usize) {
        let links = slot.links().expect("the slot is free");
        assert!(before.is_none_or(|before| links.previous == before));
        (before, index, count) = (Some(index), links.next, count + 1);
    }
    count
}

#[test]
fn an_old_key_does_not_find_the_next_entry_of_its_slot() {
    let mut arena = TestArena::default();
    let old = insert(&mut arena);
    assert_eq!(arena.remove(old.0, old.1), Some(TestEntry(0)));
    assert_eq!(insert(&mut arena), (old.0, old.1 + 1));
    assert!(arena.get(old.0, old.1).is_none() && arena.remove(old.0, old.1).is_none());
    assert!(arena.get_mut(old.0, old.1 + 1).is_some());
}

/// P124: a slot is retired after its last generation. It never begins again with keys that may
/// still be in use.
#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let mut arena = TestArena::default();
    let first = insert(&mut arena);
    arena.remove(first.0, first.1);
    let links = arena.slots[0].links().expect("the slot is free");
    arena.slots[0] = Slot::Free { generation: u32::MAX - 1, links };
    let mut kept = vec![first];
    for generation in [u32::MAX - 1, u32::MAX] {
        let key = insert(&mut arena);
        assert_eq!(key, (0, generation));
        assert!(kept.iter().all(|old| arena.get(old.0, old.1).is_none()));
        assert!(arena.remove(key.0, key.1).is_some());
        kept.push(key);
    }
    for _ in 0..3 {
        let key = insert(&mut arena);
        assert_ne!(key.0, 0, "a retired slot was used");
        assert!(kept.iter().all(|old| arena.remove(old.0, old.1).is_none()));
        arena.remove(key.0, key.1);
    }
    assert!(matches!(arena.slots[0], Slot::Retired));
    assert_eq!((arena.slots.len(), arena.iter().count()), (2, 0));
}

#[test]
fn t6_an_arena_shrinks_to_its_last_slot_in_use() {
    let mut arena = TestArena::default();
    for _ in 0..100 * KEPT {
        insert(&mut arena);
    }
    for index in 20..100 * KEPT as u32 - 1 {
        arena.remove(index, 0);
    }
    assert_eq!(arena.slots.len(), 100 * KEPT);
    arena.remove(100 * KEPT as u32 - 1, 0);
    assert_eq!((arena.slots.len(), listed(&arena)), (20, 0));
    assert!(arena.slots.capacity() <= 4 * 20);
    assert_eq!(insert(&mut arena), (20, 1));
}

#[test]
fn t6_a_slot_with_few_generations_left_is_not_given_back() {
    let mut arena = TestArena::default();
    for _ in 0..=KEPT {
        insert(&mut arena);
    }
    arena.slots[KEPT] = Slot::Used(TestEntry(LAST_GENERATION));
    arena.remove(KEPT as u32, LAST_GENERATION);
    assert_eq!((arena.slots.len(), arena.free.floor()), (KEPT + 1, 0));
    assert_eq!(insert(&mut arena), (KEPT as u32, LAST_GENERATION + 1));
}

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn t6_keys_are_unique_and_no_slot_is_lost(
        steps in vec((0..100_u32, any::<Index>()), 0..300),
    ) {
        let mut arena = TestArena::default();
        let (mut used, mut former) = (Vec::new(), std::collections::HashSet::new());
        for (step, (chance, at)) in steps.into_iter().enumerate() {
            // The arena grows for 50 steps, and shrinks for 50.
            let inserts = chance < if step / 50 % 2 == 0 { 80 } else { 20 };
            if inserts || used.is_empty() {
                let key = insert(&mut arena);
                prop_assert!(former.insert(key), "the key {:?} was used twice", key);
                used.push(key);
            } else {
                let (index, generation) = used.swap_remove(at.index(used.len()));
                prop_assert!(arena.remove(index, generation).is_some());
            }
            let last = used.iter().map(|key| key.0).max().map_or(0, |last| last as usize + 1);
            prop_assert!(arena.slots.len() <= last.max(4 * used.len() + 3).max(KEPT));
            prop_assert_eq!(arena.iter().count(), used.len());
            prop_assert_eq!(listed(&arena), arena.slots.len() - used.len());
        }
    }
}
