//! The regions of a loop as entries of a snapshot.

use std::collections::HashMap;

use super::live;
use super::region::{Guard, Region};
use super::tree::is_polled;
use crate::handle::Handle;
use crate::snapshot::{Entry, EntryKind, EntryState};

/// Adds the regions of the loop `loop_id`, which is in its tick `tick`, to `entries`. Tasks are
/// found by `index_of`; those of a group become its children.
pub(crate) fn live_regions(
    loop_id: u32,
    tick: u64,
    index_of: impl Fn(Handle) -> Option<usize>,
    entries: &mut Vec<Entry>,
) {
    let regions = live::of_loop(loop_id);
    let indices = (entries.len()..).zip(&regions).map(|(index, region)| (region.number, index));
    let indices: HashMap<u64, usize> = indices.collect();
    for (at, region) in (entries.len()..).zip(&regions) {
        let mut entry = Entry::new(kind_of(region), state_of(region));
        entry.location = region.location;
        entry.age = Some(tick.saturating_sub(region.entered_in.get()));
        let outer =
            region.outer.borrow().as_ref().and_then(|outer| indices.get(&outer.number).copied());
        entry.parent = outer.or_else(|| region.task.get().and_then(&index_of));
        for member in
            region.members.get().iter().flat_map(|members| members.borrow().clone().into_values())
        {
            if let Some(index) = index_of(member) {
                entries[index].parent = Some(at);
            }
        }
        entries.push(entry);
    }
}

/// Counts the wakers that the regions of the loop `loop_id` keep, by their data.
pub(crate) fn count_wakers(loop_id: u32, kept: &mut HashMap<*const (), usize>) {
    for region in live::of_loop(loop_id) {
        let waker = region.waker.take();
        if let Some(waker) = &waker {
            *kept.entry(waker.data()).or_default() += 1;
        }
        region.waker.set(waker);
    }
}

fn kind_of(region: &Region) -> EntryKind {
    match region.guard.get() {
        Guard::Shield => EntryKind::Shield,
        Guard::Group => EntryKind::Group,
        Guard::None => region.kind,
    }
}

fn state_of(region: &Region) -> EntryState {
    if is_polled(region) { EntryState::Running } else { EntryState::Waiting }
}
