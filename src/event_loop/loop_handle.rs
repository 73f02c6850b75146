//! The loop as its callbacks see it: everything that can be registered, changed and removed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mainspring_sys::Wakeup;

use super::callback::{Callback, Message, Once};
use super::loop_core::LoopCore;
use super::registry::Successor;
use super::report::{ExceptionHandler, PanicPolicy, Report};
use super::source::{Hook, Source};
use super::task_port::TaskLayer;
use crate::callbacks::Callbacks;
use crate::error::{Error, Result};
use crate::handle::{Handle, Key};
use crate::inbox::Inbox;
use crate::key_groups::KeyGroups;
use crate::soon_queue::SoonQueue;

/// The inbox of a loop with state `S`.
pub(crate) type LoopInbox<S> = Inbox<Message<S>, Wakeup>;

/// What all handles of a loop share.
pub(crate) struct Shared<S> {
    pub(crate) core: Rc<LoopCore>,
    pub(crate) tasks: Rc<dyn TaskLayer>,
    pub(crate) callbacks: RefCell<Callbacks<Source, Callback<S>>>,
    pub(crate) soon: RefCell<SoonQueue<Once<S>>>,
    pub(crate) inbox: Arc<LoopInbox<S>>,
    pub(crate) hooks: RefCell<KeyGroups<Hook>>,
    pub(crate) names: RefCell<HashMap<Key, Rc<str>>>,
    /// The replacement that waits for the running callback to return: its key, and the closure that
    /// makes it of the source. [`LoopCore::heir`] names the callback that runs.
    pub(crate) successor: Cell<Option<(Key, Successor<S>)>>,
    pub(crate) exception_handler: Cell<Option<ExceptionHandler<S>>>,
}

