//! The forms a callback takes inside the loop.

use std::any::Any;
use std::cell::Cell;
use std::cell::RefCell;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::Location;
use std::rc::Rc;

use mainspring_sys::Readiness;
use mainspring_sys::closure::{CallOnce, Inline1, Inline3, SendOnce};

use super::loop_core::LoopCore;
use super::{LoopHandle, Watched};
use crate::clock::Grid;
use crate::error::{Error, Result};
use crate::timers::TimerSlot;

/// What a scheduled closure may return: nothing, or a [`Result`] whose error goes to the exception
/// handler. A closure that never returns, since it ends the process or loops, is a callback as well:
///
/// ```no_run
/// use mainspring::{EventLoop, Signal};
///
/// let mut el = EventLoop::new()?;
/// el.add_signal_handler(Signal::TERM, |_, _| std::process::exit(0))?;
/// el.run_forever()
/// # ; Ok::<(), mainspring::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback returns `()` or `mainspring::Result<()>`, and not `{Self}`",
    note = "end its last expression with `;` to return nothing",
    note = "another error becomes a `mainspring::Error` by `?`, or by `Error::other`"
)]
pub trait CallbackResult {
    /// The outcome as a result.
    #[allow(clippy::missing_errors_doc)]
    fn into_result(self) -> Result<()>;
}

impl CallbackResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl CallbackResult for Result<()> {
    fn into_result(self) -> Result<()> {
        self
    }
}

/// Names the return type of a function pointer.
pub trait Returns {
    /// The return type.
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// The type `!`, which stable Rust accepts only as the return type of a function.
pub(crate) type Never = <fn() -> ! as Returns>::Value;

/// A callback that never returns.
impl CallbackResult for Never {
    fn into_result(self) -> Result<()> {
        self
    }
}

/// What comes of a closure that runs once. In this form it fits into a register.
pub(crate) type OnceResult = Result<(), Box<Error>>;

/// A closure that runs once.
pub(crate) type Once<S> = CallOnce<Inline1, LoopHandle<S>, S, OnceResult>;

/// A closure that another thread has sent.
pub(crate) type RemoteCall<S> = SendOnce<Inline3, LoopHandle<S>, S, OnceResult>;

/// Such a closure on its way, and where it was sent.
pub(crate) type Message<S> = (RemoteCall<S>, &'static Location<'static>);

/// What comes of a closure that runs once and returned `outcome`.
#[inline]
pub(crate) fn once_result(outcome: impl CallbackResult) -> OnceResult {
    outcome.into_result().map_err(Box::new)
}

/// What comes of one call of a repeating callback: it stays, or leaves, or leaves because of an
/// error. In this form it fits into two registers.
pub(crate) type Flow = ControlFlow<Option<Box<Error>>>;

/// The callback stays.
pub(crate) const KEEP: Flow = ControlFlow::Continue(());
/// The callback leaves, and nothing went wrong.
pub(crate) const REMOVE: Flow = ControlFlow::Break(None);

/// The callback leaves because of an error.
#[cold]
pub(crate) fn failed(error: Error) -> Flow {
    ControlFlow::Break(Some(Box::new(error)))
}

/// The callback stays unless it failed.
#[inline]
fn stay(result: Result<()>) -> Flow {
    match result {
        Ok(()) => KEEP,
        Err(error) => failed(error),
    }
}

/// A callback that runs again and again.
pub(crate) trait Repeat<S> {
    /// True if a panic of user code that it calls does not end its registration.
    const SURVIVES_PANICS: bool = false;

    /// Runs it. An error ends its registration.
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow;

    /// The watched source, for a callback that takes the place of this one.
    fn take_watched(&mut self) -> Option<Box<dyn Any>> {
        None
    }
}

/// A repeating callback in its cell, which is borrowed while it runs, and by nobody else then:
/// callbacks do not run inside of callbacks.
pub(crate) trait RepeatCell<S> {
    fn call(&self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow;
    fn take_watched(&self) -> Option<Box<dyn Any>>;
    fn is_running(&self) -> bool;
    fn survives_panics(&self) -> bool;

    /// The ticks of an interval.
    fn grid(&self) -> Option<&Grid> {
        None
    }
}

impl<S, R: Repeat<S>> RepeatCell<S> for RefCell<R> {
    fn call(&self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        self.borrow_mut().call(el, state, readiness)
    }

