//! Nested cancellation regions of a task, and the guards that delay a cancellation.
//!
//! Each run of a scope, a timeout or a task group is a region. A region that is polled inside
//! another one is nested in it, so the regions of a task form a tree; its root is the region of the
//! whole task. A region ends when its future is dropped, and all regions inside end with it.
//! Therefore code inside a region cannot swallow a cancellation from outside.
//!
//! A guard delays the cancellation of the regions around it: each region has a list of the guards
//! inside it, and does not end while the list has entries. A shield hides the request from the code
//! inside it. A group sees the request, cancels its children, waits for them, and then lets the
//! cancellation proceed.
//!
//! # Invariants
//!
//! * A guard is in the list of every region around it, including the root, and in no other list.
//! * After a poll, the outermost region that is requested to end and has no guards ends. The
//!   regions inside it are not checked.

mod list;
mod live;
mod region;
mod tree;

pub(crate) use self::list::{count_wakers, live_regions};
pub(crate) use self::region::{Guard, Members, Region, RegionCall};
pub(crate) use self::tree::OwnedRegion;
