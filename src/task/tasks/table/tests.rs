//! The table alone, without a loop: what Miri can run.

use std::panic::Location;

use super::{Flags, Table};
use crate::handle::Key;

#[track_caller]
fn insert(table: &mut Table, flags: Flags) -> Key {
    table.insert(None, flags, Location::caller())
}

#[test]
fn a_key_finds_its_task_and_no_other_one() {
    let mut table = Table::new();
    let one = insert(&mut table, Flags::QUEUED);
    let two = insert(&mut table, Flags::MAIN);
    assert_eq!(table.get(one).map(|task| task.slot.flags.contains(Flags::QUEUED)), Some(true));
    assert!(table.remove(one).is_some());
    assert!(table.get(one).is_none() && table.remove(one).is_none());
    let three = insert(&mut table, Flags::QUEUED);
    assert!(three.slot == one.slot && table.get(one).is_none());
    assert_eq!(table.keys(), [three, two]);
    assert!(table.get(Key::NOWHERE).is_none());
}

/// They are a list: the latest one is taken first, and none is lost.
#[test]
fn vacant_slots_are_taken_before_the_table_grows() {
    let mut table = Table::new();
    let keys: Vec<Key> = (0..5).map(|_| insert(&mut table, Flags::QUEUED)).collect();
    for at in [1, 4, 2] {
        table.remove(keys[at]);
    }
    let slots = [2, 4, 1, 5].map(|at| Key::GUEST | at);
    assert_eq!(slots.map(|_| insert(&mut table, Flags::QUEUED).slot), slots);
}

/// P124: a slot whose generations are used up is never given out again.
#[test]
fn a_slot_is_retired_with_its_last_generation() {
    let mut table = Table::new();
    let first = insert(&mut table, Flags::QUEUED);
    table.slots[0].generation = u32::MAX - 1;
    let last = Key { generation: u32::MAX - 1, ..first };
    assert!(table.get(first).is_none() && table.remove(last).is_some());
    let next = insert(&mut table, Flags::QUEUED);
    assert_ne!(next.slot, last.slot);
    assert!(table.get(last).is_none() && table.remove(last).is_none());
    assert_eq!(table.keys(), [next]);
}

#[test]
fn who_waits_is_known_before_and_after_there_are_extras() {
    let mut table = Table::new();
    let (task, waits) = (insert(&mut table, Flags::QUEUED), Key { slot: 7, generation: 7 });
    assert_eq!(table.get(task).map(|mut task| *task.joiner()), Some(Key::NOWHERE));
    *table.get(task).unwrap().joiner() = waits;
    table.get(task).unwrap().extras_or_new().name = Some("named".into());
    assert_eq!(*table.get(task).unwrap().joiner(), waits);
    *table.get(task).unwrap().joiner() = Key::NOWHERE;
    let name = table.get(task).and_then(|mut task| task.extras()?.name.clone());
    assert_eq!(name.as_deref(), Some("named"));
    let removed = table.remove(task).unwrap();
    assert!(removed.extras.is_some());
    let next = insert(&mut table, Flags::QUEUED);
    assert!(table.get(next).unwrap().extras().is_none());
}

#[test]
fn an_output_is_only_taken_where_nothing_else_is_to_be_done() {
    let mut table = Table::new();
    let task = insert(&mut table, Flags::QUEUED);
    assert!(table.take_output(task).is_none() && table.get(task).is_some());
    table.get(task).unwrap().slot.flags.insert(Flags::DONE);
    table.get(task).unwrap().extras_or_new();
    assert!(table.take_output(task).is_none() && table.get(task).is_some());
}

#[test]
fn a_task_knows_its_place_whatever_becomes_of_its_flags() {
    let mut table = Table::new();
    let tasks = [insert(&mut table, Flags::QUEUED), insert(&mut table, Flags::QUEUED)];
    let (first, second) = (table.location(tasks[0]).unwrap(), table.location(tasks[1]).unwrap());
    assert_eq!(first.line(), second.line());
    assert!(first.column() < second.column() && first.file() == file!());
    table.get(tasks[0]).unwrap().slot.flags.insert(Flags::all());
    table.get(tasks[0]).unwrap().slot.flags.remove(Flags::all());
    assert_eq!(table.location(tasks[0]), Some(first));
    let removed = table.remove(tasks[1]).unwrap();
    assert_eq!(table.place_of(&removed), second);
}

#[test]
#[cfg_attr(miri, ignore = "it makes a new place each time that one is asked for")]
fn a_place_has_one_number() {
    let mut table = Table::new();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let near = insert(&mut table, Flags::QUEUED);
        let far = insert(&mut table, Flags::QUEUED);
        lines.extend([near, far].map(|key| table.location(key).unwrap().line()));
    }
    assert!(lines[0] < lines[1]);
    assert_eq!(lines[..2].repeat(3), lines);
    assert_eq!(table.places.number(Location::caller()), 2);
}
