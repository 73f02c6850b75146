use mainspring_sys::Readiness;

use super::{KEEP, ReadyDeque};
use crate::handle::Key;

fn feed(ready: &mut ReadyDeque, slots: impl IntoIterator<Item = u32>) {
    for slot in slots {
        ready.feed(Key { slot, generation: 0 }, Readiness::empty());
    }
}

fn batch_of(ready: &mut ReadyDeque) -> ReadyDeque {
    let mut batch = ReadyDeque::default();
    ready.take_batch(&mut batch);
    batch
}

fn slots(mut batch: ReadyDeque) -> Vec<u32> {
    std::iter::from_fn(|| batch.pop()).map(|ready| ready.key.slot).collect()
}

#[test]
fn entries_are_popped_in_the_order_of_feeding() {
    let mut ready = ReadyDeque::default();
    feed(&mut ready, 0..10);
    ready.feed(Key { slot: 10, generation: 0 }, Readiness::READABLE);
    let batch = batch_of(&mut ready);
    assert!(ready.is_empty());
    assert_eq!(batch.len(), 11);
    assert_eq!(batch.entries[10].readiness, Readiness::READABLE);
    assert_eq!(slots(batch), (0..=10).collect::<Vec<_>>());
}

#[test]
fn a_batch_is_fixed_when_it_begins() {
    let mut ready = ReadyDeque::default();
    feed(&mut ready, 0..3);
    let batch = batch_of(&mut ready);
    feed(&mut ready, 3..5);
    assert_eq!(slots(batch), [0, 1, 2]);
    assert_eq!(slots(ready), [3, 4]);
}

#[test]
fn the_rest_of_a_batch_comes_first_in_the_next() {
    let mut ready = ReadyDeque::default();
    feed(&mut ready, 0..4);
    let mut batch = batch_of(&mut ready);
    batch.pop();
    feed(&mut ready, 10..12);
    ready.put_back(&mut batch);
    assert!(batch.is_empty());
    assert_eq!(slots(ready), [1, 2, 3, 10, 11]);
}

#[test]
#[cfg_attr(miri, ignore = "a burst is too long for an interpreter")]
fn a_burst_gives_its_memory_back_and_a_steady_load_keeps_it() {
    let (mut ready, mut batch) = (ReadyDeque::default(), ReadyDeque::default());
    let mut run = |length: usize| {
        feed(&mut ready, std::iter::repeat_n(0, length));
        ready.take_batch(&mut batch);
        while batch.pop().is_some() {}
        ready.entries.capacity() + batch.entries.capacity()
    };
    run(10 * KEEP);
    run(1);
    assert!(run(1) <= 2 * KEEP);
    run(KEEP / 2);
    let steady = run(KEEP / 2);
    assert!(steady <= 2 * KEEP);
    assert_eq!([run(KEEP / 2), run(KEEP / 2), run(1)], [steady; 3]);
}
