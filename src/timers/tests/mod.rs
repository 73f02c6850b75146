//! Behaviour of the timers by example; `model` compares them with a simple model.

use super::queue::STEPS;
use super::{NEVER, Timers};
use crate::arena::free_list::KEPT;
use crate::handle::Key;

mod far_timers;
mod model;

fn key(slot: u32) -> Key {
    Key { slot, generation: 7 }
}

fn feed(timers: &mut Timers, now: u64) -> Vec<u32> {
    let mut due = Vec::new();
    timers.feed(now, |key, _| due.push(key.slot));
    due
}

/// Returns a generator of pseudo-random numbers, always the same (xorshift).
fn noise() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn equal_deadlines_are_due_in_order_of_registration() {
    let mut timers = Timers::default();
    let slots: Vec<_> = (0..5000).map(|i| timers.insert(100, key(i))).collect();
    timers.reset(slots[0], 100);
    timers.reset(slots[1], 900);
    timers.reset(slots[1], 100);
    timers.reset(slots[2], 50);
    timers.reset(slots[2], 100);
    timers.disarm(slots[3]);
    timers.reset(slots[3], 100);
    let expected: Vec<u32> = (4..5000).chain(0..4).collect();
    assert_eq!(feed(&mut timers, 100), expected);
}

#[test]
fn a_timer_pushed_back_to_the_deadline_of_another_is_due_after_it() {
    let mut timers = Timers::default();
    let early = timers.insert(10, key(0));
    timers.insert(20, key(1));
    timers.reset(early, 20);
    timers.insert(20, key(2));
    assert_eq!(feed(&mut timers, 20), [1, 0, 2]);
}

#[test]
fn order_is_kept_when_sequence_numbers_restart() {
    let mut timers = Timers { sequence: u32::MAX - 50, ..Timers::default() };
    let slots: Vec<_> = (0..100).map(|i| timers.insert(100, key(i))).collect();
    timers.insert(NEVER, key(100));
    timers.sequence = u32::MAX;
    timers.reset(slots[0], 100);
    timers.verify();
    assert!(timers.sequence < 200, "the sequence numbers were not restarted");
    assert_eq!(feed(&mut timers, NEVER), (1..100).chain([0]).collect::<Vec<u32>>());
}

#[test]
fn no_timer_is_due_a_nanosecond_early() {
    let mut timers = Timers::default();
    let slot = timers.insert(1_000, key(0));
    assert_eq!(feed(&mut timers, 999), []);
    timers.reset(slot, 2_000);
    assert_eq!(feed(&mut timers, 1_999), []);
    assert_eq!(timers.next_deadline(), Some(2_000));
    assert_eq!(feed(&mut timers, 2_000), [0]);
}

#[test]
fn zero_and_past_deadlines_are_due_once() {
    let mut timers = Timers::default();
    assert_eq!(feed(&mut timers, 1_000), []);
    let slots =
        [0, 999, 1_000, 1_001].map(|deadline| timers.insert(deadline, key(deadline as u32)));
    assert_eq!(timers.next_deadline(), Some(0));
    assert_eq!(feed(&mut timers, 1_000), [0, 999, 1_000]);
    assert_eq!(feed(&mut timers, 1_000), []);
    // A zero timeout that re-arms itself is fed by the next feed only.
    assert!(timers.take_fed(slots[0]));
    timers.reset(slots[0], 0);
    assert_eq!(feed(&mut timers, 1_001), [0, 1_001]);
}

#[test]
fn never_is_accepted_and_never_due() {
    let mut timers = Timers::default();
    let slot = timers.insert(NEVER, key(0));
    assert_eq!(timers.deadline(slot), Some(NEVER));
    assert_eq!(timers.next_deadline(), None);
    assert_eq!(feed(&mut timers, NEVER), []);
    timers.reset(slot, 10);
    timers.reset(slot, NEVER);
    assert_eq!(timers.next_deadline(), None);
    timers.reset(slot, NEVER - 1);
    assert_eq!(timers.next_deadline(), Some(NEVER - 1));
    assert_eq!(feed(&mut timers, NEVER - 2), []);
    assert_eq!(feed(&mut timers, NEVER - 1), [0]);
}

#[test]
fn a_fed_timer_can_be_reset_and_disarmed() {
    let mut timers = Timers::default();
    let slots = [0, 1, 2].map(|i| timers.insert(5, key(i)));
    assert_eq!(feed(&mut timers, 5), [0, 1, 2]);
    timers.reset(slots[0], 7);
    timers.disarm(slots[1]);
    assert_eq!(slots.map(|slot| timers.take_fed(slot)), [false, false, true]);
    assert_eq!(slots.map(|slot| timers.take_fed(slot)), [false; 3]);
    assert_eq!(slots.map(|slot| timers.deadline(slot)), [Some(7), None, None]);
}

#[test]
fn a_later_deadline_does_not_change_the_queue() {
    let mut timers = Timers::default();
    let slots = [0, 1, 2].map(|i| timers.insert(10, key(i)));
    assert_eq!(timers.next_deadline(), Some(10));
    for deadline in 10..1_000 {
        timers.reset(slots[1], deadline);
        assert_eq!(timers.queue.len(), 3);
    }
    assert_eq!(timers.next_deadline(), Some(10));
}

