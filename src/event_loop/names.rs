//! Names of registrations, for reports.

use std::rc::Rc;

use super::LoopHandle;
use crate::arena;
use crate::handle::{Handle, Key};

/// # Names
impl<S> LoopHandle<S> {
    /// Names a registration in reports. Returns false if it has ended.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(String::new())?;
    /// el.set_exception_handler(|_, log, report| *log = report.to_string());
    /// let handle = el.call_soon(|_, _| Err(mainspring::Error::other("no luck")));
    /// assert!(el.set_name(handle, "probe"));
    /// el.run()?;
    /// assert!(el.state().starts_with("callback \"probe\" registered at "));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_name(&self, handle: impl Into<Handle>, name: &str) -> bool {
        let handle = handle.into();
        if handle.key.is_task_layer() && handle.loop_id == self.core().loop_id {
            return self.shared.tasks.set_name(handle.key, name);
        }
        let exists = self.source_of(handle).is_some();
        if exists {
            self.shared.names.borrow_mut().insert(handle.key, name.into());
        }
        exists
    }

    /// Removes and returns the name of a registration that ends.
    pub(crate) fn take_name(&self, key: Key) -> Option<Rc<str>> {
        if self.has_names() { self.remove_name(key) } else { None }
    }

    #[inline(never)]
    fn remove_name(&self, key: Key) -> Option<Rc<str>> {
        let mut names = self.shared.names.borrow_mut();
        let name = names.remove(&key);
        arena::shrink_map(&mut names);
        name
    }

    /// Returns true if any registration has a name. Most loops have no names at all.
    #[inline]
    pub(crate) fn has_names(&self) -> bool {
        !self.shared.names.borrow().is_empty()
    }

    /// Gives the name of `old` to its replacement `new`.
    pub(crate) fn pass_name(&self, old: Key, new: Key) {
        let mut names = self.shared.names.borrow_mut();
        if let Some(name) = names.remove(&old) {
            names.insert(new, name);
        }
    }

    pub(crate) fn name_of(&self, key: Key) -> Option<Rc<str>> {
        let names = self.shared.names.borrow();
        if names.is_empty() { None } else { names.get(&key).cloned() }
    }
}
