//! Tapes of records that a run does not produce at will.

use std::panic::Location;
use std::time::Duration;

use super::layout::{self, Reason, Record, TIME_BITS};
use super::reading::{Tape, last_turn_at, times, turns};
use super::recorder::Recorder;
use super::recording::{Recording, Start};
use super::turn::{Cause, Turn, TurnKind};
use super::turn_id::TurnId;

const MS: u64 = 1_000_000;

fn record(kind: TurnKind, time: u64, cause: Reason) -> Record {
    Record { time, place: 0, key: 0, kind, cause }
}

/// Returns the turns of records, the first of which has this number.
fn read(records: &[Record], first: u64) -> Vec<Turn> {
    turns(records, &times(records, 0), &[], first)
}

/// A selector that slept has returned as soon as the event came. One that returned at once has been
/// called after the event, at any time since the call before.
#[test]
fn e1_an_event_is_due_when_the_selector_returned_from_a_sleep() {
    let due = |slept: u64| {
        let records = [
            record(TurnKind::Sleep, 0, Reason::LOOP),
            record(TurnKind::Loop, MS, Reason::LOOP),
            record(TurnKind::Sleep, 5 * MS, Reason::LOOP),
            record(TurnKind::Loop, 5 * MS + slept, Reason::LOOP),
            record(TurnKind::Watcher, 9 * MS, Reason::fd(Some(3))),
        ];
        read(&records, 0)[4].due.unwrap()
    };
    assert_eq!(due(50_000), Duration::from_nanos(MS));
    assert_eq!(due(50_001), Duration::from_nanos(5 * MS + 50_001));
}

#[test]
fn e1_a_turn_before_the_tape_has_an_end_if_the_next_one_is_there() {
    let records = [
        record(TurnKind::Soon, 2 * MS, Reason::turn(1)),
        record(TurnKind::Soon, 3 * MS, Reason::turn(3)),
    ];
    let due: Vec<_> = read(&records, 7).into_iter().map(|turn| turn.due).collect();
    assert_eq!(due, [Some(Duration::from_nanos(2 * MS)), None]);
}

/// The epoch of a damaged tape cannot fall with the times of its records.
#[test]
fn r9_the_times_of_a_damaged_tape_never_decrease() {
    let records = [
        record(TurnKind::Sleep, 9 * MS, Reason::LOOP),
        record(TurnKind::Loop, MS, Reason::LOOP),
        record(TurnKind::Watcher, 2 * MS, Reason::fd(Some(3))),
    ];
    for epoch in [0, 1 << 16] {
        let times = times(&records, epoch);
        assert!(times.is_sorted(), "{times:?}");
    }
    assert_eq!(read(&records, 0)[2].lateness(), Some(Duration::from_nanos(MS)));
}

#[test]
fn r1_a_cause_has_the_number_of_its_descriptor() {
    let numbers = [0, 255, 256, 70_000, (1 << 24) - 1].map(Some);
    let causes = numbers.map(|fd| record(TurnKind::Watcher, 0, Reason::fd(fd)));
    let causes: Vec<Cause> = read(&causes, 0).into_iter().map(|turn| turn.cause).collect();
    assert_eq!(causes, numbers.map(|fd| Cause::Fd(fd.unwrap())));
}

#[test]
fn r2_times_of_more_than_one_epoch_grow() {
    let end = (1 << TIME_BITS) - 1;
    let records = [end - 1, end, 0, 5].map(|time| record(TurnKind::Loop, time, Reason::LOOP));
    assert_eq!(times(&records, 1), [end - 1, end, end + 1, end + 6]);
}

#[test]
fn r1_places_with_one_slot_in_the_cache_are_told_apart() {
    let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
    let location = Location::caller();
    let copies: Vec<&'static Location<'static>> =
        (0..600).map(|_| &*Box::leak(Box::new(*location))).collect();
    for _ in 0..2 {
        let numbers: Vec<u16> = copies.iter().map(|copy| recording.place(copy)).collect();
        assert_eq!(numbers, (1..=600).collect::<Vec<u16>>());
    }
}

