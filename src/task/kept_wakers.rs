//! Objects of this crate that keep wakers of tasks and are used on this thread only.
//!
//! A waker kept by other code may be used at any time, so a loop with one is not stalled. Wakers
//! kept by these objects do not count: only turns of the loop use them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{self, Rc};
use std::sync::{self, Arc};
use std::task::Waker;

/// An object that keeps wakers.
pub(crate) trait KeepsWakers {
    /// Passes each waker to `visit`.
    fn for_each_waker(&self, visit: &mut dyn FnMut(&Waker));
}

thread_local! {
    static KEEPERS: RefCell<Keepers> = const { RefCell::new(Keepers { all: Vec::new(), room: 16 }) };
}

struct Keepers {
    all: Vec<Keeper>,
    /// Length at which objects that are gone leave the list.
    room: usize,
}

/// An object, by the kind of its reference count.
enum Keeper {
    Local(rc::Weak<dyn KeepsWakers>),
    Shared(sync::Weak<dyn KeepsWakers>),
}

impl Keeper {
    fn exists(&self) -> bool {
        match self {
            Keeper::Local(object) => object.strong_count() > 0,
            Keeper::Shared(object) => object.strong_count() > 0,
        }
    }

    fn upgrade(&self) -> Option<Kept> {
        Some(match self {
            Keeper::Local(object) => Kept::Local(object.upgrade()?),
            Keeper::Shared(object) => Kept::Shared(object.upgrade()?),
        })
    }
}

/// A reference to an object that exists.
enum Kept {
    Local(Rc<dyn KeepsWakers>),
    Shared(Arc<dyn KeepsWakers>),
}

impl Kept {
    fn for_each_waker(&self, visit: &mut dyn FnMut(&Waker)) {
        match self {
            Kept::Local(object) => object.for_each_waker(visit),
            Kept::Shared(object) => object.for_each_waker(visit),
        }
    }
}

/// Adds an object of this thread.
pub(crate) fn add_local<T: KeepsWakers + 'static>(object: &Rc<T>) {
    let object = Rc::downgrade(object);
    add(Keeper::Local(object));
}

/// Adds an object that wakers of other threads refer to.
pub(crate) fn add_shared<T: KeepsWakers + 'static>(object: &Arc<T>) {
    let object = Arc::downgrade(object);
    add(Keeper::Shared(object));
}

fn add(keeper: Keeper) {
    KEEPERS.with_borrow_mut(|keepers| {
        if keepers.all.len() >= keepers.room {
            keepers.all.retain(Keeper::exists);
            keepers.room = (2 * keepers.all.len()).max(16);
        }
        keepers.all.push(keeper);
    });
}

/// Counts the wakers, by their data.
pub(crate) fn count(kept: &mut HashMap<*const (), usize>) {
    // Collected, because another thread may drop its reference now: the drop of the last one, here,
    // drops wakers, and their code may add an object.
    let objects: Vec<Kept> =
        KEEPERS.with_borrow(|keepers| keepers.all.iter().filter_map(Keeper::upgrade).collect());
    let mut count = |waker: &Waker| *kept.entry(waker.data()).or_default() += 1;
    objects.iter().for_each(|object| object.for_each_waker(&mut count));
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Held by "another thread", which drops it while it is visited.
    static ELSEWHERE: Mutex<Option<Arc<AddsInDrop>>> = Mutex::new(None);

    struct AddsInDrop;

    impl KeepsWakers for AddsInDrop {
        fn for_each_waker(&self, _: &mut dyn FnMut(&Waker)) {
            drop(ELSEWHERE.lock().unwrap().take());
        }
    }

    impl Drop for AddsInDrop {
        fn drop(&mut self) {
            add_local(&Rc::new(Empty));
        }
    }

    struct Empty;

    impl KeepsWakers for Empty {
        fn for_each_waker(&self, _: &mut dyn FnMut(&Waker)) {}
    }

    #[test]
    fn an_object_that_ends_while_it_is_counted_may_add_another() {
        let object = Arc::new(AddsInDrop);
        add_shared(&object);
        *ELSEWHERE.lock().unwrap() = Some(object);
        count(&mut HashMap::new());
        assert!(ELSEWHERE.lock().unwrap().is_none());
    }
}
