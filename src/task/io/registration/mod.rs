//! An fd as a loop knows it, and the end of that.
//!
//! # Invariants
//!
//! * Nothing is asked of a loop before a call would have blocked, unless it is known that one will.
//!   From then on the fd is watched, by one loop, until the registration ends or the loop is closed.
//! * The registration ends before the fd is closed.

mod waiter;

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use mainspring_sys::blocking::{self, Blocking};
use mainspring_sys::{Interest, Readiness, TriggerMode, fd};

pub(super) use self::waiter::Waiter;
use super::transfer::Moved;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::task::tasks::{Place, Tasks};
use crate::task::{budget, current};
use crate::watchers::{Ownership, visible};

/// Steps that the calls on an fd may take in a tick: 64 calls, or 256 KiB. See [`budget`].
const STEPS: u32 = 64;

/// An fd, from the source's side.
pub(super) struct Registration {
    fd: RawFd,
    /// What the selector is asked for.
    interest: Cell<Interest>,
    mode: TriggerMode,
    ownership: Ownership,
    /// The loop, and the fd's key in it.
    watched: Cell<Option<(u32, Key)>>,
    /// Rule that keeps calls on the file from blocking.
    blocking: Blocking,
    /// The latest tick in which the fd was used, and the steps taken in it.
    used: Cell<(u32, u32)>,
    /// Who waits without a future of ours, by poll functions: to read, to write.
    pollers: [Place; 2],
    /// Its loop is one of this thread.
    local: PhantomData<Rc<Tasks>>,
}

impl Registration {
    /// Waits at `place` until the fd is ready for something in `interest`.
    pub(super) fn poll_ready(
        &self,
        place: &Place,
        interest: Interest,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Readiness>> {
        let running = current::running();
        if self.is_greedy(running.as_deref(), cx) {
            return Poll::Pending;
        }
        if running.as_deref().is_some_and(|tasks| self.is_elsewhere(tasks)) {
            self.move_here(place, interest)?;
        }
        let (tasks, key) = match self.find() {
            Some(found) => found,
            None => self.begin()?,
        };
        self.poll_known(&tasks, key, place, interest, cx)
    }

    /// Of a file that does not wait any more.
    pub(super) fn new(
        fd: RawFd,
        interest: Interest,
        blocking: Blocking,
        ownership: Ownership,
    ) -> Registration {
        Registration {
            fd,
            interest: Cell::new(interest),
            mode: TriggerMode::Edge,
            ownership,
            watched: Cell::new(None),
            blocking,
            used: Cell::new((0, 0)),
            pollers: [const { Place::new() }; 2],
            local: PhantomData,
        }
    }

    /// See [`Io::by_level`](super::Io::by_level).
    pub(super) fn by_level(&mut self) {
        self.mode = TriggerMode::Level;
    }

    /// See [`Io::watched`](super::Io::watched).
    pub(super) fn watch_now(&self) {
        if self.watched.get().is_none() {
            let _ = self.begin(); // The first one who waits asks again, and is told.
        }
    }

    /// # Errors
    ///
    /// `InvalidInput` for an interest that the fd is not watched for.
    pub(super) fn check(&self, interest: Interest) -> io::Result<()> {
        let mut watched = self.interest.get();
        if watched.contains(Interest::READABLE) {
            watched |= Interest::READ_CLOSED;
        }
        if !interest.is_empty() && watched.contains(interest) {
            return Ok(());
        }
        let message = format!("fd {} is not watched for {interest:?}", self.fd);
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    /// A place in the line of those who wait for `interest`.
    #[inline]
    pub(super) fn waiter(&self, interest: Interest) -> Waiter<'_> {
        Waiter { registration: self, interest, place: Place::new() }
    }

    /// Who comes by poll functions. Only the latest one is woken for each direction.
    #[inline]
    pub(super) fn poller(&self, interest: Interest) -> &Place {
        &self.pollers[usize::from(interest.contains(Interest::WRITABLE))]
    }

    /// Calls `call` until it does not block, waiting in between. If its result `is_short`, the next
    /// call is known to block.
    #[inline]
    pub(super) fn poll_call<R>(
        &self,
        place: &Place,
        interest: Interest,
        cx: &mut Context<'_>,
        mut call: impl FnMut() -> io::Result<R>,
        moved: impl Fn(&R) -> Moved,
    ) -> Poll<io::Result<R>> {
        let running = current::running();
        if self.is_greedy(running.as_deref(), cx) {
            return Poll::Pending;
        }
        loop {
            let elsewhere;
            let watched = match (self.watched.get(), &running) {
                (Some((loop_id, key)), Some(tasks)) if tasks.loop_id() == loop_id => {
                    Some((&**tasks, key))
                }
                (None, _) => None,
                (_, running) => {
                    if running.is_some() {
                        self.move_here(place, interest)?;
                    }
                    elsewhere = self.find();
                    elsewhere.as_ref().map(|(tasks, key)| (&**tasks, *key))
                }
            };
            if let Some((tasks, key)) = watched {
                ready!(self.poll_known(tasks, key, place, interest, cx))?;
            }
            let called = self.call(interest, &mut call);
            let Some(result) = self.settle(interest, called)? else { continue };
            let Moved { bytes, is_short } = moved(&result);
            if let Some((tasks, key)) = watched
                && is_short
                && self.tells_of_urgent_data()
            {
                tasks.io_exhausted(key, interest);
            }
            self.note(bytes);
            return Poll::Ready(Ok(result));
        }
    }

    /// Makes a call. On a file that goes on blocking, only if the kernel is ready for it.
    #[inline]
    pub(super) fn call<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        if self.blocking == Blocking::Kept && self.would_block(interest) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        call()
    }