    fn take_watched(&self) -> Option<Box<dyn Any>> {
        self.borrow_mut().take_watched()
    }

    fn is_running(&self) -> bool {
        self.try_borrow_mut().is_err()
    }

    fn survives_panics(&self) -> bool {
        R::SURVIVES_PANICS
    }
}

/// A repeating callback, shared by its slot and, while it runs, by the loop.
pub(crate) type Repeating<S> = Rc<dyn RepeatCell<S>>;

/// A callback in the arena.
pub(crate) enum Callback<S> {
    Once(Once<S>),
    Repeat(Repeating<S>),
}

impl<S> Callback<S> {
    pub(crate) fn repeat(repeat: impl Repeat<S> + 'static) -> Callback<S> {
        Callback::Repeat(Rc::new(RefCell::new(repeat)))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Callback::Repeat(repeat) if repeat.is_running())
    }

    /// The ticks of an interval.
    pub(crate) fn grid(&self) -> Option<&Grid> {
        match self {
            Callback::Repeat(repeat) => repeat.grid(),
            Callback::Once(_) => None,
        }
    }
}

impl<S> fmt::Debug for Callback<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Callback::Once(_) => "Once",
            Callback::Repeat(_) => "Repeat",
        })
    }
}

/// A hook, or the handler of a signal.
pub(crate) struct Plain<F>(pub(crate) F);

impl<S, F, R> Repeat<S> for Plain<F>
where
    F: FnMut(&LoopHandle<S>, &mut S) -> R,
    R: CallbackResult,
{
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, _: Readiness) -> Flow {
        stay((self.0)(el, state).into_result())
    }
}

/// The callback of an interval. The grid can be moved while the callback runs.
pub(crate) struct Periodic<F> {
    pub(crate) core: Rc<LoopCore>,
    pub(crate) timer: TimerSlot,
    pub(crate) grid: Grid,
    pub(crate) callback: RefCell<F>,
}

impl<F> Periodic<F> {
    /// Arms the next tick, and returns how many ticks are lost.
    fn advance(&self) -> u64 {
        let lost = self.grid.advance(self.core.timeline.now_nanos());
        self.core.timers.borrow_mut().reset(self.timer, self.grid.next());
        lost
    }
}

/// Sets a count back to zero when it ends, also by a panic.
struct Forgotten<'a>(&'a Cell<u64>);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

impl<S, F, R> RepeatCell<S> for Periodic<F>
where
    F: FnMut(&LoopHandle<S>, &mut S) -> R,
    R: CallbackResult,
{
    fn call(&self, el: &LoopHandle<S>, state: &mut S, _: Readiness) -> Flow {
        let missed = self.advance();
        self.core.skipped_ticks.set(missed);
        let _forgotten = Forgotten(&self.core.skipped_ticks);
        stay((self.callback.borrow_mut())(el, state).into_result())
    }

    fn take_watched(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn is_running(&self) -> bool {
        self.callback.try_borrow_mut().is_err()
    }

    fn survives_panics(&self) -> bool {
        false
    }

    fn grid(&self) -> Option<&Grid> {
        Some(&self.grid)
    }
}

/// The callback of a watched source.
///
/// In this order an event reads the first 40 bytes of the box, counts and a small capture included,
/// which mostly are one cache line.
#[repr(C)]
pub(crate) struct Watching<T, F> {
    pub(crate) callback: F,
    pub(crate) watched: Option<Watched<T>>,
}

impl<S, T, F> Repeat<S> for Watching<T, F>
where
    T: 'static,
    F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()>,
{
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        let Some(watched) = &mut self.watched else { return REMOVE };
        if let Err(error) = watched.begin(readiness) {
            return failed(error);
        }
        match (self.callback)(el, state, watched) {
            Ok(()) => watched.flow(),
            Err(error) if error.is_retry() => {
                watched.clear_readiness();
                watched.flow()
            }
            Err(error) => failed(error),
        }
    }

    fn take_watched(&mut self) -> Option<Box<dyn Any>> {
        self.watched.take().map(|watched| Box::new(watched) as Box<dyn Any>)
    }
}
