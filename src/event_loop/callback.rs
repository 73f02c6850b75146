//! Callbacks in the arena and in queues: closures that run once, and shared ones that repeat.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::Location;
use std::rc::Rc;

use mainspring_sys::Readiness;
use mainspring_sys::closure::{CallOnce, Inline1, Inline3, SendOnce};

use super::LoopHandle;
use super::callback_result::CallbackResult;
use crate::clock::IntervalGrid;
use crate::error::{Error, Result};
use crate::snapshot::{EntryKind, Facts};

/// Result of a closure that runs once. The box makes it fit into a register.
pub(crate) type OnceResult = Result<(), Box<Error>>;

/// A closure that runs once. With room for more than one word it was slower than a boxed closure:
/// copying words that were just written stalls.
pub(crate) type Once<S> = CallOnce<Inline1, LoopHandle<S>, S, OnceResult>;

/// A closure that another thread sent. It has room for three words nevertheless: freeing another
/// thread's memory costs more than the copy.
pub(crate) type RemoteCall<S> = SendOnce<Inline3, LoopHandle<S>, S, OnceResult>;

/// A closure from another thread, and the place where it was sent.
pub(crate) type Message<S> = (RemoteCall<S>, &'static Location<'static>);

/// Converts the return value of a closure that runs once.
#[inline]
pub(crate) fn once_result(value: impl CallbackResult) -> OnceResult {
    value.into_result().map_err(Box::new)
}

/// Result of one call of a repeating callback. It fits into two registers.
///
/// `Continue` keeps the registration. `Break` removes it, because of an error if there is one.
pub(crate) type Flow = ControlFlow<Option<Box<Error>>>;

/// Keeps the registration.
pub(crate) const KEEP: Flow = ControlFlow::Continue(());
/// Removes the registration; nothing failed.
pub(crate) const REMOVE: Flow = ControlFlow::Break(None);

/// Returns the `Flow` that removes the registration because of `error`.
#[cold]
pub(crate) fn failed(error: Error) -> Flow {
    ControlFlow::Break(Some(Box::new(error)))
}

/// Keeps the registration unless `result` is an error.
#[inline]
pub(crate) fn keep_unless_failed(result: Result<()>) -> Flow {
    match result {
        Ok(()) => KEEP,
        Err(error) => failed(error),
    }
}

/// A callback that runs again and again.
pub(crate) trait Repeat<S> {
    /// True if the registration outlives a panic of user code in [`call`](Repeat::call).
    const SURVIVES_PANICS: bool = false;

    /// Runs the callback.
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow;

    /// Kind in a snapshot; `None` for the kind of its source.
    const KIND: Option<EntryKind> = None;

    /// Returns facts for a snapshot.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// Takes the [`Watched`](super::Watched) source out, for the callback that replaces this one.
    fn take_watched(&mut self) -> Option<Box<dyn Any>> {
        None
    }
}

