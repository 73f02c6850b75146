use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{KEEP, SoonQueue};
use crate::handle::Key;

fn push<C>(soon: &mut SoonQueue<C>, callback: C) -> Key {
    soon.push(callback, Location::caller())
}

fn next<C>(soon: &mut SoonQueue<C>) -> Option<C> {
    soon.next().map(|(callback, _)| callback)
}

fn cancel<C>(soon: &mut SoonQueue<C>, key: Key) -> Option<C> {
    soon.cancel(key).map(|(callback, _)| callback)
}

#[test]
fn numbers_become_keys_and_keys_numbers() {
    for number in [0, 1, u64::from(u32::MAX), 1 << 32, (1 << 62) - 1] {
        let key = Key::soon(number);
        assert_eq!(key.soon_number(), Some(number));
        assert!(key.is_soon() && !key.is_callback() && !key.is_task_layer());
    }
    let arena = Key { slot: Key::SOON_BASE - 1, generation: 7 };
    assert!(arena.is_callback() && arena.soon_number().is_none());
    for slot in [Key::TASK_BASE, u32::MAX] {
        assert_eq!(Key { slot, generation: 0 }.soon_number(), None);
    }
}

#[test]
fn a_cancelled_closure_leaves_an_empty_entry() {
    let mut soon = SoonQueue::default();
    let keys = ["first", "second", "third"].map(|name| push(&mut soon, name));
    assert_eq!(cancel(&mut soon, keys[0]), Some("first"));
    assert_eq!(cancel(&mut soon, keys[0]), None);
    assert!(soon.location(keys[0]).is_none());
    assert!(soon.location(keys[1]).is_some());
    assert_eq!([(); 3].map(|()| next(&mut soon)), [None, Some("second"), Some("third")]);
    assert_eq!(cancel(&mut soon, keys[1]), None, "it has run");
    assert!(soon.location(keys[2]).is_none());
}

#[test]
fn a_queued_closure_is_dropped_once() {
    let count = Rc::new(());
    let mut soon = SoonQueue::default();
    let keys = [(); 4].map(|()| push(&mut soon, count.clone()));
    drop(next(&mut soon));
    drop(cancel(&mut soon, keys[2]));
    assert_eq!(Rc::strong_count(&count), 3);
    drop(soon);
    assert_eq!(Rc::strong_count(&count), 1);
}

#[test]
#[cfg_attr(miri, ignore = "a burst is too long for an interpreter")]
fn a_burst_gives_its_memory_back_and_a_steady_load_keeps_it() {
    let mut soon = SoonQueue::default();
    let mut run = |length: usize| {
        for number in 0..length {
            push(&mut soon, number);
        }
        (0..length).for_each(|number| assert_eq!(next(&mut soon), Some(number)));
        soon.entries.capacity()
    };
    assert_eq!(run(2 * KEEP), 0);
    let steady = run(KEEP / 2);
    assert!(steady >= KEEP / 2);
    assert_eq!([run(KEEP / 2), run(1)], [steady; 2]);
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Next,
    Cancel(Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Push),
        2 => Just(Step::Next),
        2 => any::<Index>().prop_map(Step::Cancel),
    ];
    vec(step, 0..60)
}

proptest! {
    /// Compares with a list of the closures that have not run, cancelled or not.
    #[test]
    fn it_is_a_queue_whose_entries_can_be_emptied(steps in steps()) {
        let (mut soon, mut model) = (SoonQueue::default(), VecDeque::new());
        let mut keys: Vec<Key> = Vec::new();
        for step in steps {
            match step {
                Step::Push => {
                    let number = keys.len();
                    keys.push(push(&mut soon, number));
                    model.push_back(Some(number));
                }
                Step::Next => prop_assert_eq!(next(&mut soon), model.pop_front().flatten()),
                Step::Cancel(_) if keys.is_empty() => {}
                Step::Cancel(index) => {
                    let number = index.index(keys.len());
                    let place = model.iter_mut().find(|place| **place == Some(number));
                    let expected = place.and_then(Option::take);
                    prop_assert_eq!(cancel(&mut soon, keys[number]), expected);
                }
            }
        }
    }
}
