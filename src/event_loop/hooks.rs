//! Hooks: callbacks that run at a stage of each tick.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use super::LoopHandle;
use super::callback::{Callback, Plain};
use super::callback_result::CallbackResult;
use super::source::{Hook, Source};
use crate::error::Result;
use crate::handle::{Handle, Key};
use crate::key_groups::KeyGroups;

/// Keys of all hooks.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    keys: RefCell<KeyGroups<Hook>>,
    /// Number of keys, so that a tick without hooks costs one comparison for each stage.
    count: Cell<usize>,
}

impl Hooks {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Returns true if there is a hook of this stage.
    #[inline]
    pub(crate) fn has(&self, hook: Hook) -> bool {
        !self.is_empty() && self.keys.borrow().has(hook)
    }

    /// Passes the hooks of a stage to `sink`, in the order in which they were added.
    pub(crate) fn for_each(&self, hook: Hook, sink: impl FnMut(Key)) {
        self.keys.borrow().of(hook).for_each(sink);
    }

    fn add(&self, hook: Hook, key: Key) {
        self.keys.borrow_mut().add(hook, key);
        self.count.set(self.keys.borrow().len());
    }

    pub(crate) fn remove(&self, key: Key) {
        self.keys.borrow_mut().remove(key);
        self.count.set(self.keys.borrow().len());
    }
}

/// # Hooks of each tick
impl<S> LoopHandle<S> {
    /// Calls `callback` in each tick before the loop polls the selector. If the callback queues
    /// anything, the loop does not sleep in this tick.
    ///
    /// ```
    /// use mainspring::EventLoop;
    ///
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// el.on_prepare(|_, order| order.push("prepare"))?;
    /// el.on_check(|_, order| order.push("check"))?;
    /// el.call_soon(|_, order| order.push("callback"));
    /// el.run()?;
    /// assert_eq!(*el.state(), ["prepare", "check", "callback"]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    #[track_caller]
    pub fn on_prepare<F, R>(&self, callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.add_hook(Hook::Prepare, Callback::repeat(Plain(callback)), Location::caller())
    }

    /// Calls `callback` in each tick after the loop has polled the selector, before the callbacks
    /// of the events. Anything that the callback queues runs after those.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    #[track_caller]
    pub fn on_check<F, R>(&self, callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.add_hook(Hook::Check, Callback::repeat(Plain(callback)), Location::caller())
    }

    /// Calls `callback` in each tick that has nothing else to run. The loop does not sleep while it
    /// has an idle hook, so [cancel](LoopHandle::cancel) the hook when its work is done.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    #[track_caller]
    pub fn on_idle<F, R>(&self, callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.add_hook(Hook::Idle, Callback::repeat(Plain(callback)), Location::caller())
    }

    fn add_hook(
        &self,
        hook: Hook,
        callback: Callback<S>,
        location: &'static Location<'static>,
    ) -> Result<Handle> {
        self.core().check_open()?;
        let source = Source::Hook(hook);
        let key = self.shared.callbacks.borrow_mut().insert(
            source,
            location,
            self.core().tick(),
            Some(callback),
        );
        self.core().hooks.add(hook, key);
        Ok(self.handle(key))
    }
}
