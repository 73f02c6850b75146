//! Lanes and SVG, to the cell and to the percent (docs/contract.md, R5).

use std::time::Duration;

use mainspring::{Recorder, SelectorKind, Tape, yield_now};

use super::{callbacks, recorded};
use crate::support::{on_every_selector, simulated_builder};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the tape of a timer at 1 s that runs until 2 s, of a closure that runs from there until
/// 5 s, and of a task with a turn before the closure, and one after it that runs until 6 s.
fn six_seconds(kind: SelectorKind) -> Tape {
    let (builder, clock) = simulated_builder(kind);
    let mut el = builder.record(Recorder::ring(256)).build().unwrap();
    let timer = el.call_later(SECOND, move |el, ()| {
        clock.advance(SECOND);
        let (of_task, of_closure) = (clock.clone(), clock.clone());
        let task = el.spawn(async move {
            yield_now().await;
            of_task.advance(SECOND);
        });
        el.set_name(task.handle(), "task");
        task.detach();
        let closure = el.call_soon(move |_, ()| of_closure.advance(3 * SECOND));
        el.set_name(closure, "closure");
    });
    el.set_name(timer, "a<b&c>");
    el.run().unwrap();
    el.tape().unwrap()
}

#[test]
fn r5_lanes_have_the_cells_of_each_turn() {
    on_every_selector(|kind| {
        let lanes = six_seconds(kind).lanes();
        let labels = lanes.lines().take(3).map(|line| line.rfind(')').unwrap());
        let chart = labels.max().unwrap() + ")  ".len();
        let drawn: Vec<&str> = lanes.lines().take(3).map(|line| &line[chart..]).collect();
        let (ran, waits) = (|cells| "█".repeat(cells), "─".repeat(35));
        let expected = [
            ran(13),
            format!("{}{}{waits}{}", " ".repeat(12), ran(1), ran(12)),
            format!("{}{}", " ".repeat(12), ran(37)),
        ];
        assert_eq!(drawn, expected, "{lanes}");
    });
}

#[test]
fn r5_an_svg_has_the_turns_at_their_times() {
    on_every_selector(|kind| {
        let svg = six_seconds(kind).svg();
        let bars: Vec<&str> = svg.lines().filter(|line| line.contains("height=\"12\"")).collect();
        let bar = |class: &str, x: &str, y: u32, width: &str| {
            format!(
                "<rect class=\"{class}\" x=\"{x}%\" y=\"{y}\" width=\"{width}%\" height=\"12\"/>"
            )
        };
        let expected = [
            bar("wait", "2.00", 30, "19.20"),
            bar("run", "2.00", 30, "19.20"),
            bar("wait", "21.20", 72, "76.80"),
            bar("run", "21.20", 72, "0.30"),
            bar("run", "78.80", 72, "19.20"),
            bar("wait", "21.20", 114, "57.60"),
            bar("run", "21.20", 114, "57.60"),
        ];
        assert_eq!(bars, expected);
        assert!(svg.contains(">timer a&lt;b&amp;c&gt; (") && !svg.contains("a<b"), "{svg}");
        assert!(svg.contains("text-anchor=\"end\">5.0s</text>"), "{svg}");
    });
}

#[test]
fn r5_a_turn_that_runs_has_its_colour() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), String::new());
        el.call_soon(|el, svg| *svg = el.tape().unwrap().svg());
        el.run().unwrap();
        assert_eq!(el.state().matches("class=\"now\"").count(), 1 + 1, "and the legend");
    });
}

#[test]
fn r5_lanes_are_registrations_and_the_first_forty_are_drawn() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(256), ());
        for number in 0..45 {
            let named = el.call_soon(|_, ()| {});
            el.set_name(named, &format!("number {number}"));
        }
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let (lanes, svg) = (tape.lanes(), tape.svg());
        assert_eq!(lanes.matches("callback number ").count(), 40);
        assert!(lanes.contains(" (") && lanes.contains("\n5 further registrations\n"), "{lanes}");
        assert!(svg.contains(">5 further registrations</text>"), "{svg}");
        // Lanes of 42 pixels, a margin, the axis with the legend, and a line of text.
        assert!(svg.contains(&format!(" height=\"{}\" role", 10 + 40 * 42 + 56 + 20)), "{svg}");
        // Closures of a line are one lane, tasks of a line are not.
        let mut el = recorded(kind, Recorder::ring(256), ());
        for _ in 0..3 {
            el.call_soon(|_, ()| {});
            el.spawn(async {}).detach();
        }
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let lanes = tape.lanes();
        let count = |kind: &str| lanes.lines().filter(|line| line.starts_with(kind)).count();
        assert_eq!((count("callback "), count("task ")), (1, 3), "{lanes}");
        assert_eq!(callbacks(&tape).len(), 6);
    });
}

/// A name may be longer than any line, and its control characters are escaped.
#[test]
fn r5_the_end_of_a_very_long_name_is_drawn() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let line = line!() + 1;
        let long = [0, 1, 2].map(|_| el.call_soon(|_, ()| {}));
        el.set_name(long[0], &"\u{1b}".repeat(15_000));
        // The cut is inside of a character for at least one of these.
        el.set_name(long[1], &"é".repeat(1000));
        el.set_name(long[2], &format!("{}x", "é".repeat(1000)));
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let places: Vec<_> = callbacks(&tape).iter().map(|turn| turn.place.clone()).collect();
        for (place, end) in places.iter().zip(["\\u{1b}", "é", "éx"]) {
            assert!(place.ends_with(&format!("{end} ({}:{line})", file!())), "{place:.300}");
            assert!(!place.contains('\u{fffd}') && place.len() < 10_000, "{place:.300}");
        }
        assert!(places[1..].iter().all(|place| place.starts_with('é')));
        assert!(tape.lanes().len() < 40_000);
    });
}
