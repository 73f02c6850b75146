//! Counts by place of registration.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::ptr;

use super::EntryKind;

/// The number of registrations of one kind made at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceCount {
    kind: EntryKind,
    location: &'static Location<'static>,
    count: usize,
}

impl PlaceCount {
    /// Returns the kind.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Returns the place.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Returns the number of registrations, which is at least one.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for PlaceCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} {:<11} {}", self.count, self.kind, self.location)
    }
}

/// Counts by kind and place.
#[derive(Debug, Default)]
pub(crate) struct Places {
    counts: Vec<PlaceCount>,
    /// Indices of `counts`. The value of a place is hashed, because a line that several crates
    /// instantiate has several constants.
    indices: HashMap<(EntryKind, &'static Location<'static>), usize>,
    /// The index that was used last: registrations of one place are usually adjacent.
    latest: usize,
}

impl Places {
    pub(crate) fn add(
        &mut self,
        kind: EntryKind,
        location: &'static Location<'static>,
        count: usize,
    ) {
        let latest = self.counts.get_mut(self.latest);
        if let Some(latest) =
            latest.filter(|count| count.kind == kind && ptr::eq(count.location, location))
        {
            latest.count += count;
            return;
        }
        let counts = &mut self.counts;
        self.latest = *self.indices.entry((kind, location)).or_insert_with(|| {
            counts.push(PlaceCount { kind, location, count: 0 });
            counts.len() - 1
        });
        self.counts[self.latest].count += count;
    }

    /// Returns the counts, the highest first.
    pub(crate) fn sorted(self) -> Vec<PlaceCount> {
        let mut counts = self.counts;
        counts.sort_by_key(|count| {
            (
                Reverse(count.count),
                count.location.file(),
                count.location.line(),
                count.location.column(),
            )
        });
        counts
    }
}
