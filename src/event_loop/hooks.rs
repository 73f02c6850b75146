//! Arena of signals, and of places in the tick; and the way in for other threads.

use std::panic::Location;

use mainspring_sys::Signal;

use super::callback::{Callback, CallbackResult, Plain};
use super::source::{Hook, Source};
use super::{LoopHandle, Remote};
use crate::error::Result;
use crate::handle::{Handle, Key};

impl<S> LoopHandle<S> {
    /// Calls `callback` when the process gets `signal`, as an ordinary callback. A signal may have
    /// several, in several loops too.
    ///
    /// Signals of the same number that come before the callback runs may be merged into one call,
    /// as everywhere in Unix; different ones never are. Nothing is blocked, so children inherit
    /// nothing. When the last handler of a signal is removed, in all loops, the process does
    /// exactly what it did before.
    ///
    /// A handler that other code had installed with sigaction(2) before, signal-hook's for example,
    /// still runs: the loop's handler calls it, after it has recorded the signal. The default action
    /// and `SIG_IGN` do not apply while a loop handles the signal.
    ///
    /// A handler keeps [`run`](crate::EventLoop::run) going: [`set_background`](LoopHandle::set_background) it if the
    /// loop is to end when its other work is done. A task waits for a signal by a
    /// [`Promise`](crate::Promise) that the handler sets, or by a [`Shutdown`](crate::Shutdown) that
    /// it begins.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`](crate::Error::Signal) for KILL and STOP, which cannot be caught, and for
    /// the faults (SEGV, BUS, FPE, ILL ..); [`Error::Create`](crate::Error::Create) without
    /// descriptors for the doorbell; [`Error::Closed`](crate::Error::Closed).
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal};
    ///
    /// let mut el = EventLoop::new()?;
    /// el.add_signal_handler(Signal::TERM, |el, _| el.stop())?;
    /// Signal::TERM.raise()?;
    /// el.run_forever()?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn add_signal_handler<F, R>(&self, signal: Signal, callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.core().check_open()?;
        let source = Source::Signal(signal);
        let callback = Callback::repeat(Plain(callback));
        let location = Location::caller();
        let key = self.shared.callbacks.borrow_mut().insert(source, location, Some(callback));
        if let Err(error) = self.core().add_signal(signal, key) {
            let entry = self.shared.callbacks.borrow_mut().remove(key);
            drop(entry);
            return Err(error);
        }
        Ok(self.handle(key))
    }

    /// A way to reach the loop from other threads. It keeps [`run`](crate::EventLoop::run) going
    /// until it is dropped, see [`Remote::background`].
    pub fn remote(&self) -> Remote<S> {
        Remote::new(self.shared.inbox.clone())
    }

    /// Calls `callback` in each tick before the loop asks the selector: what it queues makes the
    /// loop not sleep.
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

    /// Calls `callback` in each tick after the loop has asked the selector, before anything that
    /// the selector found. What it queues runs after that.
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

    /// Calls `callback` in each tick that has nothing else to do. While there is such a hook the
    /// loop does not sleep, so remove it when its work is done.
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
        let key = self.shared.callbacks.borrow_mut().insert(source, location, Some(callback));
        self.shared.hooks.borrow_mut().add(hook, key);
        self.count_hooks();
        Ok(self.handle(key))
    }

    pub(crate) fn remove_hook(&self, key: Key) {
        self.shared.hooks.borrow_mut().remove(key);
        self.count_hooks();
    }

    fn count_hooks(&self) {
        self.core().hooks.set(self.shared.hooks.borrow().len());
    }

    #[inline]
    pub(crate) fn has_hook(&self, hook: Hook) -> bool {
        self.core().hooks.get() > 0 && self.shared.hooks.borrow().has(hook)
    }

    /// Hands the hooks of one place to `sink`, in order of adding.
    pub(crate) fn feed_hooks(&self, hook: Hook, sink: impl FnMut(Key)) {
        self.shared.hooks.borrow().of(hook).for_each(sink);
    }
}
