//! Tests of keyed arenas without a loop, so that Miri can run them.

use super::{KeyKind, KeyedArena};
use crate::handle::Key;

#[test]
fn a_key_finds_its_value_only() {
    let mut arena = KeyedArena::new(KeyKind::Waker);
    let (one, two) = (arena.insert("one"), arena.insert("two"));
    assert_eq!(arena.get(one), Some(&mut "one"));
    assert_eq!(arena.remove(one), Some("one"));
    assert!(arena.get(one).is_none() && arena.remove(one).is_none());
    let three = arena.insert("three"); // In the slot of the first one.
    assert!(three.slot == one.slot && arena.get(one).is_none());
    assert_eq!(arena.keys(), [three, two]);
    assert_eq!(arena.get(Key::NONE), None);
}

#[test]
fn a_key_has_the_kind_of_its_arena() {
    for kind in [KeyKind::Task, KeyKind::Waker, KeyKind::Rare, KeyKind::Io] {
        let key = KeyedArena::new(kind).insert(());
        assert!(key.is_task_layer());
        assert_eq!(KeyKind::of(key), kind);
    }
    assert_eq!(KeyKind::of(Key::NONE), KeyKind::Io);
}
