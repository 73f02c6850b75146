//! Tests of the table without a loop, so that Miri can run them.

use std::panic::Location;

use super::{Flags, Table};
use crate::handle::Key;

#[track_caller]
fn insert(table: &mut Table, flags: Flags) -> Key {
    table.insert(None, flags, Location::caller())
}

#[test]
fn a_key_finds_its_task_only() {
    let mut table = Table::new();
    let one = insert(&mut table, Flags::QUEUED);
    let two = insert(&mut table, Flags::MAIN);
    assert_eq!(table.get(one).map(|task| task.slot.flags.contains(Flags::QUEUED)), Some(true));
    assert!(table.remove(one).is_some());
    assert!(table.get(one).is_none() && table.remove(one).is_none());
    let three = insert(&mut table, Flags::QUEUED);
    assert!(three.slot == one.slot && table.get(one).is_none());
    assert_eq!(table.keys(), [three, two]);
    assert!(table.get(Key::NONE).is_none());
}

/// The slot that was freed last is used first, and no slot is lost.
#[test]
fn free_slots_are_used_before_the_table_grows() {
    let mut table = Table::new();
    let keys: Vec<Key> = (0..5).map(|_| insert(&mut table, Flags::QUEUED)).collect();
    for at in [1, 4, 2] {
        table.remove(keys[at]);
    }
    let slots = [2, 4, 1, 5].map(|at| Key::TASK_BASE | at);
    assert_eq!(slots.map(|_| insert(&mut table, Flags::QUEUED).slot), slots);
}

/// P124: a slot is not reused after its last generation.
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
fn the_joiner_moves_into_the_rare_state() {
    let mut table = Table::new();
    let (task, joiner) = (insert(&mut table, Flags::QUEUED), Key { slot: 7, generation: 7 });
    assert_eq!(table.get(task).map(|mut task| *task.joiner()), Some(Key::NONE));
    *table.get(task).unwrap().joiner() = joiner;
    table.get(task).unwrap().details_or_new().name = Some("named".into());
    assert_eq!(*table.get(task).unwrap().joiner(), joiner);
    *table.get(task).unwrap().joiner() = Key::NONE;
    let name = table.get(task).and_then(|mut task| task.details()?.name.clone());
    assert_eq!(name.as_deref(), Some("named"));
    let removed = table.remove(task).unwrap();
    assert!(removed.details.is_some());
    let next = insert(&mut table, Flags::QUEUED);
    assert!(table.get(next).unwrap().details().is_none());
}

#[test]
fn the_short_way_takes_an_output_only_without_rare_state() {
    let mut table = Table::new();
    let task = insert(&mut table, Flags::QUEUED);
    assert!(table.take_output(task).is_none() && table.get(task).is_some());
    table.get(task).unwrap().slot.flags.insert(Flags::DONE);
    table.get(task).unwrap().details_or_new();
    assert!(table.take_output(task).is_none() && table.get(task).is_some());
}

#[test]
fn flags_do_not_change_the_spawn_site() {
    let mut table = Table::new();
    let tasks = [insert(&mut table, Flags::QUEUED), insert(&mut table, Flags::QUEUED)];
    let (first, second) = (table.location(tasks[0]).unwrap(), table.location(tasks[1]).unwrap());
    assert_eq!(first.line(), second.line());
    assert!(first.column() < second.column() && first.file() == file!());
    table.get(tasks[0]).unwrap().slot.flags.insert(Flags::all());
    table.get(tasks[0]).unwrap().slot.flags.remove(Flags::all());
    assert_eq!(table.location(tasks[0]), Some(first));
    let removed = table.remove(tasks[1]).unwrap();
    assert_eq!(table.site_of(&removed), second);
}

#[test]
#[cfg_attr(miri, ignore = "Miri makes a new constant for each use of Location::caller")]
fn a_spawn_site_has_one_number() {
    let mut table = Table::new();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let near = insert(&mut table, Flags::QUEUED);
        let far = insert(&mut table, Flags::QUEUED);
        lines.extend([near, far].map(|key| table.location(key).unwrap().line()));
    }
    assert!(lines[0] < lines[1]);
    assert_eq!(lines[..2].repeat(3), lines);
    assert_eq!(table.sites.number(Location::caller()), 2);
}
