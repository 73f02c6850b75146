use std::panic::Location;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{CallbackSlot, Callbacks};
use crate::arena::free_list::FreeList;
use crate::handle::Key;

fn insert<C>(callbacks: &mut Callbacks<(), C>, callback: C) -> Key {
    callbacks.insert((), Location::caller(), 0, Some(callback))
}

#[test]
fn an_old_key_does_not_find_the_next_callback() {
    let mut callbacks = Callbacks::default();
    let old = insert(&mut callbacks, "old");
    assert!(callbacks.remove(old).is_some());
    let new = insert(&mut callbacks, "new");
    assert_eq!((new.slot, new.generation), (old.slot, old.generation + 1));
    assert!(callbacks.get(old).is_none() && callbacks.remove(old).is_none());
    assert_eq!(callbacks.get(new).unwrap().callback, Some("new"));
}

/// P124: a slot is retired after its last generation. It never begins again with keys that may
/// still be in use.
#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let mut callbacks = Callbacks::default();
    let first = insert(&mut callbacks, 0);
    callbacks.remove(first);
    let links = FreeList::default().links();
    callbacks.slots[0] = CallbackSlot::Free { generation: u32::MAX - 1, links };
    let mut kept = vec![first];
    for generation in [u32::MAX - 1, u32::MAX] {
        let key = insert(&mut callbacks, 1);
        assert_eq!((key.slot, key.generation), (0, generation));
        assert!(kept.iter().all(|old| callbacks.get(*old).is_none()));
        assert!(callbacks.remove(key).is_some());
        kept.push(key);
    }
    for _ in 0..3 {
        let key = insert(&mut callbacks, 2);
        assert_ne!(key.slot, 0, "a retired slot was used");
        kept.iter().for_each(|old| assert!(callbacks.remove(*old).is_none()));
        callbacks.remove(key);
    }
    assert!(matches!(callbacks.slots[0], CallbackSlot::Retired));
    assert_eq!(callbacks.slots.len(), 2);
    assert!(callbacks.keys().is_empty());
}

#[test]
fn a_reserved_slot_is_filled_later() {
    let mut callbacks = Callbacks::default();
    let key = callbacks.insert((), Location::caller(), 0, None);
    callbacks.get(key).unwrap().callback = Some(1);
    assert_eq!(callbacks.remove(key).unwrap().callback, Some(1));
    assert!(callbacks.get(key).is_none());
}

#[test]
fn the_caller_drops_a_removed_callback() {
    let mut callbacks = Callbacks::default();
    let alive = Rc::new(());
    let keys: Vec<Key> = (0..3).map(|_| insert(&mut callbacks, alive.clone())).collect();
    let entry = callbacks.remove(keys[1]);
    assert_eq!(Rc::strong_count(&alive), 4);
    drop(entry);
    assert_eq!(Rc::strong_count(&alive), 3);
    drop(callbacks);
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn find_starts_at_a_slot_and_goes_round() {
    let mut callbacks = Callbacks::default();
    let keys: Vec<Key> = (0..4).map(|i| insert(&mut callbacks, i)).collect();
    callbacks.remove(keys[2]);
    let find = |from, wanted: u32| callbacks.find(from, |key, _| key.slot % wanted == 0);
    assert_eq!([find(0, 1), find(1, 1), find(2, 1), find(9, 1)], [0, 1, 3, 0].map(Some));
    assert_eq!(find(1, 2), Some(0));
    assert_eq!(callbacks.find(0, |_, _| false), None);
    assert_eq!(callbacks.keys(), [keys[0], keys[1], keys[3]]);
}

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn keys_are_never_used_again(
        steps in vec((any::<bool>(), any::<Index>()), 0..100),
    ) {
        let mut callbacks = Callbacks::default();
        let mut names: Vec<(Key, Option<usize>)> = Vec::new();
        for (i, (inserts, at)) in steps.into_iter().enumerate() {
            if inserts || names.is_empty() {
                let key = insert(&mut callbacks, i);
                prop_assert!(names.iter().all(|(other, _)| *other != key));
                names.push((key, Some(i)));
            } else {
                let at = at.index(names.len());
                let (key, value) = &mut names[at];
                let removed = callbacks.remove(*key).and_then(|entry| entry.callback);
                prop_assert_eq!(removed, value.take());
            }
            for (key, value) in &names {
                let found = callbacks.get(*key).and_then(|entry| entry.callback);
                prop_assert_eq!(found, *value);
            }
        }
    }
}
