//! The handle of a loop, by which its callbacks register, change and cancel.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::callback::{Callback, Once};
use super::exception_handler::ExceptionHandler;
use super::loop_core::LoopCore;
use super::messages::{LoopInbox, Messages};
use super::name_map::NameMap;
use super::remote_sites::RemoteSites;
use super::source::Source;
use super::task_port::TaskLayer;
use crate::callbacks::{CallbackEntry, Callbacks};
use crate::handle::{Handle, Key};
use crate::soon_queue::SoonQueue;

const _: () = assert!(size_of::<CallbackEntry<Source, Callback<()>>>() == 48);

/// The part of a loop that all its handles share.
pub(crate) struct Shared<S> {
    pub(crate) core: Rc<LoopCore>,
    pub(crate) tasks: Rc<dyn TaskLayer>,
    pub(crate) callbacks: RefCell<Callbacks<Source, Callback<S>>>,
    pub(crate) soon: RefCell<SoonQueue<Once<S>>>,
    pub(crate) inbox: Arc<LoopInbox<S>>,
    /// Messages that were taken from the inbox and have not run.
    pub(super) messages: RefCell<Messages<S>>,
    pub(super) remotes: RemoteSites,
    /// Names of registrations, for reports.
    pub(crate) names: NameMap,
    /// The exception handler. `None` while it runs, and if there is none.
    pub(crate) exception_handler: Cell<Option<ExceptionHandler<S>>>,
}

/// A handle to a loop. Callbacks get it, and any value on the loop's thread may keep a clone.
///
/// It can register, change and cancel everything, from any callback and from the `Drop` of any
/// value that a callback owns: the loop borrows nothing while it runs or drops user code. It cannot
/// run the loop. [A table](crate#where-to-begin) lists its methods by purpose, and [the
/// guide](crate::guide) shows them at work.
///
/// A handle that outlives its loop is harmless: calls that can fail return
/// [`Error::Closed`](crate::Error::Closed), and the others do nothing.
pub struct LoopHandle<S = ()> {
    pub(crate) shared: Rc<Shared<S>>,
}

/// # Registrations, time, and the end of a run
impl<S> LoopHandle<S> {
    pub(crate) fn new(
        core: Rc<LoopCore>,
        inbox: Arc<LoopInbox<S>>,
        tasks: Rc<dyn TaskLayer>,
    ) -> LoopHandle<S> {
        let shared = Shared {
            core,
            tasks,
            callbacks: RefCell::default(),
            soon: RefCell::default(),
            inbox,
            messages: RefCell::new(Messages::new()),
            remotes: RemoteSites::default(),
            names: NameMap::default(),
            exception_handler: Cell::new(None),
        };
        LoopHandle { shared: Rc::new(shared) }
    }

    pub(crate) fn core(&self) -> &Rc<LoopCore> {
        &self.shared.core
    }

    /// Cancels the registration of `handle`: a callback, a timer, a watcher, a signal handler, a
    /// hook, a server or a task.
    ///
    /// When this returns true, the callback never runs again, even if it was already queued. Its
    /// captures and its source have been dropped; those of a running callback are dropped when it
    /// returns. The fd of a watcher is deregistered from the kernel.
    ///
    /// Returns false if the callback has run, was cancelled, or belongs to another loop.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// let handle = el.call_soon(|_, sum| *sum += 1);
    /// assert!(el.cancel(handle));
    /// assert!(!el.cancel(handle));
    /// el.run()?;
    /// assert_eq!(*el.state(), 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn cancel(&self, handle: impl Into<Handle>) -> bool {
        let handle = handle.into();
        match handle.key {
            _ if handle.loop_id != self.core().loop_id => false,
            key if key.is_task_layer() => self.shared.tasks.cancel(key),
            key => self.remove(key),
        }
    }

    /// Ends the run after the current batch. Anything queued later stays queued for the next run.
    /// If the loop is not running, the next run ends after one tick, which does not sleep.
    pub fn stop(&self) {
        self.core().agenda.stop();
    }

    /// Returns true if a stop was requested and no run has acted on it yet.
    pub fn is_stopping(&self) -> bool {
        self.core().agenda.is_stopping()
    }

    /// Returns true if the loop is closed.
    pub fn is_closed(&self) -> bool {
        self.core().closed.get()
    }

    /// Returns the time of the loop's clock, read now.
    pub fn now(&self) -> Instant {
        self.core().timeline.now()
    }

    /// Returns the handle of the running callback, with which it can cancel itself or move its
    /// timer. `None` outside of callbacks.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::with_state(0)?;
    /// el.call_every(Duration::from_micros(1), |el, ticks| {
    ///     *ticks += 1;
    ///     if *ticks == 3 {
    ///         el.current().map(|this| el.cancel(this));
    ///     }
    /// })?;
    /// el.run()?;
    /// assert_eq!(*el.state(), 3);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn current(&self) -> Option<Handle> {
        let key = self.core().current.get();
        (key != Key::NONE).then(|| self.handle(key))
    }

    /// Moves `handle` to the background: [`run`](crate::EventLoop::run) may return although its
    /// callback could still be called. Returns false if `handle` has ended.
    ///
    /// A callback of [`call_soon`](LoopHandle::call_soon) keeps `run` going in any case.
    pub fn set_background(&self, handle: impl Into<Handle>) -> bool {
        self.mark_background(handle.into(), true)
    }

    /// Moves `handle` back to the foreground: [`run`](crate::EventLoop::run) waits for it again.
    /// Returns false if `handle` has ended.
    pub fn set_foreground(&self, handle: impl Into<Handle>) -> bool {
        self.mark_background(handle.into(), false)
    }

    fn mark_background(&self, handle: Handle, background: bool) -> bool {
        if handle.loop_id != self.core().loop_id {
            return false;
        }
        if handle.key.is_task_layer() {
            return self.shared.tasks.set_background(handle.key, background);
        }
        match self.shared.callbacks.borrow_mut().get(handle.key) {
            // No flag to set: a queued closure keeps the loop running in any case.
            None if handle.key.is_soon() => self.origin_of(handle.key).is_some(),
            Some(entry) => {
                entry.registered_at.set_background(background);
                true
            }
            None => false,
        }
    }

    /// Returns true if `handle` names a registration that has not ended and is not in the
    /// [background](LoopHandle::set_background).
    ///
    /// A disarmed timer and a paused watcher cannot be called. They do not keep
    /// [`run`](crate::EventLoop::run) going even in the foreground, see
    /// [`keeps_running`](LoopHandle::keeps_running).
    pub fn is_foreground(&self, handle: impl Into<Handle>) -> bool {
        let Handle { key, loop_id } = handle.into();
        match loop_id == self.core().loop_id {
            true if key.is_task_layer() => self.shared.tasks.is_foreground(key),
            true if key.is_soon() => self.origin_of(key).is_some(),
            true => {
                let mut callbacks = self.shared.callbacks.borrow_mut();
                callbacks.get(key).is_some_and(|entry| !entry.registered_at.is_background())
            }
            false => false,
        }
    }
}

impl<S> Clone for LoopHandle<S> {
    fn clone(&self) -> LoopHandle<S> {
        LoopHandle { shared: self.shared.clone() }
    }
}

impl<S> fmt::Debug for LoopHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopHandle(loop {})", self.core().loop_id)
    }
}
