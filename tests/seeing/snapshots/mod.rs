//! Snapshots (docs/contract.md, section O).

mod ages;
mod alive;
mod forms;
mod inventory;
mod kinds;
mod places;
mod tasks;

use std::time::Duration;

use mainspring::EventLoop;
use mainspring::snapshot::{Entry, EntryKind, Snapshot};

/// Returns the only entry of a kind.
#[track_caller]
fn only(snapshot: &Snapshot, kind: EntryKind) -> &Entry {
    let mut found = snapshot.entries().iter().filter(|entry| entry.kind() == kind);
    let entry = found.next().unwrap_or_else(|| panic!("no {kind} in {snapshot}"));
    assert!(found.next().is_none(), "two of {kind} in {snapshot}");
    entry
}

/// Adds a timer of this file.
fn add_timer(el: &EventLoop) {
    el.call_later(Duration::from_secs(3600), |_, ()| {});
}
