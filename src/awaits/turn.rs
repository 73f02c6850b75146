//! The lines of the turn that runs on this thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Await;

thread_local! {
    /// True while a loop that records polls a task.
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static LINES: RefCell<Lines> = const { RefCell::new(Lines::NONE) };
}

/// A call of this crate, and the line that awaits it. A call without a name keeps the names of the
/// calls inside it.
type Around = (Option<&'static str>, &'static Location<'static>);

/// The lines of the current turn, and of turns of outer loops in front of them.
struct Lines {
    /// The calls that are being polled, outermost first.
    around: Vec<Around>,
    /// The futures that were pending, in the order of their polls.
    awaits: Vec<Await>,
    /// The beginning of the current turn in both lists.
    begin: (usize, usize),
}

impl Lines {
    const NONE: Lines = Lines { around: Vec::new(), awaits: Vec::new(), begin: (0, 0) };

    fn add(&mut self, call: &'static str, location: &'static Location<'static>) {
        let mut found = Await { call, location };
        if is_library(location)
            && let Some((outer, awaited_at)) = self.around[self.begin.0..].last()
        {
            found = Await { call: outer.unwrap_or(call), location: awaited_at };
        }
        if !self.awaits[self.begin.1..].contains(&found) {
            self.awaits.push(found);
        }
    }
}

/// Returns true if the line is one of this crate or of the standard library, which polls a future
/// behind `&mut` or `Pin`.
pub(crate) fn is_library(location: &Location<'_>) -> bool {
    let is_in = |folder: Option<&str>| folder.is_some_and(|it| location.file().starts_with(it));
    is_in(file!().strip_suffix("awaits/turn.rs")) || is_in(std_folder())
}

/// Returns the folder of the standard library's sources, as it is in its locations.
fn std_folder() -> Option<&'static str> {
    thread_local!(static FOLDER: Option<&'static str> = {
        let mut place = &mut Place;
        match Pin::new(&mut place).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => place.file().strip_suffix("core/src/future/future.rs"),
            Poll::Pending => None,
        }
    });
    FOLDER.try_with(|folder| *folder).ok().flatten()
}

/// A future that returns the place of its poll.
struct Place;

impl Future for Place {
    type Output = &'static Location<'static>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<&'static Location<'static>> {
        Poll::Ready(Location::caller())
    }
}

/// Returns the result of a future's `poll`. If it is pending, the line that polls the future is
/// recorded as waiting for `call`.
#[inline(always)]
#[track_caller]
pub(crate) fn pending<T>(call: impl FnOnce() -> &'static str, polled: Poll<T>) -> Poll<T> {
    if polled.is_pending() && IS_ON.get() {
        add(call(), Location::caller());
    }
    polled
}

#[cold]
#[inline(never)]
fn add(call: &'static str, location: &'static Location<'static>) {
    // Without effect while the thread ends.
    let _ = LINES.try_with(|lines| lines.borrow_mut().add(call, location));
}

/// Returns true while a turn is recorded.
#[inline]
pub(super) fn is_on() -> bool {
    IS_ON.get()
}

/// A call that is being polled, until this is dropped.
pub(super) struct Entered {
    is_added: bool,
    /// Number of lines before the poll.
    before: usize,
}

impl Entered {
    #[cold]
    #[inline(never)]
    pub(super) fn new(call: Option<&'static str>, location: &'static Location<'static>) -> Entered {
        LINES.with_borrow_mut(|lines| {
            // The line of the outermost call is in user code.
            let is_added = !is_library(location) || lines.around.len() == lines.begin.0;
            if is_added {
                lines.around.push((call, location));
            }
            Entered { is_added, before: lines.awaits.len() }
        })
    }

    /// Returns true if no future inside the call was pending: the call waits for a future of
    /// another crate.
    #[cold]
    pub(super) fn is_silent(&self) -> bool {
        LINES.with_borrow(|lines| lines.awaits.len() == self.before)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.is_added {
            let _ = LINES.try_with(|lines| lines.borrow_mut().around.pop());
        }
    }
}

/// A turn of a task that is recorded, until this is dropped.
pub(crate) struct Turn {
    _outer: Outer,
    begin: (usize, usize),
}

impl Turn {
    #[cold]
    pub(crate) fn begin() -> Turn {
        let begin = LINES.with_borrow_mut(|lines| {
            let here = (lines.around.len(), lines.awaits.len());
            std::mem::replace(&mut lines.begin, here)
        });
        Turn { _outer: Outer(IS_ON.replace(true)), begin }
    }

    /// Calls `read` with the futures that were pending.
    pub(crate) fn end<T>(self, read: impl FnOnce(&[Await]) -> T) -> T {
        LINES.with_borrow(|lines| read(&lines.awaits[lines.begin.1..]))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = LINES.try_with(|lines| {
            let mut lines = lines.borrow_mut();
            let (around, awaits) = lines.begin;
            lines.around.truncate(around);
            lines.awaits.truncate(awaits);
            lines.begin = self.begin;
        });
    }
}

/// The state of the recording before another turn. The drop restores it.
#[derive(Debug)]
struct Outer(bool);

impl Drop for Outer {
    fn drop(&mut self) {
        IS_ON.set(self.0);
    }
}

/// Stops the recording, because another loop begins to run. Returns true if a turn was being
/// recorded.
#[inline]
pub(crate) fn pause() -> bool {
    is_on() && IS_ON.replace(false)
}

/// Continues the recording that [`pause`] has stopped, when the other loop has stopped running.
#[inline]
pub(crate) fn resume() {
    IS_ON.set(true);
}
