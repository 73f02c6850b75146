//! The table and the JSON text of a snapshot (docs/contract.md, O7).

use std::time::Duration;

use mainspring::sleep;

use crate::support::descriptors::pair;
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
fn o7_the_json_text_can_be_parsed() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let timer = el.call_every(HOUR, |_, ()| {}).unwrap();
        el.set_name(timer, "\"quoted\\\" \n\t\u{1b} é");
        let (ours, _theirs) = pair();
        el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        for _ in 0..2 {
            el.spawn(sleep(HOUR)).detach();
            el.spawn(sleep(Duration::MAX)).detach();
        }
        el.tick(Some(Duration::ZERO)).unwrap();
        let json = el.snapshot().to_json();
        assert!(!json.contains('\n'));
        let mut parser = Parser { rest: &json, names: Vec::new() };
        parser.value();
        assert!(parser.rest.is_empty(), "{}", parser.rest);
        for name in ["tick", "entries", "kind", "due_in", "fd", "interest", "waits", "time"] {
            assert!(parser.names.iter().any(|it| it == name), "{name} in {json}");
        }
        assert!(parser.names.contains(&"\"quoted\\\" \n\t\u{1b} é".to_owned()), "{json}");
        let mut empty = Parser { rest: r#"{"tick":0,"entries":[]}"#, names: Vec::new() };
        empty.value();
        assert_eq!(mainspring::EventLoop::new().unwrap().snapshot().to_json().len(), 23);
    });
}

/// A reader of JSON that panics at the first mistake.
struct Parser<'a> {
    rest: &'a str,
    /// All strings, names and values.
    names: Vec<String>,
}

impl Parser<'_> {
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or_else(|| panic!("no {text:?} at {}", self.rest));
    }

    fn value(&mut self) {
        match self.rest.chars().next().unwrap() {
            '{' => self.list("{", "}", |parser| {
                parser.string();
                parser.expect(":");
                parser.value();
            }),
            '[' => self.list("[", "]", Parser::value),
            '"' => self.string(),
            _ => {
                let end = self.rest.find([',', '}', ']']).unwrap();
                let (word, rest) = self.rest.split_at(end);
                let is_number = word.parse::<f64>().is_ok_and(f64::is_finite);
                assert!(is_number || ["true", "false", "null"].contains(&word), "{word}");
                self.rest = rest;
            }
        }
    }

    fn list(&mut self, open: &str, close: &str, item: fn(&mut Self)) {
        self.expect(open);
        while !self.rest.starts_with(close) {
            item(self);
            if !self.rest.starts_with(close) {
                self.expect(",");
                assert!(!self.rest.starts_with(close), "a comma before {close}");
            }
        }
        self.expect(close);
    }

    fn string(&mut self) {
        self.expect("\"");
        let mut text = String::new();
        let mut characters = self.rest.chars();
        loop {
            match characters.next().unwrap() {
                '"' => break,
                '\\' => text.push(match characters.next().unwrap() {
                    'n' => '\n',
                    'u' => {
                        let digits: String = characters.by_ref().take(4).collect();
                        char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                    }
                    c @ ('"' | '\\') => c,
                    c => panic!("\\{c}"),
                }),
                c => {
                    assert!(!c.is_control(), "{c:?}");
                    text.push(c);
                }
            }
        }
        self.rest = characters.as_str();
        self.names.push(text);
    }
}
