//! The set of far timers beside one that is kept in order.

use std::collections::BTreeSet;

use super::noise;
use crate::timers::far_timers::Far;

#[test]
fn all_that_is_in_the_set_is_taken_out_once() {
    let mut random = noise();
    let (mut far, mut twin) = (Far::default(), BTreeSet::new());
    for span in [50, 64, 65, 4096, 4097, 300_000] {
        for _ in 0..2_000 {
            let slot = (random() % span) as u32;
            assert_eq!(far.contains(slot), twin.contains(&slot));
            if twin.insert(slot) {
                far.insert(slot);
            } else {
                twin.remove(&slot);
                far.remove(slot);
            }
            assert_eq!(far.len(), twin.len());
        }
        let mut taken = Vec::new();
        far.drain(|slot| taken.push(slot));
        assert!(taken.into_iter().eq(std::mem::take(&mut twin)));
        assert!(far.is_empty());
        far.shrink_to(0);
    }
}

#[test]
fn what_was_taken_out_one_by_one_is_not_looked_for_where_memory_was_given_back() {
    let mut far = Far::default();
    for slot in 0..1000 {
        far.insert(slot);
    }
    for slot in 0..1000 {
        far.remove(slot);
    }
    far.shrink_to(0);
    far.drain(|slot| unreachable!("{slot} is not in the set"));
    far.insert(999);
    let mut taken = Vec::new();
    far.drain(|slot| taken.push(slot));
    assert_eq!(taken, [999]);
}
