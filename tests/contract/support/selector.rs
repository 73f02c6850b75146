//! Selectors that wrap a real one: they count calls, log calls, and refuse calls.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::selector::{Events, Selector, Token, UserEvent};
use mainspring::{EventLoop, Interest, SelectorKind, TriggerMode};
use mainspring_sys::{Wakeup, WakeupKind};

use crate::support::loopback;

/// Selector that wraps a real one, and passes all calls on.
pub trait Wrapper: Debug {
    /// Returns the wrapped selector.
    fn real(&self) -> &dyn Selector;

    /// Returns the wrapped selector.
    fn real_mut(&mut self) -> &mut dyn Selector;

    /// Called before a change of a registration, which is not made if this fails. `token` is that
    /// of a new or changed registration.
    fn on_change(&mut self, change: Call, token: Option<Token>) -> io::Result<()> {
        let _ = (change, token);
        Ok(())
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.real_mut().select(events, timeout)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.real_mut().reset()
    }

    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
        self.real_mut().user_event(token)
    }
}

/// The [`Selector`] of a wrapper.
#[derive(Debug)]
pub struct Wrapped<W>(pub W);

impl<W: Wrapper> Selector for Wrapped<W> {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.0.on_change(Call::Register(fd, interest), Some(token))?;
        self.0.real_mut().register(fd, token, interest, mode)
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.0.on_change(Call::Reregister(fd, interest), Some(token))?;
        self.0.real_mut().reregister(fd, token, interest, mode)
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        self.0.on_change(Call::Deregister(fd), None)?;
        self.0.real_mut().deregister(fd)
    }

    fn has_edges(&self) -> bool {
        self.0.real().has_edges()
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.0.real_mut().clear_readiness(fd, interest);
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.0.select(events, timeout)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.0.reset()
    }

    fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
        self.0.real().poll_fd()
    }

    fn has_ready(&self) -> bool {
        self.0.real().has_ready()
    }

    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
        self.0.user_event(token)
    }
}

/// Counts and arguments of the calls to a counting selector.
#[derive(Debug, Default)]
pub struct Calls {
    /// Number of waits.
    pub selects: Cell<usize>,
    /// Number of changes of registrations, of all kinds.
    pub changes: Cell<usize>,
    /// Descriptors in the order of their registration.
    pub registered: RefCell<Vec<RawFd>>,
    /// Timeout of the latest wait.
    pub timeout: Cell<Option<Duration>>,
    /// Number of wakes, if the loop uses the selector's own wakeup.
    pub wakes: Arc<AtomicUsize>,
    /// True if wakes fail.
    pub wakes_fail: Arc<AtomicBool>,
}

impl Calls {
    /// Returns and resets the numbers of waits and of changes.
    pub fn take(&self) -> (usize, usize) {
        (self.selects.take(), self.changes.take())
    }
}

/// Returns a counting selector of this kind.
pub fn counted(kind: SelectorKind) -> (Box<dyn Selector>, Rc<Calls>) {
    let calls = Rc::new(Calls::default());
    let counting = Counting { real: loopback::open(kind), calls: calls.clone(), wakeup: None };
    (Box::new(Wrapped(counting)), calls)
}

#[derive(Debug)]
struct Counting {
    real: Box<dyn Selector>,
    calls: Rc<Calls>,
    /// Wakeup of the loop. It is a pipe, so that each selector kind can watch it.
    wakeup: Option<(Token, Arc<Wakeup>)>,
}

impl Wrapper for Counting {
    fn real(&self) -> &dyn Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.real
    }

    fn on_change(&mut self, change: Call, _: Option<Token>) -> io::Result<()> {
        self.calls.changes.set(self.calls.changes.get() + 1);
        if let Call::Register(fd, _) = change {
            self.calls.registered.borrow_mut().push(fd);
        }
        Ok(())
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.calls.selects.set(self.calls.selects.get() + 1);
        self.calls.timeout.set(timeout);
        self.real.select(events, timeout)?;
        match &self.wakeup {
            Some((token, wakeup)) if has_event_of(events, *token) => wakeup.drain(),
            _ => Ok(()),
        }
    }

    fn reset(&mut self) -> io::Result<()> {
        self.real.reset()?;
        let Some((token, wakeup)) = &self.wakeup else { return Ok(()) };
        let fd = wakeup.watched_fd().expect("a pipe").as_raw_fd();
        self.real.register(fd, *token, Interest::READABLE, TriggerMode::Level)
    }

    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
        let wakeup = Arc::new(Wakeup::new(WakeupKind::Pipe, &mut *self.real, token)?);
        self.wakeup = Some((token, wakeup.clone()));
        let (wakes, wakes_fail) = (self.calls.wakes.clone(), self.calls.wakes_fail.clone());
        Ok(Box::new(CountingWakeup { wakeup, wakes, wakes_fail }))
    }
}

fn has_event_of(events: &Events, token: Token) -> bool {
    events.into_iter().any(|event| event.token == token)
}

/// Wakeup that counts its wakes.
#[derive(Debug)]
struct CountingWakeup {
    wakeup: Arc<Wakeup>,
    wakes: Arc<AtomicUsize>,
    wakes_fail: Arc<AtomicBool>,
}

impl UserEvent for CountingWakeup {
    fn trigger(&self) -> io::Result<()> {
        if self.wakes_fail.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.wakeup.wake()
    }
}

/// Logged call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Register(RawFd, Interest),
    Reregister(RawFd, Interest),
    Deregister(RawFd),
    Reset,
}

#[derive(Debug, Default)]
struct LogState {
    calls: Vec<Call>,
    /// Greatest slot of any token, except those of wakeups.
    greatest_slot: u32,
    /// Error number that the next registration or change fails with.
    refusal: Option<i32>,
}

/// Log of a logging selector.
#[derive(Debug, Default, Clone)]
pub struct Log(Rc<RefCell<LogState>>);

impl Log {
    /// Returns and clears the logged calls.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.borrow_mut().calls)
    }

    /// Returns the logged calls.
    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// Returns the greatest slot of any token, except those of wakeups.
    pub fn greatest_slot(&self) -> u32 {
        self.0.borrow().greatest_slot
    }

    /// Makes the next registration or change fail.
    pub fn refuse_next(&self, errno: rustix::io::Errno) {
        self.0.borrow_mut().refusal = Some(errno.raw_os_error());
    }

    fn push(&self, call: Call) {
        self.0.borrow_mut().calls.push(call);
    }

    /// Records the slot of a registration or change. Fails if it must be refused.
    fn check(&self, token: Token) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if token.slot() < u32::MAX / 2 {
            state.greatest_slot = state.greatest_slot.max(token.slot());
        }
        state.refusal.take().map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

/// Returns a loop with a logging selector. The log does not contain the calls made while the loop
/// was built.
pub fn logged<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, Log) {
    let log = Log::default();
    let logging = Logging { real: loopback::open(kind), log: log.clone() };
    let selector: Box<dyn Selector> = Box::new(Wrapped(logging));
    let el = EventLoop::builder().selector(selector).build_with(state).expect("a loop");
    log.take();
    (el, log)
}

#[derive(Debug)]
struct Logging {
    real: Box<dyn Selector>,
    log: Log,
}

impl Wrapper for Logging {
    fn real(&self) -> &dyn Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.real
    }

    fn on_change(&mut self, change: Call, token: Option<Token>) -> io::Result<()> {
        self.log.push(change);
        token.map_or(Ok(()), |token| self.log.check(token))
    }

    fn reset(&mut self) -> io::Result<()> {
        self.log.push(Call::Reset);
        self.real.reset()
    }
}