    #[cold]
    fn would_block(&self, interest: Interest) -> bool {
        !blocking::is_ready(self.fd, interest.contains(Interest::WRITABLE))
    }

    /// Whether a short read may be taken for the last one: one also stops short at urgent data.
    #[inline]
    fn tells_of_urgent_data(&self) -> bool {
        self.interest.get().contains(Interest::PRIORITY)
    }

    /// What the answer of a call says about the fd; none: the call is to be made again, when the fd
    /// is ready.
    #[inline]
    pub(super) fn settle<R>(
        &self,
        interest: Interest,
        answer: io::Result<R>,
    ) -> io::Result<Option<R>> {
        match answer {
            Ok(result) => Ok(Some(result)),
            Err(error) => self.settle_error(interest, error).map(|()| None),
        }
    }

    fn settle_error(&self, interest: Interest, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.blocked(interest),
            io::ErrorKind::Interrupted => Ok(()),
            _ if !fd::is_open(self.fd) => {
                let operation = match interest {
                    Interest::READABLE => "read from",
                    Interest::WRITABLE => "write to",
                    _ => "use",
                };
                Err(Error::Watch { operation, fd: self.fd, source: error }.into())
            }
            _ => Err(error),
        }
    }

    /// True if another loop than `running` watches the fd.
    #[inline]
    fn is_elsewhere(&self, running: &Tasks) -> bool {
        self.watched.get().is_some_and(|(loop_id, _)| loop_id != running.loop_id())
    }

    /// Ends watching in another loop, so that the one that runs can begin. The other loop may never
    /// run again, and a wait there would not end.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if a task waits there.
    #[cold]
    fn move_here(&self, place: &Place, interest: Interest) -> Result<()> {
        let Some((tasks, key)) = self.find() else { return Ok(()) };
        let own = [(place, interest)];
        let pollers = self.pollers.iter().zip([Interest::READABLE, Interest::WRITABLE]);
        for (place, interest) in own.into_iter().chain(pollers).filter(|(it, _)| it.is_taken()) {
            tasks.io_leave(key, place, interest);
        }
        if tasks.io_waiter(key).is_some() {
            let why = "a task of another loop waits for it";
            let source = io::Error::new(io::ErrorKind::ResourceBusy, why);
            return Err(Error::Watch { operation: "watch", fd: self.fd, source });
        }
        tasks.unwatch_io(key);
        self.watched.set(None);
        Ok(())
    }

    /// A call would have blocked.
    fn blocked(&self, interest: Interest) -> io::Result<()> {
        self.check(interest)?;
        if current::running().is_some_and(|tasks| self.is_elsewhere(&tasks)) {
            self.move_here(self.poller(interest), interest)?;
        }
        match self.find() {
            Some((tasks, key)) => tasks.io_blocked(key, interest),
            None => drop(self.begin()?),
        }
        Ok(())
    }

    /// The fd has nothing more in these directions.
    pub(super) fn clear_readiness(&self, interest: Interest) {
        if let Some((tasks, key)) = self.find() {
            tasks.io_blocked(key, interest);
        }
    }

    #[inline]
    fn poll_known(
        &self,
        tasks: &Tasks,
        key: Key,
        place: &Place,
        interest: Interest,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Readiness>> {
        let Some(readiness) = tasks.io_readiness(key) else {
            return Poll::Ready(Err(Error::Closed.into()));
        };
        if readiness.contains(Readiness::INVALID) {
            return Poll::Ready(Err(Error::closed_while_watched(self.fd).into()));
        }
        let known = visible(readiness, interest);
        if known.is_empty() {
            tasks.io_wait(key, place, interest, cx.waker())?;
            return Poll::Pending;
        }
        place.clear();
        Poll::Ready(Ok(known))
    }

    /// Returns true if the fd or the task has used up its steps: the task is queued for the next tick.
    #[inline]
    fn is_greedy(&self, running: Option<&Tasks>, cx: &Context<'_>) -> bool {
        let Some(tick) = running.map(|tasks| tasks.core.tick.get() as u32) else { return false };
        let used = match self.used.get() {
            (latest, used) if latest == tick => used,
            _ => 0,
        };
        if used >= STEPS {
            cx.waker().wake_by_ref();
            return true;
        }
        self.used.set((tick, used + 1));
        budget::poll_left(cx).is_pending()
    }

    /// Takes the steps of a call that has moved `bytes`.
    #[inline]
    fn note(&self, bytes: usize) {
        let steps = budget::steps_of(bytes);
        let (tick, used) = self.used.get();
        self.used.set((tick, used + steps - 1)); // One was taken before the call.
        budget::spend(steps);
    }

    /// The loop that watches the fd. One that is closed does so no more, and the next one may.
    #[inline]
    fn find(&self) -> Option<(Rc<Tasks>, Key)> {
        let (loop_id, key) = self.watched.get()?;
        match current::find(loop_id) {
            Some(tasks) => Some((tasks, key)),
            None => {
                self.watched.set(None);
                None
            }
        }
    }

    /// Has the loop that runs watch the fd from now on.
    fn begin(&self) -> Result<(Rc<Tasks>, Key)> {
        let tasks = current::running().ok_or(Error::NoLoop { call: "mainspring::Io" })?;
        let key = self.watch(&tasks)?;
        self.watched.set(Some((tasks.loop_id(), key)));
        Ok((tasks, key))
    }

    /// Where a selector knows nothing of priority data, the fd is watched without.
    fn watch(&self, tasks: &Tasks) -> Result<Key> {
        let watch = || tasks.watch_io(self.fd, self.interest.get(), self.mode, self.ownership);
        match watch() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.interest.set(self.interest.get() - Interest::PRIORITY);
                watch()
            }
            result => result,
        }
    }

    fn leave(&self, place: &Place, interest: Interest) {
        if let Some((tasks, key)) = self.find() {
            tasks.io_leave(key, place, interest);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some((tasks, key)) = self.find() {
            tasks.unwatch_io(key);
        }
        blocking::end(self.fd, self.blocking);
    }
}
