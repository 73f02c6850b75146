//! Objects of this crate that keep wakers of tasks and are used on this thread only.
//!
//! A waker kept by other code may be used at any time, so a loop with one is not stalled. Wakers
//! kept by these objects do not count: only turns of the loop use them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::Waker;

/// Calls a function with each waker that an object keeps. Returns false if the object is gone.
type Visit = Box<dyn Fn(&mut dyn FnMut(&Waker)) -> bool>;

thread_local! {
    static KEEPERS: RefCell<Keepers> = const { RefCell::new(Keepers { all: Vec::new(), room: 16 }) };
}

struct Keepers {
    all: Vec<Visit>,
    /// Length at which objects that are gone leave the list.
    room: usize,
}

/// Adds an object.
pub(crate) fn add(visit: impl Fn(&mut dyn FnMut(&Waker)) -> bool + 'static) {
    KEEPERS.with_borrow_mut(|keepers| {
        if keepers.all.len() >= keepers.room {
            keepers.all.retain(|visit| visit(&mut |_| {}));
            keepers.room = (2 * keepers.all.len()).max(16);
        }
        keepers.all.push(Box::new(visit));
    });
}

/// Counts the wakers, by their data.
pub(crate) fn count(kept: &mut HashMap<*const (), usize>) {
    KEEPERS.with_borrow(|keepers| {
        for visit in &keepers.all {
            visit(&mut |waker| *kept.entry(waker.data()).or_default() += 1);
        }
    });
}