#[test]
fn a_timer_beyond_the_horizon_is_not_queued() {
    let mut timers = Timers::default();
    timers.insert(10, key(0));
    assert_eq!(timers.next_deadline(), Some(10));
    let slots = [10, 11, 500].map(|deadline| timers.insert(deadline, key(deadline as u32)));
    for slot in slots {
        timers.reset(slot, 20);
        timers.reset(slot, 15);
        timers.disarm(slot);
        timers.reset(slot, 10);
    }
    timers.remove(slots[2]);
    assert_eq!(timers.queue.len(), 1);
    timers.verify();
    assert_eq!(feed(&mut timers, 10), [0, 10, 11]);
}

#[test]
fn the_horizon_moves_when_the_queue_is_empty() {
    let mut timers = Timers::default();
    for deadline in [10, 30] {
        timers.insert(deadline, key(deadline as u32));
    }
    assert_eq!(feed(&mut timers, 10), [10]);
    timers.insert(20, key(20)); // Before the horizon, so it is queued.
    timers.insert(40, key(40));
    assert_eq!(timers.queue.len(), 2);
    assert_eq!(feed(&mut timers, 30), [20, 30]);
    assert_eq!(timers.queue.len(), 1);
    assert_eq!(timers.next_deadline(), Some(40));
}

#[test]
fn memory_is_proportional_to_the_live_timers() {
    let mut random = noise();
    let mut timers = Timers::default();
    let lasting: Vec<_> = (0..1000).map(|i| timers.insert(random() >> 1, key(i))).collect();
    let mut window = std::collections::VecDeque::new();
    for i in 0..1_000_000 {
        window.push_back(timers.insert(random() >> 1, key(i)));
        if window.len() > 100 {
            timers.remove(window.pop_front().expect("more than 100 timers"));
        }
        // An earlier deadline, so that each reset leaves a stale entry.
        let slot = lasting[i as usize % lasting.len()];
        timers.reset(slot, timers.deadline(slot).expect("the timer is armed") - 1);
    }
    timers.verify();
    let (slots, entries) = timers.capacity();
    assert!(slots <= 4_096, "{slots} slots for 1,100 timers");
    assert!(entries <= 16_384, "{entries} entries for 1,100 timers");
}

#[test]
fn memory_does_not_grow_with_past_timers() {
    let mut timers = Timers::default();
    let slots: Vec<_> = (0..200).map(|i| timers.insert(i, key(i as u32))).collect();
    for now in 0..100_000 {
        for i in feed(&mut timers, now) {
            timers.reset(slots[i as usize], now + 200);
        }
    }
    timers.verify();
    assert!(timers.capacity().1 <= 1_024);
}

#[test]
fn a_long_run_is_cut_before_an_insertion() {
    let mut timers = Timers::default();
    for i in 0..1_000 {
        timers.insert(i, key(0));
    }
    assert_eq!(timers.next_deadline(), Some(0));
    assert_eq!(timers.queue.run_len(), 1_000);
    timers.insert(998, key(0));
    assert!(timers.queue.run_len() < 50);
    timers.verify();
}

#[test]
fn stale_entries_are_swept_after_a_reset_to_never() {
    let mut timers = Timers::default();
    let late = [0; 20].map(|_| timers.insert(1_000, key(0)));
    let soon = [0; 20].map(|_| timers.insert(10, key(0)));
    for slot in &late[5..] {
        timers.remove(*slot);
    }
    for slot in soon {
        timers.reset(slot, NEVER);
    }
    assert_eq!(timers.next_deadline(), Some(1_000));
    timers.verify();
}

#[test]
fn t6_memory_is_given_back() {
    let mut timers = Timers::default();
    let slots: Vec<_> = (0..1_000_000).map(|i| timers.insert(i, key(0))).collect();
    for slot in &slots[1..] {
        timers.remove(*slot);
    }
    timers.verify();
    let (for_slots, for_entries) = timers.capacity();
    assert!(for_slots <= 4 * KEPT && for_entries <= 1_024);
    timers.remove(slots[0]);
    assert!(timers.capacity().0 <= 4 * KEPT && timers.len == 0);
}

#[test]
fn cancelling_and_pushing_back_all_timers_is_not_quadratic() {
    const N: u32 = 100_000;
    let patterns: [fn(u64) -> u64; 4] = [|_| 1 << 40, |i| i, |i| (1 << 40) - i, |i| 1 << (i % 63)];
    for pattern in patterns {
        STEPS.set(0);
        let mut timers = Timers::default();
        let mut insert = |i: u32| {
            let slot = timers.insert(pattern(i.into()), key(i));
            assert!(timers.next_deadline().is_some());
            slot
        };
        let slots: Vec<_> = (0..N).map(&mut insert).collect();
        timers.verify();
        for slot in &slots {
            let deadline = timers.deadline(*slot).expect("the timer is armed");
            timers.reset(*slot, deadline + 1);
            assert!(timers.next_deadline().is_some());
        }
        for slot in slots {
            timers.remove(slot);
            timers.next_deadline();
        }
        assert!(timers.len == 0);
        // Three calls for each timer, each at most a binary search: log2(N) is 17.
        let steps = STEPS.get() / N as usize;
        assert!(steps <= 3 * 17 * 2, "{steps} steps per timer");
    }
}
