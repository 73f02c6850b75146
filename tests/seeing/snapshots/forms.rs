//! The table and the JSON text of a snapshot (docs/contract.md, O7).

use std::os::unix::net::UnixListener;
use std::time::Duration;

use mainspring::{EventLoop, Interest, Signal, sleep};
use serde_json::Value;

use super::add_timer;
use crate::support::descriptors::pair;
use crate::support::network::short_dir;
use crate::support::process::alone;
use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn o7_the_table_has_a_line_for_each_entry() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let timer = el.call_every(HOUR, |_, ()| {}).unwrap();
        el.set_name(timer, "a\nb\u{1b}[2J");
        let (ours, _theirs) = pair();
        el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        el.spawn(sleep(HOUR)).detach();
        el.tick(Some(Duration::ZERO)).unwrap();
        let snapshot = el.snapshot();
        let table = snapshot.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "tick 1: 3 entries, 3 (*) keep the loop running");
        assert_eq!(lines.len(), 2 + snapshot.entries().len(), "{table}");
        for (line, entry) in lines[2..].iter().zip(snapshot.entries()) {
            assert_eq!(*line, entry.to_string());
            assert!(line.starts_with('*') && line.contains(file!()), "{table}");
        }
        assert!(!table.contains('\u{1b}'), "{table:?}");
        assert!(lines[2].ends_with("due in 3600.000s period 3600.000s"), "{table}");
        assert!(lines[4].ends_with("sleeps for 3600.000s"), "{table}");
    });
}

#[test]
fn o7_the_table_marks_what_keeps_the_loop_running() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let timer = el.call_later(HOUR, |_, ()| {});
        el.set_background(timer);
        let (ours, _theirs) = pair();
        el.watch(ours, Interest::empty(), |_, (), _| Ok(())).unwrap();
        el.call_soon(|_, ()| {});
        let table = el.snapshot().to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "tick 0: 3 entries, 1 (*) keep the loop running");
        assert!(lines[2].starts_with("  timer ") && lines[2].contains(" in the background "));
        assert!(lines[3].starts_with("  watcher ") && lines[3].ends_with(" socket"), "{table}");
        assert!(lines[4].starts_with("* closure ") && !lines[4].contains("background"), "{table}");
    });
}

#[test]
fn o7_a_row_has_words_for_what_is_missing() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        el.watch(ours, Interest::READABLE | Interest::WRITABLE, |_, (), _| Ok(())).unwrap();
        el.spawn(sleep(Duration::MAX)).detach();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.remote().call_soon(|_, ()| {}).unwrap();
        let table = el.snapshot().to_string();
        let row = |kind: &str| {
            let row =
                table.lines().find(|line| line.trim_start_matches(['*', ' ']).starts_with(kind));
            row.unwrap_or_else(|| panic!("no {kind} in {table}"))
        };
        assert!(row("watcher").ends_with(" for readable|writable"), "{table}");
        assert!(row("task").ends_with(" sleeps without end"), "{table}");
        let columns: Vec<&str> = row("message").split_whitespace().collect();
        assert_eq!(columns[1..5], ["message", "pending", "-", "0"], "{table}");
    });
}

/// Alone, because the signal is for the process.
#[test]
fn o14_the_loop_continues_after_a_dump() {
    alone("snapshots::forms::o14_the_loop_continues_after_a_dump", || {
        on_every_selector(|kind| {
            let (mut el, _clock) = simulated(kind, 0);
            el.dump_on(Signal::USR2).unwrap();
            el.call_soon(|_, _| Signal::USR2.raise().unwrap());
            el.call_later(HOUR, |_, ran| *ran += 1);
            el.run().unwrap();
            assert_eq!(*el.state(), 1);
        });
    });
}

/// Places of the same count are in the order of their files, then of their lines.
#[test]
fn o5_places_are_in_the_order_of_their_files() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        add_timer(&el);
        el.call_later(HOUR, |_, ()| {});
        el.call_later(HOUR, |_, ()| {});
        let places = el.count_by_place();
        let places = places.iter().map(|place| (place.location().file(), place.location().line()));
        let places: Vec<_> = places.collect();
        assert!(places.is_sorted() && places[0].0 == file!() && places[2].0 != file!());
        assert!(places[2].1 < places[0].1, "the order of the lines alone would be another one");
    });
}

/// Names that a table or JSON could get wrong.
const NAMES: [&str; 7] = [
    "\"quoted\\\" \n\r\t",
    "\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}",
    "two\u{2028}lines\u{2029}",
    "{\"kind\":[null]}",
    "\u{202e}reversed \u{feff}é 語 \u{1f600}",
    "\\u0041 \\n \\",
    "",
];

#[test]
fn o7_the_json_text_can_be_parsed() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        for name in NAMES {
            let timer = el.call_every(HOUR, |_, ()| {}).unwrap();
            el.set_name(timer, name);
            el.spawn(sleep(Duration::MAX)).named(name).detach();
        }
        let path = short_dir().join(format!("a\n\"b\"{}", std::process::id()));
        el.serve(UnixListener::bind(&path).unwrap(), |_, (), _, _| Ok(())).unwrap();
        let sleeping = el.spawn(sleep(HOUR));
        let joining_task = el.spawn(async move { sleeping.await.map_err(drop) });
        el.tick(Some(Duration::ZERO)).unwrap();
        clock.advance(Duration::from_millis(1250));
        let snapshot = el.snapshot();
        assert_eq!(snapshot.to_string().lines().count(), 2 + snapshot.entries().len());
        let text = snapshot.to_json();
        assert!(!text.contains(char::is_control), "{text:?}");
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["tick"], 1);
        let entries = json["entries"].as_array().unwrap();
        assert_eq!(entries.len(), snapshot.entries().len());
        for (json, entry) in entries.iter().zip(snapshot.entries()) {
            assert_eq!(json["name"].as_str(), entry.name());
            assert_eq!(json["kind"], entry.kind().as_str());
            assert_eq!(json["line"], entry.location().unwrap().line());
            assert_eq!(json["age"].as_u64(), entry.age());
            assert_eq!(json["due_in"].as_f64(), entry.due_in().map(|time| time.as_secs_f64()));
            assert_eq!(
                json["address"].as_str(),
                entry.address().map(ToString::to_string).as_deref()
            );
        }
        let waits = |entry: &Value| entry["waits"].as_array().unwrap()[0].clone();
        let [.., sleeping, joining] = entries.as_slice() else { panic!("{text}") };
        assert_eq!(waits(joining)["task"], entries.len() - 2);
        assert_eq!(waits(sleeping)["time"], 3598.75);
        assert!(entries.iter().any(|entry| entry["waits"][0].get("time") == Some(&Value::Null)));
        drop(el);
        std::fs::remove_file(path).unwrap();
        drop(joining_task);
    });
    assert_eq!(EventLoop::new().unwrap().snapshot().to_json(), r#"{"tick":0,"entries":[]}"#);
}
