use std::collections::VecDeque;

use mainspring_sys::Readiness;

use super::{KEEP, Ready, ReadyDeque};
use crate::handle::Key;

fn feed(ready: &mut ReadyDeque, slots: impl IntoIterator<Item = u32>) {
    for slot in slots {
        ready.feed(Key { slot, generation: 0 }, Readiness::empty());
    }
}

fn slots(batch: &VecDeque<Ready>) -> Vec<u32> {
    batch.iter().map(|ready| ready.key.slot).collect()
}

#[test]
fn first_in_is_first_out() {
    let mut ready = ReadyDeque::default();
    feed(&mut ready, 0..10);
    ready.feed(Key { slot: 10, generation: 0 }, Readiness::READABLE);
    let batch = ready.take_batch();
    assert_eq!(slots(&batch), (0..=10).collect::<Vec<_>>());
    assert_eq!(batch[10].readiness, Readiness::READABLE);
    assert!(ready.is_empty());
}

#[test]
fn a_batch_is_what_was_there_when_it_began() {
    let mut ready = ReadyDeque::default();
    feed(&mut ready, 0..3);
    let mut batch = ready.take_batch();
    feed(&mut ready, 3..5);
    assert_eq!(slots(&batch), [0, 1, 2]);
    batch.clear();
    ready.end_batch(batch);
    assert_eq!(slots(&ready.take_batch()), [3, 4]);
}

#[test]
fn what_is_left_of_a_batch_comes_first_in_the_next() {
    let mut ready = ReadyDeque::default();
    feed(&mut ready, 0..4);
    let mut batch = ready.take_batch();
    batch.pop_front();
    feed(&mut ready, 10..12);
    ready.end_batch(batch);
    assert_eq!(slots(&ready.take_batch()), [1, 2, 3, 10, 11]);
}

#[test]
#[cfg_attr(miri, ignore = "a burst is too long for an interpreter")]
fn a_burst_gives_its_memory_back_and_a_steady_load_keeps_it() {
    let mut ready = ReadyDeque::default();
    let mut run = |length: usize| {
        feed(&mut ready, std::iter::repeat_n(0, length));
        let mut batch = ready.take_batch();
        batch.clear();
        ready.end_batch(batch);
        ready.handles.capacity() + ready.spare.capacity()
    };
    assert!(run(10 * KEEP) <= 2 * KEEP);
    run(KEEP / 2);
    let steady = run(KEEP / 2);
    assert!(steady <= 2 * KEEP);
    assert_eq!([run(KEEP / 2), run(KEEP / 2), run(1)], [steady; 3]);
}
