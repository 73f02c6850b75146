//! An fd from the view of its source: the loop that watches it, and calls that wait.
//!
//! # Invariants
//!
//! * The fd is registered when a call has blocked, or earlier if it is certain that a call will
//!   block. From then on one loop watches it, until the registration is dropped or the loop is
//!   closed.
//! * The registration ends before the fd is closed.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use mainspring_sys::nonblocking::{self, BlockingMode};
use mainspring_sys::{Interest, Readiness, TriggerMode, fd};

use super::transferred::Transferred;
use super::watched_by::WatchedBy;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::task::{Tasks, Ticket, budget, current};
use crate::watchers::{FdOwnership, visible};

/// Steps that calls on one fd may take in a tick: 64 calls, or 256 KiB. See [`budget`].
const STEPS: u32 = 64;

// The place shares its memory with the key, so that a registration is not larger.
const _: () = assert!(size_of::<Registration>() <= 64);

/// An fd, and its registration with a loop.
pub(super) struct Registration {
    fd: RawFd,
    /// Interest to register. Without `PRIORITY` if the selector does not support that.
    interest: Cell<Interest>,
    mode: TriggerMode,
    ownership: FdOwnership,
    watched: Cell<WatchedBy>,
    /// The way in which calls on the file are kept from blocking.
    blocking: BlockingMode,
    /// The tick of the latest call, and the steps that calls have taken in it.
    steps: Cell<(u32, u32)>,
    /// Tickets of the poll functions, which have no future that could hold one: to read, to write.
    poll_tickets: [Ticket; 2],
    /// Not `Send`: the loop belongs to this thread.
    local: PhantomData<Rc<Tasks>>,
}

impl Registration {
    /// Creates a registration without a loop, for the caller at `location`. Calls on the file do
    /// not block.
    pub(super) fn new(
        fd: RawFd,
        interest: Interest,
        blocking: BlockingMode,
        ownership: FdOwnership,
        location: &'static Location<'static>,
    ) -> Registration {
        Registration {
            fd,
            interest: Cell::new(interest),
            mode: TriggerMode::Edge,
            ownership,
            watched: Cell::new(WatchedBy::None(Some(location))),
            blocking,
            steps: Cell::new((0, 0)),
            poll_tickets: [const { Ticket::new() }; 2],
            local: PhantomData,
        }
    }

    /// See [`Io::by_level`](super::Io::by_level).
    pub(super) fn set_level(&mut self) {
        self.mode = TriggerMode::Level;
    }

