//! Tests of the slab without a loop, so that Miri can run them.

use super::{KeyKind, Slab};
use crate::handle::Key;

#[test]
fn a_key_finds_its_value_only() {
    let mut slab = Slab::new(KeyKind::Waker);
    let (one, two) = (slab.insert("one"), slab.insert("two"));
    assert_eq!(slab.get(one), Some(&mut "one"));
    assert_eq!(slab.remove(one), Some("one"));
    assert!(slab.get(one).is_none() && slab.remove(one).is_none());
    let three = slab.insert("three"); // In the slot of the first one.
    assert!(three.slot == one.slot && slab.get(one).is_none());
    assert_eq!(slab.keys(), [three, two]);
    assert_eq!(slab.get(Key::NONE), None);
}

#[test]
fn a_key_has_the_kind_of_its_slab() {
    for kind in [KeyKind::Task, KeyKind::Waker, KeyKind::Rare, KeyKind::Io] {
        let key = Slab::new(kind).insert(());
        assert!(key.is_task_layer());
        assert_eq!(KeyKind::of(key), kind);
    }
    assert_eq!(KeyKind::of(Key::NONE), KeyKind::Io);
}
