//! Traces, to the nanosecond (docs/contract.md, R5).

use std::collections::HashMap;
use std::time::Duration;

use mainspring::{Recorder, SelectorKind, Tape, TurnKind};

use super::callbacks;
use super::exports::{Value, fields, message, number};
use crate::support::{on_every_selector, simulated_builder};

/// Returns the tape of a closure that takes 128 ns and queues one that takes 2 ms, and their lines.
fn two(kind: SelectorKind) -> (Tape, [u32; 2]) {
    let (builder, clock) = simulated_builder(kind);
    let mut el = builder.record(Recorder::ring(64)).build().unwrap();
    let lines = [line!() + 1, line!() + 3];
    let first = el.call_soon(move |el, ()| {
        clock.advance(Duration::from_nanos(128));
        let second = el.call_soon(move |_, ()| clock.advance(Duration::from_millis(2)));
        el.set_name(second, "second");
    });
    el.set_name(first, "a \"b\\\"");
    el.run().unwrap();
    (el.tape().unwrap(), lines)
}

#[test]
fn r5_json_has_times_in_microseconds_and_quoted_names() {
    on_every_selector(|kind| {
        let (tape, [line, _]) = two(kind);
        let (turns, pid) = (callbacks(&tape), std::process::id());
        let mut json = Vec::new();
        tape.chrome_json(&mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        let file = file!();
        let quoted = format!(r#""name":"a \"b\\\" ({file}:{line})""#);
        let number = turns[1].number;
        let parts = [
            format!(r#"{{"ph":"X",{quoted},"cat":"callback","ts":0.000,"dur":0.128,"pid":{pid},"#),
            format!(r#""cat":"callback","ts":0.128,"dur":2000.000,"pid":{pid},"tid":1,"#),
            format!(r#""args":{{"cause":"turn {}","key":0}}}}"#, turns[0].number),
            format!(r#"{{"ph":"s","name":"cause","cat":"cause","id":{number},"ts":0.000,"#),
            format!(
                r#"{{"ph":"f","bp":"e","name":"cause","cat":"cause","id":{number},"ts":0.128,"#
            ),
        ];
        for part in parts {
            assert_eq!(json.matches(&part).count(), 1, "{part} in {json}");
        }
    });
}

/// Returns the slices of a trace as track, name, begin and end.
fn slices(trace: &[u8]) -> Vec<(String, String, u64, u64)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (mut tracks, mut slices) = (HashMap::new(), Vec::new());
    for (_, packet) in fields(trace) {
        let Value::Bytes(packet) = packet else { panic!("a packet") };
        let packet = fields(&packet);
        if let Some(track) = message(&packet, 60) {
            let track = fields(&track);
            let name = message(&track, 2).map_or_else(String::new, text);
            assert!(tracks.insert(number(&track, 1).unwrap(), name).is_none(), "one descriptor");
            continue;
        }
        let event = fields(&message(&packet, 11).unwrap());
        let (at, track) = (number(&packet, 8).unwrap(), &tracks[&number(&event, 11).unwrap()]);
        match number(&event, 9) {
            Some(1) => slices.push((track.clone(), text(message(&event, 23).unwrap()), at, at)),
            _ => slices.last_mut().unwrap().3 = at,
        }
    }
    slices
}

#[test]
fn r5_perfetto_has_times_in_nanoseconds_and_a_track_for_each_place() {
    on_every_selector(|kind| {
        let (tape, lines) = two(kind);
        let mut trace = Vec::new();
        tape.perfetto(&mut trace).unwrap();
        let mut slices = slices(&trace);
        slices.retain(|(track, ..)| track.starts_with("callback "));
        let names = ["a \"b\\\"", "second"].into_iter().zip(lines);
        let names = names.map(|(name, line)| format!("{name} ({}:{line})", file!()));
        let ran = names.zip([(0, 128), (128, 2_000_128)]);
        let expected =
            ran.map(|(name, (begin, end))| (format!("callback {name}"), name, begin, end));
        assert_eq!(slices, expected.collect::<Vec<_>>());
    });
}

#[test]
fn r5_a_cause_that_is_not_on_the_tape_has_no_arrow() {
    on_every_selector(|kind| {
        let tape = two(kind).0.filter(|turn| turn.kind == TurnKind::Soon && turn.number > 1);
        let tape = tape.filter(|turn| turn.place.starts_with("second ("));
        assert_eq!(tape.turns().len(), 1);
        let (mut json, mut trace) = (Vec::new(), Vec::new());
        tape.chrome_json(&mut json).unwrap();
        assert!(!String::from_utf8(json).unwrap().contains("\"cat\":\"cause\""));
        tape.perfetto(&mut trace).unwrap();
        for (_, packet) in fields(&trace) {
            let Value::Bytes(packet) = packet else { panic!("a packet") };
            let event = message(&fields(&packet), 11).map_or(Vec::new(), |event| fields(&event));
            assert!(number(&event, 47).is_none() && number(&event, 48).is_none());
        }
    });
}

#[test]
fn r5_kinds_of_one_line_have_tracks_of_their_own() {
    on_every_selector(|kind| {
        let (builder, _clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(64)).build().unwrap();
        let line = line!() + 1;
        _ = (el.call_soon(|_, ()| {}), el.call_later(Duration::from_millis(1), |_, ()| {}));
        el.run().unwrap();
        let mut trace = Vec::new();
        el.tape().unwrap().perfetto(&mut trace).unwrap();
        let tracks: Vec<String> = slices(&trace).into_iter().map(|(track, ..)| track).collect();
        for kind in ["callback", "timer"] {
            let track = format!("{kind} {}:{line}", file!());
            assert!(tracks.contains(&track), "{tracks:?}");
        }
    });
}