#[test]
fn r1_a_full_table_gives_no_number_twice() {
    let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
    let location = Location::caller();
    let number = || recording.place(Box::leak(Box::new(*location)));
    let numbers: Vec<u16> = (0..3000).map(|_| number()).collect();
    let count = numbers.iter().take_while(|number| **number > 0).count();
    assert_eq!(numbers[..count], (1..=count as u16).collect::<Vec<u16>>());
    assert!(count > 1000 && numbers[count..].iter().all(|number| *number == 0));
}

#[test]
fn r1_a_full_table_leaves_the_turns_as_they_are() {
    let location = Location::caller();
    // Each name has another length, so the table ends at another part of its last place.
    for length in 0..40 {
        let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
        let start = Start { kind: TurnKind::Soon, id: TurnId::NONE, place: 0, cause: Reason::LOOP };
        recording.begin(7, 0, start);
        recording.find_place(location, Some("x".repeat(length).into()));
        for _ in 0..3000 {
            recording.place(Box::leak(Box::new(*location)));
        }
        let turn = recording.tape().unwrap().turns()[0].clone();
        assert_eq!((turn.at.as_nanos(), turn.kind), (7, TurnKind::Soon), "{length}");
    }
}

/// Records turns that begin at these times, in a ring of 16.
fn recorded(times: impl IntoIterator<Item = u64>) -> Recording {
    let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
    let start = Start { kind: TurnKind::Soon, id: TurnId::NONE, place: 0, cause: Reason::LOOP };
    times.into_iter().for_each(|time| recording.begin(time, 0, start));
    recording
}

/// A clock of the user may go back. The tape does not.
#[test]
fn r2_times_do_not_go_back() {
    let tape = recorded([5, 9, 7, 8, 10]).tape().unwrap();
    let times: Vec<u128> = tape.turns().iter().map(|turn| turn.at.as_nanos()).collect();
    assert_eq!(times, [5, 9, 9, 9, 10]);
}

/// The writer replaces the record of a turn 15 turns later, in a ring of 16.
#[test]
fn e4_a_record_that_is_replaced_while_it_is_read_is_read_again() {
    let live = recorded(0..40).live().unwrap();
    let number = |heads: &[u64]| {
        let mut heads = heads.iter().copied();
        last_turn_at(&live.0, || heads.next().unwrap()).unwrap().number
    };
    assert_eq!(number(&[20, 34]), 19);
    assert_eq!(number(&[20, 35, 40, 40]), 39);
}

/// One record fewer than the ring holds is read. Further ones are lost if the writer has replaced
/// them while they were copied.
#[test]
fn r3_records_that_the_writer_may_be_replacing_are_left_out() {
    let live = recorded(0..40).live().unwrap();
    let numbers = |head_now| {
        let tape = Tape::of_words(&live.0, u64::MAX, 0, head_now).unwrap();
        tape.turns().iter().map(|turn| turn.number).collect::<Vec<u64>>()
    };
    assert_eq!(numbers(None), (25..40).collect::<Vec<u64>>());
    assert_eq!(numbers(Some(41)), (26..40).collect::<Vec<u64>>());
    assert_eq!(numbers(Some(100)), []);
}

#[test]
fn r1_a_cause_that_is_too_far_away_is_the_loop() {
    let turns = read(&[record(TurnKind::Soon, 0, Reason::turn(1 << 24))], 7);
    assert_eq!(turns[0].cause, Cause::Loop);
}

#[test]
fn r3_the_largest_tape_can_be_read() {
    assert!(layout::length(1 << 30).is_some());
    assert_eq!(layout::length((1 << 30) + 1), None);
}

/// The lower bits of both times are equal, so the order of the times does not show the epoch.
#[test]
fn r2_a_turn_of_exactly_an_epoch_has_its_times() {
    let tape = recorded([5, 5 + (1 << TIME_BITS)]).tape().unwrap();
    let times: Vec<u128> = tape.turns().iter().map(|turn| turn.at.as_nanos()).collect();
    assert_eq!((times[0], times[times.len() - 1]), (5, 5 + (1 << TIME_BITS)));
}