/// A repeating callback in its cell. The cell is borrowed while the callback runs. Callbacks do not
/// nest, so nothing else borrows it then.
///
/// The cell is behind the trait, because `Rc<RefCell<dyn Repeat<S>>>` costs an event 4 instructions
/// more, of 180: the offset of a `dyn` value in its cell depends on its alignment.
pub(crate) trait RepeatCell<S> {
    fn call(&self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow;
    fn take_watched(&self) -> Option<Box<dyn Any>>;
    fn is_running(&self) -> bool;
    fn survives_panics(&self) -> bool;
    /// Returns the kind in a snapshot; `None` for the kind of its source.
    fn kind(&self) -> Option<EntryKind>;
    /// Returns facts for a snapshot.
    fn facts(&self) -> Facts;

    /// Returns the ticks of an interval, and `None` for any other callback.
    fn grid(&self) -> Option<&IntervalGrid> {
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

    fn kind(&self) -> Option<EntryKind> {
        R::KIND
    }

    fn facts(&self) -> Facts {
        let running = Facts { is_running: true, ..Facts::default() };
        self.try_borrow().map_or(running, |repeat| repeat.facts())
    }
}

/// A repeating callback, owned by its arena entry and, while it runs, also by the loop. Sharing it
/// costs 40 instructions less, of 255 an event, than moving it out of the arena and back.
pub(crate) type Repeating<S> = Rc<dyn RepeatCell<S>>;

/// Creates a callback for the source of the callback that it replaces. Returns `None` if the source
/// was removed.
pub(crate) type Replacement<S> =
    Box<dyn FnOnce(&LoopHandle<S>, Box<dyn Any>) -> Option<Callback<S>>>;

/// Number of bits of [`Callback::Repeat`]'s `runs` that are kept there.
const RUN_BITS: u32 = 30;

/// A callback in the arena.
pub(crate) enum Callback<S> {
    Once(Once<S>),
    Repeat {
        /// Upper bits of the number of runs, from bit [`RUN_BITS`] on. Both fit beside the tag.
        runs_high: u16,
        /// Lower bits of the number of runs, see [`carry_runs`](Callback::carry_runs).
        runs: u32,
        repeat: Repeating<S>,
    },
    /// Replaces a callback that is still running. It is installed when the running one returns its
    /// source.
    Parked(Replacement<S>),
}

const _: () = assert!(size_of::<Callback<()>>() == 24);

impl<S> Callback<S> {
    pub(crate) fn repeat(repeat: impl Repeat<S> + 'static) -> Callback<S> {
        Callback::repeating(Rc::new(RefCell::new(repeat)))
    }

    pub(crate) fn repeating(repeat: Repeating<S>) -> Callback<S> {
        Callback::Repeat { runs_high: 0, runs: 0, repeat }
    }

    /// Returns how often it was called.
    pub(crate) fn runs(&self) -> u64 {
        match self {
            Callback::Repeat { runs_high, runs, .. } => {
                (u64::from(*runs_high) << RUN_BITS) + u64::from(*runs)
            }
            Callback::Once(_) | Callback::Parked(_) => 0,
        }
    }

    /// Moves the number of runs to its upper bits. Call it before the lower ones overflow: a tick
    /// adds one or two.
    pub(crate) fn carry_runs(&mut self) {
        if let Callback::Repeat { runs_high, runs, .. } = self {
            *runs_high = runs_high.saturating_add((*runs >> RUN_BITS) as u16);
            *runs &= (1 << RUN_BITS) - 1;
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Callback::Repeat { repeat, .. } if repeat.is_running())
    }

    /// Returns the kind in a snapshot; `None` for that of the source.
    pub(crate) fn kind(&self) -> Option<EntryKind> {
        match self {
            Callback::Repeat { repeat, .. } => repeat.kind(),
            Callback::Once(_) | Callback::Parked(_) => None,
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        match self {
            Callback::Repeat { repeat, .. } => repeat.facts(),
            Callback::Once(_) | Callback::Parked(_) => Facts::default(),
        }
    }

    /// Returns the ticks of an interval, and `None` for any other callback.
    pub(crate) fn grid(&self) -> Option<&IntervalGrid> {
        match self {
            Callback::Repeat { repeat, .. } => repeat.grid(),
            Callback::Once(_) | Callback::Parked(_) => None,
        }
    }
}

impl<S> fmt::Debug for Callback<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Callback::Once(_) => "Once",
            Callback::Repeat { .. } => "Repeat",
            Callback::Parked(_) => "Parked",
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
        keep_unless_failed((self.0)(el, state).into_result())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o4_runs_are_carried_before_the_lower_bits_overflow() {
        let mut callback: Callback<()> =
            Callback::repeat(Plain(|_: &LoopHandle<()>, _: &mut ()| Ok::<(), Error>(())));
        for round in 1..4 {
            let Callback::Repeat { runs, .. } = &mut callback else { unreachable!() };
            *runs += (1 << RUN_BITS) + 5;
            let expected = round * ((1 << RUN_BITS) + 5);
            assert_eq!(callback.runs(), expected);
            callback.carry_runs();
            assert_eq!(callback.runs(), expected);
            let Callback::Repeat { runs, .. } = &callback else { unreachable!() };
            assert!(*runs < 1 << RUN_BITS);
        }
    }
}
