//! The state of a region.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use crate::handle::Handle;
use crate::snapshot::EntryKind;

thread_local! {
    /// The number of the next region.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// The effect of a region on a request to end a region around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// No effect: the region is dropped with the others.
    None,
    /// The region continues, and the code inside does not see the request.
    Shield,
    /// The region sees the request, and continues until its children have ended.
    Group,
}

/// The call that runs a region, for a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegionCall {
    pub(crate) kind: EntryKind,
    pub(crate) location: &'static Location<'static>,
}

/// The tasks of a group, by number.
pub(crate) type Members = Rc<RefCell<BTreeMap<u64, Handle>>>;

/// A part of a task that can be cancelled from outside.
pub(crate) struct Region {
    /// Key in the lists of guards.
    pub(super) number: u64,
    /// The region in which this one was polled last; `None` directly inside the task.
    pub(super) outer: RefCell<Option<Rc<Region>>>,
    /// The task that polled this region last; `None` before the first poll.
    pub(super) task: Cell<Option<Handle>>,
    pub(super) guard: Cell<Guard>,
    /// True if the region must end.
    pub(super) requested: Cell<bool>,
    /// The guards inside, by number. A map, because they leave in any order.
    pub(super) guards: RefCell<BTreeMap<u64, Rc<Region>>>,
    /// The kind of the region in a snapshot.
    pub(super) kind: EntryKind,
    /// The place of the call that runs the region; `None` for the region of a whole task.
    pub(super) location: Option<&'static Location<'static>>,
    /// The tick in which the loop of `task` polled the region first.
    pub(super) entered_in: Cell<u64>,
    /// The tasks of a group.
    pub(super) members: OnceCell<Members>,
    /// Waker of the future that runs in the region; `None` if it does not wait.
    pub(super) waker: Cell<Option<Waker>>,
}

const _: () = assert!(size_of::<Region>() <= 120);

impl Region {
    pub(super) fn new(guard: Guard, task: Option<Handle>, call: Option<RegionCall>) -> Rc<Region> {
        Rc::new(Region {
            number: NEXT.replace(NEXT.get() + 1),
            outer: RefCell::default(),
            task: Cell::new(task),
            guard: Cell::new(guard),
            requested: Cell::new(false),
            guards: RefCell::default(),
            kind: call.map_or(EntryKind::Scope, |call| call.kind),
            location: call.map(|call| call.location),
            entered_in: Cell::new(0),
            members: OnceCell::new(),
            waker: Cell::default(),
        })
    }

    /// Creates the region of a whole task. Polls of the task do not go through it.
    pub(crate) fn of_task(task: Handle, requested: bool) -> Rc<Region> {
        let region = Region::new(Guard::None, Some(task), None);
        region.requested.set(requested);
        region
    }

    /// Sets the tasks of a group, for a snapshot.
    pub(crate) fn set_members(&self, members: Members) {
        let _ = self.members.set(members); // A region has one group.
    }

    /// Returns true if the region must end.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.get()
    }

    /// Returns true if a guard inside delays the end of this region.
    pub(crate) fn is_guarded(&self) -> bool {
        !self.guards.borrow().is_empty()
    }

    pub(super) fn is_guard(&self) -> bool {
        self.guard.get() != Guard::None
    }

    pub(super) fn guards(&self) -> Vec<Rc<Region>> {
        self.guards.borrow().values().cloned().collect()
    }

    /// Returns the regions around this one, innermost first, without the region of the task.
    pub(super) fn enclosing(&self) -> impl Iterator<Item = Rc<Region>> + use<> {
        let first = self.outer.borrow().clone();
        std::iter::successors(first, |region| region.outer.borrow().clone())
    }
}
