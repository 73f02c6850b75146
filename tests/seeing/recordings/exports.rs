//! Pictures and traces (docs/contract.md, R5).

use std::collections::HashMap;
use std::time::Duration;

use mainspring::{Cause, Recorder, SelectorKind, Tape, TurnKind, sleep, spawn};

use super::{callbacks, recorded};
use crate::support::custom_stream::AlteredStream;
use crate::support::descriptors::pair;
use crate::support::on_every_selector;

/// Returns the tape of the guide's picture of cooperative multitasking: three tasks that take
/// turns. Simulated time passes while one of them runs.
fn three_tasks(kind: SelectorKind) -> Tape {
    let mut el = recorded(kind, Recorder::ring(256), ());
    for (name, start) in [("Task A", 0), ("Task B", 10), ("Task C", 14)] {
        let task = el.spawn(async move {
            sleep(Duration::from_secs(start)).await;
            sleep(Duration::from_secs(22)).await;
        });
        el.set_name(task.handle(), name);
        task.detach();
    }
    el.run().unwrap();
    el.tape().unwrap()
}

#[test]
fn r5_lanes_are_the_picture_of_the_guide() {
    on_every_selector(|kind| {
        let lanes = three_tasks(kind).lanes();
        let drawn: Vec<&str> =
            lanes.lines().take(3).map(|line| line.split_once(")  ").unwrap().1).collect();
        let waits = |cells: usize| "─".repeat(cells);
        assert_eq!(
            drawn,
            [
                format!("█{}█", waits(35)),
                format!("█{}█{}█", waits(15), waits(36)),
                format!("█{}█{}█", waits(22), waits(35)),
            ]
        );
    });
}

#[test]
fn r5_an_svg_has_a_bar_for_each_lane() {
    on_every_selector(|kind| {
        let svg = three_tasks(kind).svg();
        assert_eq!(svg.matches("class=\"wait\"").count(), 3 + 1, "and the legend");
        assert_eq!(svg.matches("class=\"now\"").count(), 1, "only in the legend");
        assert_eq!(svg.matches(" ran ").count(), 3, "in words");
        assert!(svg.contains(">task Task A (") && svg.contains("prefers-color-scheme: dark"));
    });
}

#[test]
fn r5_json_has_a_slice_for_each_turn() {
    on_every_selector(|kind| {
        let tape = caused(kind);
        let mut json = Vec::new();
        tape.chrome_json(&mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(json.matches("\"ph\":\"X\"").count(), tape.turns().len());
        assert_eq!(json.matches("\"ph\":\"s\"").count(), arrows(&tape).len());
        assert_eq!(json.matches("\"ph\":\"f\"").count(), arrows(&tape).len());
    });
}

/// Returns the tape of a task that spawns another one.
fn caused(kind: SelectorKind) -> Tape {
    let mut el = recorded(kind, Recorder::ring(256), ());
    el.spawn(async { spawn(async {}).await.unwrap() }).detach();
    el.run().unwrap();
    el.tape().unwrap()
}

/// Returns the turns that another turn has caused.
fn arrows(tape: &Tape) -> Vec<u64> {
    let caused = callbacks(tape).into_iter().filter(|turn| matches!(turn.cause, Cause::Turn(_)));
    caused.map(|turn| turn.number).collect()
}

/// A value of a protobuf field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Decodes a message into its fields, by the wire format of protobuf.
pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Value)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        panic!("a varint has at most ten bytes");
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_at(8);
                bytes = rest;
                Value::Number(u64::from_le_bytes(number.try_into().unwrap()))
            }
            2 => {
                let (part, rest) = {
                    let len = varint(&mut bytes) as usize;
                    bytes.split_at(len)
                };
                bytes = rest;
                Value::Bytes(part.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, value));
    }
    found
}

pub fn number(fields: &[(u64, Value)], field: u64) -> Option<u64> {
    fields.iter().find_map(|(name, value)| match value {
        Value::Number(number) if *name == field => Some(*number),
        _ => None,
    })
}

pub fn message(fields: &[(u64, Value)], field: u64) -> Option<Vec<u8>> {
    fields.iter().find_map(|(name, value)| match value {
        Value::Bytes(bytes) if *name == field => Some(bytes.clone()),
        _ => None,
    })
}

/// Decodes the trace: packets (1) with timestamp (8), track_event (11) and track_descriptor (60).
#[test]
fn r5_perfetto_slices_nest_and_flows_meet() {
    on_every_selector(|kind| {
        let tape = caused(kind);
        let mut trace = Vec::new();
        tape.perfetto(&mut trace).unwrap();
        let mut tracks = HashMap::new();
        let (mut begun, mut flows, mut ended) = (0, Vec::new(), Vec::new());
        for (field, packet) in fields(&trace) {
            let (1, Value::Bytes(packet)) = (field, packet) else { panic!("field {field}") };
            let packet = fields(&packet);
            if let Some(descriptor) = message(&packet, 60) {
                let descriptor = fields(&descriptor);
                tracks.insert(number(&descriptor, 1).unwrap(), 0);
                let name = message(&descriptor, 2).unwrap_or_default();
                match message(&descriptor, 3) {
                    Some(process) => {
                        assert_eq!(number(&fields(&process), 1), Some(std::process::id().into()));
                    }
                    None => assert!(number(&descriptor, 5) == Some(1) && !name.is_empty()),
                }
                continue;
            }
            let event = fields(&message(&packet, 11).unwrap());
            assert!(number(&packet, 8).is_some());
            let depth = tracks.get_mut(&number(&event, 11).unwrap()).expect("a named track");
            *depth += if number(&event, 9) == Some(1) { 1 } else { -1 };
            assert!((0..=1).contains(depth), "slices of a track do not overlap");
            begun += usize::from(number(&event, 9) == Some(1));
            flows.extend(number(&event, 47));
            ended.extend(number(&event, 48));
        }
        assert_eq!(begun, tape.turns().len());
        assert_eq!((&flows, &ended), (&arrows(&tape), &arrows(&tape)));
    });
}

#[test]
fn r5_the_last_part_of_a_tape_has_the_turn_that_ended_at_its_beginning() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        for seconds in 1..=4 {
            el.call_later(Duration::from_secs(seconds), |_, ()| {});
        }
        el.run().unwrap();
        let last = |nanos| {
            let time = Duration::from_secs(2) - Duration::from_nanos(nanos);
            callbacks(&el.tape().unwrap().last(time)).len()
        };
        assert_eq!((last(0), last(1)), (3, 2));
    });
}

/// Another callback resumes a connection. Its stream has input that the kernel does not report.
#[test]
fn r1_a_stream_that_another_turn_has_queued_runs_because_of_it() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let (ours, _theirs) = pair();
        let stream = AlteredStream { has_buffered: |_| true, ..AlteredStream::new(ours) };
        let conn = el.attach(stream, |_, (), _, _| Ok(())).unwrap();
        conn.pause_reading();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.call_soon(move |_, ()| conn.resume_reading());
        el.tick(Some(Duration::ZERO)).unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let [.., queued_by, stream] = &turns[..] else { panic!("{turns:?}") };
        assert_eq!(stream.kind, TurnKind::Stream);
        assert_eq!(stream.cause, Cause::Turn(queued_by.number), "{turns:?}");
    });
}
