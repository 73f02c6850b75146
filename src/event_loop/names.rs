//! Names of registrations, for reports.

use std::rc::Rc;

use super::LoopHandle;
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
            self.shared.names.insert(handle.key, name.into());
        }
        exists
    }

    /// Removes and returns the name of a registration that ends.
    pub(crate) fn take_name(&self, key: Key) -> Option<Rc<str>> {
        if self.has_names() { self.shared.names.remove(key) } else { None }
    }

    /// Returns true if any registration has a name. Most loops have no names at all.
    #[inline]
    pub(crate) fn has_names(&self) -> bool {
        self.shared.names.is_any()
    }

    /// Gives the name of `old` to its replacement `new`.
    pub(crate) fn pass_name(&self, old: Key, new: Key) {
        if let Some(name) = self.take_name(old) {
            self.shared.names.insert(new, name);
        }
    }

    pub(crate) fn name_of(&self, key: Key) -> Option<Rc<str>> {
        self.shared.names.get(key)
    }
}