/// A handle to a loop: what its callbacks get, and what anything on the loop's thread may keep.
///
/// It can register, change and remove everything, from any callback and from the `Drop` of anything
/// that a callback owns: the loop holds no borrow while it runs or drops what is not its own. It
/// cannot run the loop.
///
/// A handle that outlives its loop is harmless: what can fail answers
/// [`Error::Closed`](crate::Error::Closed), and what cannot does nothing.
pub struct LoopHandle<S = ()> {
    pub(crate) shared: Rc<Shared<S>>,
}

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
            hooks: RefCell::default(),
            names: RefCell::default(),
            successor: Cell::new(None),
            exception_handler: Cell::new(None),
        };
        LoopHandle { shared: Rc::new(shared) }
    }

    pub(crate) fn core(&self) -> &Rc<LoopCore> {
        &self.shared.core
    }

    /// Cancels whatever `handle` names: when this returns true, the callback will never run again
    /// and its captures have been dropped (those of the callback that is running: when it returns).
    ///
    /// False if it has run, was cancelled, or belongs to another loop.
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

    /// Ends the run after the batch that is under way; what is queued later stays for the next run.
    /// Asked for while the loop does not run, it ends the next run after one tick that does not
    /// sleep.
    pub fn stop(&self) {
        self.core().stopping.set(true);
    }

    /// Whether a stop was asked for that no run has seen yet.
    pub fn is_stopping(&self) -> bool {
        self.core().stopping.get()
    }

    /// Whether the loop is closed.
    pub fn is_closed(&self) -> bool {
        self.core().closed.get()
    }

    /// Makes the loop usable in a child process made by fork(2), with everything that is registered.
    ///
    /// The kernel objects behind a loop are shared with the parent, so in the child the loop is
    /// unusable at first: what can fail answers [`Error::Forked`](crate::Error::Forked), and dropping
    /// the loop closes the child's copies of descriptors and changes nothing of the parent's. This
    /// call makes a new selector and new doorbells and registers every watcher again. Both loops
    /// watch the same files then, so close or remove in each process what the other one serves.
    ///
    /// * Arena, timers and tasks are there, each in both processes. Periodic task is polled once.
    /// * Closures that were sent before the fork run in both processes, except one that a thread was
    ///   just sending. A [`Remote`](super::Remote) reaches the loop of its own process.
    /// * The executor starts again without threads, and lookups with it. A job of the parent is an
    ///   error in the child.
    /// * Signals that came to the child since the fork are delivered now. A child that drops the loop
    ///   instead puts the dispositions back.
    ///
    /// A child that calls [`exec`](std::os::unix::process::CommandExt::exec), or was made by
    /// [`std::process::Command`], inherits no descriptor of the loop.
    ///
    /// In the process that made the loop, the call does nothing. Call it before the child opens other
    /// files: where the kernel does not pass the selector on to a child (kqueue(2)), its number may be
    /// in use by then, which is an error. A child made inside a callback calls it there.
    ///
    /// # Errors
    ///
    /// [`Error::Create`](crate::Error::Create) if the system refuses a descriptor: the loop is still
    /// unusable, and the call can be repeated. [`Error::Closed`](crate::Error::Closed).
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// el.call_soon(|_, calls| *calls += 1);
    /// // if fork() == 0 {
    /// el.after_fork_child()?;
    /// el.run()?;
    /// assert_eq!(*el.state(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn after_fork_child(&self) -> Result<()> {
        let (core, Shared { inbox, tasks, .. }) = (self.core(), &*self.shared);
        if core.closed.get() {
            return Err(Error::Closed);
        }
        if !core.is_forked() {
            return Ok(());
        }
        let renewed = inbox.wakeup().after_fork();
        renewed.map_err(|source| Error::Create { part: "doorbell", source })?;
        core.after_fork()?;
        inbox.after_fork();
        tasks.after_fork();
        Ok(())
    }

    /// The time of the loop's clock, read now.
    pub fn now(&self) -> Instant {
        self.core().timeline.now()
    }

    /// Returns the time at which the loop has something to do next, whatever its descriptors do.
    ///
    /// That is now if anything is queued, a stop is asked for, or a file is watched that is always
    /// ready; else the first timer's deadline. None if the loop waits for events only.
    ///
    /// A host that sleeps until then, or until [`poll_fd`](crate::EventLoop::poll_fd) is readable,
    /// misses nothing. One that sees only edges follows [`PollFd`](crate::PollFd#how-a-host-drives-a-loop).
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = self.core();
        if self.has_work() || core.watchers.borrow().has_ready() {
            return Some(core.timeline.now());
        }
        let deadline = core.timers.borrow_mut().next_deadline()?;
        core.timeline.instant_of(deadline)
    }

    /// The handle of the callback that runs: for one that removes itself, or keeps its own timer.
    /// None outside of callbacks.
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

    /// Whether the next tick has something to do without any event or deadline.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.core().has_work() || self.has_hook(Hook::Idle)
    }

    /// Moves `handle` to the background: [`run`](crate::EventLoop::run) does not wait for it and may
    /// end although it could still be called. Returns false if `handle` has ended.
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
            // What is queued keeps the loop running in any case.
            None if handle.key.is_soon() => self.origin_of(handle.key).is_some(),
            Some(entry) => {
                entry.background = background;
                true
            }
            None => false,
        }
    }

    /// Gives a registration a name, for reports. False if it names nothing any more.
    pub fn set_name(&self, handle: impl Into<Handle>, name: &str) -> bool {
        let handle = handle.into();
        if handle.key.is_task_layer() && handle.loop_id == self.core().loop_id {
            return self.shared.tasks.set_name(handle.key, name);
        }
        let known = self.source_of(handle).is_some();
        if known {
            self.shared.names.borrow_mut().insert(handle.key, name.into());
        }
        known
    }

    /// Sets what is told of failures: errors that callbacks return, panics if the policy is to
    /// report them, slow callbacks, trouble of listeners.
    ///
    /// The handler gets every report. Without one, each report is a line on standard error, written
    /// in one call. Of each place of registration 10 lines are written in 10 seconds; the next line
    /// then has the number of the others ("and 4,211 more"). A line that standard error does not take
    /// at once is counted too, so a full pipe, a full disk or a closed descriptor never stops the
    /// loop.
    ///
    /// ```
    /// use mainspring::{Error, EventLoop};
    ///
    /// let mut el = EventLoop::with_state(0)?;
    /// el.set_exception_handler(|_, failures, report| {
    ///     assert_eq!(report.error.to_string(), "no luck");
    ///     assert!(report.location.file().ends_with(".rs"));
    ///     *failures += 1;
    /// });
    /// el.call_soon(|_, _| Err(Error::other("no luck")));
    /// el.run()?;
    /// assert_eq!(*el.state(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn set_exception_handler<F>(&self, handler: F)
    where
        F: FnMut(&LoopHandle<S>, &mut S, &Report) + 'static,
    {
        if !self.core().closed.get() {
            let handler =
                ExceptionHandler { call: Box::new(handler), location: Location::caller() };
            if let Some(old) = self.shared.exception_handler.replace(Some(handler)) {
                self.discard_handler(old);
            }
        }
    }

    /// Sets the fate of a panic of user code.
    pub fn set_panic_policy(&self, policy: PanicPolicy) {
        self.core().panic_policy.set(policy);
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
