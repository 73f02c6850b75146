//! The regions of this thread that run, for snapshots.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::region::Region;
use crate::arena::{self, Arena};

thread_local! {
    static LIVE: RefCell<Arena<LiveRegion>> = RefCell::default();
}

/// A region that its future holds.
struct LiveRegion {
    generation: u32,
    region: Weak<Region>,
}

impl arena::Entry for LiveRegion {
    const LIMIT: usize = u32::MAX as usize;

    fn generation(&self) -> u32 {
        self.generation
    }
}

/// The position of a region in the list: index and generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct LiveIndex(u32, u32);

pub(super) fn add(region: &Rc<Region>) -> LiveIndex {
    let region = Rc::downgrade(region);
    let make = |_, generation| LiveRegion { generation, region };
    let (index, generation) = LIVE.with_borrow_mut(|live| live.insert(make));
    LiveIndex(index, generation)
}

pub(super) fn remove(LiveIndex(index, generation): LiveIndex) {
    // Without effect while the thread ends: its list may be gone already.
    let removed = LIVE.try_with(|live| live.borrow_mut().remove(index, generation));
    drop(removed);
}

/// Returns the regions that were last polled by tasks of the loop `loop_id`.
pub(super) fn of_loop(loop_id: u32) -> Vec<Rc<Region>> {
    LIVE.with_borrow(|live| {
        let regions = live.iter().filter_map(|(_, live)| live.region.upgrade());
        regions
            .filter(|region| region.task.get().is_some_and(|task| task.loop_id == loop_id))
            .collect()
    })
}

#[cfg(all(not(loom), test))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::snapshot::EntryKind;
    use crate::task::cancel_region::{Guard, OwnedRegion, RegionCall};

    fn count() -> usize {
        LIVE.with_borrow(|live| live.iter().count())
    }

    /// A region that stayed would keep its memory, and its slot.
    #[test]
    fn a_region_leaves_the_list_when_it_is_dropped() {
        let call = RegionCall { kind: EntryKind::Timeout, location: Location::caller() };
        let regions: Vec<OwnedRegion> =
            (0..3).map(|_| OwnedRegion::new(Guard::None, call)).collect();
        assert_eq!(count(), 3);
        drop(regions);
        assert_eq!(count(), 0);
    }
}
