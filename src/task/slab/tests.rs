//! The slab alone, without a loop: what Miri can run.

use super::{Entry, Kind, Slab};
use crate::handle::Key;

#[test]
fn a_key_finds_its_tenant_and_nobody_else() {
    let mut slab = Slab::new(Kind::Waker);
    let (one, two) = (slab.insert("one"), slab.insert("two"));
    assert_eq!(slab.get(one), Some(&mut "one"));
    assert_eq!(slab.remove(one), Some("one"));
    assert!(slab.get(one).is_none() && slab.remove(one).is_none());
    let three = slab.insert("three"); // In the slot of the first.
    assert!(three.slot == one.slot && slab.get(one).is_none());
    assert_eq!(slab.keys(), [three, two]);
    assert_eq!(slab.get(Key::NOWHERE), None);
}

#[test]
fn a_key_knows_its_kind() {
    for kind in [Kind::Task, Kind::Waker, Kind::Aside, Kind::Io] {
        let key = Slab::new(kind).insert(());
        assert!(key.is_guest());
        assert_eq!(Kind::of(key), kind);
    }
    assert_eq!(Kind::of(Key::NOWHERE), Kind::Io);
}

/// P124: a slot whose generations are used up is never given out again.
#[test]
fn a_slot_is_retired_with_its_last_generation() {
    let mut slab = Slab::new(Kind::Waker);
    let first = slab.insert("first");
    slab.entries[0] = Entry::Taken { generation: u32::MAX, tenant: "first" };
    let last = Key { generation: u32::MAX, ..first };
    assert!(slab.get(first).is_none());
    assert_eq!(slab.remove(last), Some("first"));
    let next = slab.insert("next");
    assert_ne!(next.slot, last.slot);
    assert!(slab.get(last).is_none() && slab.remove(last).is_none());
    assert_eq!(slab.keys(), [next]);
}
