//! Snapshots (docs/contract.md, section O).

mod ages;
mod alive;
mod forms;
mod inventory;
mod kinds;
mod places;
mod tasks;

use mainspring::snapshot::{Entry, EntryKind, Snapshot};

/// Returns the only entry of a kind.
#[track_caller]
fn only(snapshot: &Snapshot, kind: EntryKind) -> &Entry {
    let mut found = snapshot.entries().iter().filter(|entry| entry.kind() == kind);
    let entry = found.next().unwrap_or_else(|| panic!("no {kind} in {snapshot}"));
    assert!(found.next().is_none(), "two of {kind} in {snapshot}");
    entry
}