    /// See [`Io::watched`](super::Io::watched).
    pub(super) fn watch_now(&self) {
        if self.watched.get().loop_and_key().is_none() {
            let _ = self.watch_here(); // The first wait tries again, and returns the error.
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    /// Returns the ticket of the poll functions for `interest`. There is one for each direction, so
    /// only the latest caller is woken.
    #[inline]
    pub(super) fn poll_ticket(&self, interest: Interest) -> &Ticket {
        &self.poll_tickets[usize::from(interest.contains(Interest::WRITABLE))]
    }

    /// Checks that the fd is watched for `interest`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not.
    pub(super) fn check_interest(&self, interest: Interest) -> io::Result<()> {
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

    /// Waits with `ticket` until the fd is ready for a part of `interest`.
    pub(super) fn poll_ready(
        &self,
        ticket: &Ticket,
        interest: Interest,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Readiness>> {
        let running = current::running();
        if self.is_over_budget(running.as_deref(), cx) {
            return Poll::Pending;
        }
        if running.as_deref().is_some_and(|tasks| self.is_elsewhere(tasks)) {
            self.move_here(ticket, interest)?;
        }
        let (tasks, key) = match self.find_loop() {
            Some(found) => found,
            None => self.watch_here()?,
        };
        self.poll_cached(&tasks, key, ticket, interest, cx)
    }

    /// Makes `call`, and waits with `ticket` while it would block. If the transfer is short, the
    /// cached readiness is cleared, which saves a call that would block.
    #[inline]
    pub(super) fn poll_call<R>(
        &self,
        ticket: &Ticket,
        interest: Interest,
        cx: &mut Context<'_>,
        mut call: impl FnMut() -> io::Result<R>,
        transferred: impl Fn(&R) -> Transferred,
    ) -> Poll<io::Result<R>> {
        let running = current::running();
        if self.is_over_budget(running.as_deref(), cx) {
            return Poll::Pending;
        }
        loop {
            // Keeps the loop of `watched` alive if it is not the running one.
            let elsewhere;
            let watched = match (self.watched.get().loop_and_key(), &running) {
                (Some((id, key)), Some(tasks)) if tasks.loop_id() == id => Some((&**tasks, key)),
                // Never watched: the call is tried first, which often needs no loop at all.
                (None, _) => None,
                (_, running) => {
                    if running.is_some() {
                        self.move_here(ticket, interest)?;
                    }
                    elsewhere = self.find_loop();
                    elsewhere.as_ref().map(|(tasks, key)| (&**tasks, *key))
                }
            };
            if let Some((tasks, key)) = watched {
                ready!(self.poll_cached(tasks, key, ticket, interest, cx))?;
            }
            let called = self.call(interest, &mut call);
            let Some(result) = self.classify(interest, called)? else { continue };
            let Transferred { bytes, steps, is_short } = transferred(&result);
            if let Some((tasks, key)) = watched
                && is_short
                && self.watches_urgent_data()
            {
                tasks.io_exhausted(key, interest);
            }
            if let (Some(tasks), Some(bytes)) = (&running, bytes) {
                tasks.count_bytes(interest, bytes);
            }
            self.count_steps(steps);
            return Poll::Ready(Ok(result));
        }
    }

    /// Makes a call. On a file that stays blocking, only if poll(2) reports that it is ready.
    #[inline]
    pub(super) fn call<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        if self.blocking == BlockingMode::Blocking && self.would_block(interest) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        call()
    }

    #[cold]
    fn would_block(&self, interest: Interest) -> bool {
        !nonblocking::is_ready(self.fd, interest.contains(Interest::WRITABLE))
    }

    /// Returns true if urgent data is reported. Without that a short read proves nothing, because
    /// reads also stop short at urgent data.
    #[inline]
    fn watches_urgent_data(&self) -> bool {
        self.interest.get().contains(Interest::PRIORITY)
    }

    /// Updates the cached readiness by the result of a call. Returns `None` if the call must be
    /// made again when the fd is ready.
    #[inline]
    pub(super) fn classify<R>(
        &self,
        interest: Interest,
        result: io::Result<R>,
    ) -> io::Result<Option<R>> {
        match result {
            Ok(result) => Ok(Some(result)),
            Err(error) => self.classify_error(interest, error).map(|()| None),
        }
    }

    fn classify_error(&self, interest: Interest, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.blocked(interest),
            io::ErrorKind::Interrupted => Ok(()),
            // The fd was closed while the source was in use: the error names it.
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

    /// Returns true if another loop than `running` watches the fd.
    #[inline]
    fn is_elsewhere(&self, running: &Tasks) -> bool {
        self.watched.get().loop_and_key().is_some_and(|(id, _)| id != running.loop_id())
    }

    /// Ends the registration with another loop, so that the running loop can begin its own. The
    /// other loop may never run again, and a wait there would not end.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if a task waits there.
    #[cold]
    fn move_here(&self, ticket: &Ticket, interest: Interest) -> Result<()> {
        let Some((tasks, key)) = self.find_loop() else { return Ok(()) };
        // Own waiters leave first; what is left then is a task of the other loop.
        let own = [(ticket, interest)];
        let polls = self.poll_tickets.iter().zip([Interest::READABLE, Interest::WRITABLE]);
        let queued = own.into_iter().chain(polls).filter(|(ticket, _)| ticket.may_be_queued());
        for (ticket, interest) in queued {
            tasks.io_leave(key, ticket, interest);
        }
        if tasks.io_waiter(key).is_some() {
            let why = "a task of another loop waits for it";
            let source = io::Error::new(io::ErrorKind::ResourceBusy, why);
            return Err(Error::Watch { operation: "watch", fd: self.fd, source });
        }
        self.watched.set(WatchedBy::None(tasks.unwatch_io(key)));
        Ok(())
    }

    /// Clears the cached readiness after a call that would have blocked, or registers the fd.
    fn blocked(&self, interest: Interest) -> io::Result<()> {
        // Otherwise a write to a source that is watched only for reading would wait without end.
        self.check_interest(interest)?;
        if current::running().is_some_and(|tasks| self.is_elsewhere(&tasks)) {
            self.move_here(self.poll_ticket(interest), interest)?;
        }
        match self.find_loop() {
            Some((tasks, key)) => tasks.io_blocked(key, interest),
            None => drop(self.watch_here()?),
        }
        Ok(())
    }

    pub(super) fn clear_readiness(&self, interest: Interest) {
        if let Some((tasks, key)) = self.find_loop() {
            tasks.io_blocked(key, interest);
        }
    }

    /// Returns the cached readiness for `interest`, or waits for it.
    #[inline]
    fn poll_cached(
        &self,
        tasks: &Tasks,
        key: Key,
        ticket: &Ticket,
        interest: Interest,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Readiness>> {
        let Some(readiness) = tasks.io_readiness(key) else {
            return Poll::Ready(Err(Error::Closed.into()));
        };
        if readiness.contains(Readiness::INVALID) {
            return Poll::Ready(Err(Error::closed_while_watched(self.fd).into()));
        }
        let cached = visible(readiness, interest);
        if cached.is_empty() {
            tasks.io_wait(key, ticket, interest, cx.waker())?;
            return Poll::Pending;
        }
        ticket.clear();
        Poll::Ready(Ok(cached))
    }

    /// Returns true if the fd or the task has used up its steps. Then the task is queued for the
    /// next tick. Otherwise takes the step of a call.
    #[inline]
    fn is_over_budget(&self, running: Option<&Tasks>, cx: &Context<'_>) -> bool {
        let Some(tick) = running.map(|tasks| tasks.core.tick() as u32) else { return false };
        let used = match self.steps.get() {
            (latest, used) if latest == tick => used,
            _ => 0,
        };
        if used >= STEPS {
            cx.waker().wake_by_ref();
            return true;
        }
        self.steps.set((tick, used + 1));
        budget::poll_left(cx).is_pending()
    }

    /// Takes the steps of a call.
    #[inline]
    fn count_steps(&self, steps: u32) {
        let (tick, used) = self.steps.get();
        self.steps.set((tick, used + steps - 1)); // One was taken before the call.
        budget::spend(steps);
    }

    /// Returns the loop that watches the fd. Forgets a loop that is gone, so that another one can
    /// watch the fd.
    #[inline]
    fn find_loop(&self) -> Option<(Rc<Tasks>, Key)> {
        let (id, key) = self.watched.get().loop_and_key()?;
        match current::find(id) {
            Some(tasks) => Some((tasks, key)),
            None => {
                self.watched.set(WatchedBy::None(None));
                None
            }
        }
    }

    /// Registers the fd with the running loop.
    fn watch_here(&self) -> Result<(Rc<Tasks>, Key)> {
        let tasks = current::running_for("mainspring::Io")?;
        let key = self.register(&tasks)?;
        self.watched.set(WatchedBy::Loop(tasks.loop_id(), key));
        Ok((tasks, key))
    }

    /// Registers the fd; without `PRIORITY` if the selector does not support that.
    fn register(&self, tasks: &Tasks) -> Result<Key> {
        let location = self.watched.get().location();
        let interest = || self.interest.get();
        let register = || tasks.watch_io(self.fd, interest(), self.mode, self.ownership, location);
        match register() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.interest.set(self.interest.get() - Interest::PRIORITY);
                register()
            }
            result => result,
        }
    }

    pub(super) fn leave(&self, ticket: &Ticket, interest: Interest) {
        if let Some((tasks, key)) = self.find_loop() {
            tasks.io_leave(key, ticket, interest);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some((tasks, key)) = self.find_loop() {
            tasks.unwatch_io(key);
        }
        // Makes the file blocking again, if nothing else in the process watches it.
        nonblocking::end(self.fd, self.blocking);
    }
}
