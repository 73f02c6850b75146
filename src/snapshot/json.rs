//! The JSON form of a snapshot (RFC 8259).

use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::panic::Location;
use std::time::Duration;

use super::entry::{Details, Directions, Entry, Wait};
use super::{EntryKind, Snapshot};
use crate::awaits::Await;
use crate::handle::Handle;

/// Returns the snapshot as JSON on one line.
pub(super) fn write(snapshot: &Snapshot) -> String {
    let numbered = snapshot.entries.iter().zip(0..);
    let indices = numbered.filter_map(|(entry, index)| Some((entry.handle?, index))).collect();
    let mut json = Json { indices, ..Json::default() };
    json.object(|json| {
        json.raw("tick", snapshot.tick);
        json.array("entries", &snapshot.entries, |json, entry| json.entry(entry));
    });
    json.text
}

/// A JSON text. `is_next` is true if its next element needs a comma.
#[derive(Default)]
struct Json {
    text: String,
    is_next: bool,
    /// Indices of entries with handles.
    indices: HashMap<Handle, usize>,
}

impl Json {
    /// Writes text that cannot fail to be written.
    fn push(&mut self, value: impl Display) {
        let _ = write!(self.text, "{value}");
    }

    fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.push('{');
        self.is_next = false;
        fields(self);
        self.push('}');
        self.is_next = true;
    }

    fn array<T>(&mut self, name: &str, items: &[T], mut write: impl FnMut(&mut Json, &T)) {
        self.name(name);
        self.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(',');
            }
            write(self, item);
        }
        self.push(']');
        self.is_next = true;
    }

    fn name(&mut self, name: &str) {
        if self.is_next {
            self.push(',');
        }
        self.is_next = true;
        self.push(Quoted(name));
        self.push(':');
    }

    /// Writes a field with the value as it is: a number, `true`, `false` or `null`.
    fn raw(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.push(value);
    }

    fn string(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.push(Quoted(&value.to_string()));
    }

    fn seconds(&mut self, name: &str, time: Duration) {
        self.raw(name, time.as_secs_f64());
    }

    fn entry(&mut self, entry: &Entry) {
        self.object(|json| {
            json.string("kind", entry.kind);
            json.string("state", entry.state);
            json.raw("foreground", entry.is_foreground);
            json.raw("keeps_alive", entry.keeps_alive);
            optional(entry.name.as_deref(), |value| json.string("name", value));
            if let Some(location) = entry.location {
                json.place(location);
            }
            optional(entry.age, |value| json.raw("age", value));
            optional(entry.runs, |value| json.raw("runs", value));
            optional(entry.parent, |value| json.raw("parent", value));
            optional(entry.details.as_deref(), |value| json.details(entry.kind, value));
        });
    }

    fn details(&mut self, kind: EntryKind, details: &Details) {
        optional(details.fd, |value| self.raw("fd", value));
        optional(details.file, |value| self.string("file_type", value));
        optional(details.interest, |value| self.string("interest", Directions(value)));
        optional(details.address.as_ref(), |value| self.string("address", value));
        optional(details.peer.as_ref(), |value| self.string("peer", value));
        optional(details.queued, |value| self.raw("queued", value));
        optional(details.connections, |value| self.raw("connections", value));
        optional(details.due_in, |value| self.seconds("due_in", value));
        optional(details.period, |value| self.seconds("period", value));
        optional(details.running_for, |value| self.seconds("running_for", value));
        optional(details.signal, |value| self.string("signal", value));
        optional(details.pid, |value| self.raw("pid", value));
        optional(details.stage, |value| self.string("stage", value));
        optional(details.count, |value| self.raw("count", value));
        if kind == EntryKind::Task {
            self.array("waits", &details.waits, Json::wait);
            self.array("awaits", &details.awaits, Json::awaited);
            optional(details.waiting_since, |value| self.raw("waiting_since", value));
        }
    }

    fn wait(&mut self, wait: &Wait) {
        self.object(|json| match wait {
            Wait::Time(left) => match left {
                Some(left) => json.seconds("time", *left),
                None => json.null("time"),
            },
            Wait::Descriptor { fd, interest } => {
                json.raw("fd", fd);
                json.string("interest", Directions(*interest));
            }
            Wait::Task(task) => match json.indices.get(task).copied() {
                Some(index) => json.raw("task", index),
                None => json.null("task"),
            },
        });
    }

    fn awaited(&mut self, awaited: &Await) {
        self.object(|json| {
            json.string("call", awaited.call());
            json.place(awaited.location());
        });
    }

    fn place(&mut self, location: &Location<'_>) {
        self.string("file", location.file());
        self.raw("line", location.line());
        self.raw("column", location.column());
    }

    fn null(&mut self, name: &str) {
        self.raw(name, "null");
    }
}

fn optional<T>(value: Option<T>, write: impl FnOnce(T)) {
    if let Some(value) = value {
        write(value);
    }
}

/// A string in quotes, with its special characters escaped.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                // Also DEL and what a terminal takes for a command, so that the text can be shown.
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let quoted = |text: &str| Quoted(text).to_string();
        assert_eq!(quoted("a \"b\" \\ é 語"), r#""a \"b\" \\ é 語""#);
        assert_eq!(quoted("\n\t\0\u{1b}\u{7f}\u{85}"), r#""\n\u0009\u0000\u001b\u007f\u0085""#);
    }
}
