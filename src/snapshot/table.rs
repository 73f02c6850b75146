//! The table of a snapshot.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::Snapshot;
use super::entry::{Details, Directions, Entry, Wait};
use crate::log_text::{OneLine, grouped};

/// Writes the table: a line of totals, the names of the columns, a row for each entry.
pub(super) fn write(f: &mut fmt::Formatter<'_>, snapshot: &Snapshot) -> fmt::Result {
    let total = grouped(snapshot.entries.len() as u64);
    let alive = grouped(snapshot.keeps_alive().count() as u64);
    let tick = grouped(snapshot.tick);
    write!(f, "tick {tick}: {total} entries, {alive} (*) keep the loop running")?;
    if snapshot.entries.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {:<10} {:<7} {:>7} {:>9} PLACE", "KIND", "STATE", "AGE", "RUNS")?;
    for entry in &snapshot.entries {
        writeln!(f)?;
        write_row(f, entry)?;
    }
    Ok(())
}

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, self)
    }
}

/// Writes the row of an entry.
fn write_row(f: &mut fmt::Formatter<'_>, entry: &Entry) -> fmt::Result {
    let mark = if entry.keeps_alive { '*' } else { ' ' };
    write!(f, "{mark} {:<10} {:<7} ", entry.kind, entry.state)?;
    write!(f, "{:>7} {:>9}", number(entry.age), number(entry.runs))?;
    write_facts(f, entry)
}

fn number(number: Option<u64>) -> String {
    number.map_or("-".into(), |number| number.to_string())
}

/// Writes place, name and details, each after a space.
pub(super) fn write_facts(f: &mut dyn Write, entry: &Entry) -> fmt::Result {
    let mut line = OneLine(f); // Names and addresses may come from a peer.
    if let Some(location) = entry.location {
        write!(line, " {location}")?;
    }
    if let Some(name) = &entry.name {
        write!(line, " {name:?}")?;
    }
    if !entry.is_foreground {
        line.write_str(" in the background")?;
    }
    entry.details.as_deref().map_or(Ok(()), |details| write_details(&mut line, details))
}

fn write_details(out: &mut dyn Write, details: &Details) -> fmt::Result {
    let mut facts = Facts { out };
    facts.add("fd", details.fd)?;
    facts.add("", details.file)?;
    facts.add("for", details.interest.filter(|interest| !interest.is_empty()).map(Directions))?;
    facts.add("on", details.address.as_ref())?;
    facts.add("peer", details.peer.as_ref())?;
    facts.add("queued", details.queued)?;
    facts.add("connections", details.connections)?;
    facts.add("due in", details.due_in.map(Time))?;
    facts.add("period", details.period.map(Time))?;
    facts.add("running for", details.running_for.map(Time))?;
    facts.add("", details.signal)?;
    facts.add("pid", details.pid)?;
    facts.add("", details.stage)?;
    facts.add("count", details.count)?;
    for (index, awaited) in details.awaits.iter().enumerate() {
        facts.add(if index == 0 { "waits for" } else { "and" }, Some(awaited))?;
    }
    facts.add("since tick", details.waiting_since)?;
    for wait in &details.waits {
        match wait {
            Wait::Time(Some(left)) => facts.add("sleeps for", Some(Time(*left)))?,
            Wait::Time(None) => facts.add("sleeps", Some("without end"))?,
            Wait::Descriptor { fd, interest } => {
                facts.add("waits for fd", Some(fd))?;
                facts.add("to be", Some(Directions(*interest)))?;
            }
            Wait::Task(task) => facts.add("waits for task", Some(format_args!("{task:?}")))?,
        }
    }
    Ok(())
}

/// A list of facts, each with a name.
struct Facts<'a> {
    out: &'a mut dyn Write,
}

impl Facts<'_> {
    fn add(&mut self, name: &str, value: Option<impl Display>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        match name {
            "" => write!(self.out, " {value}"),
            name => write!(self.out, " {name} {value}"),
        }
    }
}

/// A time, rounded for a person.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3?}", self.0)
    }
}
