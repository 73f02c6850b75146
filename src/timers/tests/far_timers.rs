//! The set of far timers, compared with a `BTreeSet`.

use std::collections::BTreeSet;

use super::noise;
use crate::timers::far_timers::FarTimers;

#[test]
fn drain_returns_each_slot_once() {
    let mut random = noise();
    let (mut far, mut model) = (FarTimers::default(), BTreeSet::new());
    for span in [50, 64, 65, 4096, 4097, 300_000] {
        for _ in 0..2_000 {
            let slot = (random() % span) as u32;
            assert_eq!(far.contains(slot), model.contains(&slot));
            if model.insert(slot) {
                far.insert(slot);
            } else {
                model.remove(&slot);
                far.remove(slot);
            }
            assert_eq!(far.len(), model.len());
        }
        let mut taken = Vec::new();
        far.drain(|slot| taken.push(slot));
        assert!(taken.into_iter().eq(std::mem::take(&mut model)));
        assert!(far.is_empty());
        far.shrink_to(0);
    }
}

#[test]
fn drain_after_removals_and_a_shrink_returns_nothing() {
    let mut far = FarTimers::default();
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
