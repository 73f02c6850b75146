//! The names of registrations, by key.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::arena;
use crate::handle::Key;

/// Names that the user has given.
#[derive(Debug, Default)]
pub(crate) struct NameMap {
    by_key: RefCell<HashMap<Key, Rc<str>>>,
    /// True if there are names. Most loops have none, and each call checks this.
    is_any: Cell<bool>,
}

impl NameMap {
    pub(super) fn insert(&self, key: Key, name: Rc<str>) {
        self.by_key.borrow_mut().insert(key, name);
        self.is_any.set(true);
    }

    pub(super) fn remove(&self, key: Key) -> Option<Rc<str>> {
        let mut names = self.by_key.borrow_mut();
        let name = names.remove(&key);
        arena::shrink_map(&mut names);
        self.is_any.set(!names.is_empty());
        name
    }

    pub(super) fn get(&self, key: Key) -> Option<Rc<str>> {
        if self.is_any.get() { self.by_key.borrow().get(&key).cloned() } else { None }
    }

    #[inline]
    pub(super) fn is_any(&self) -> bool {
        self.is_any.get()
    }
}
