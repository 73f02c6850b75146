//! Selector that logs its calls and can be made to refuse one.

use std::cell::RefCell;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mainspring::selector::{Events, Selector, Token, UserEvent};
use mainspring::{EventLoop, Interest, SelectorKind, TriggerMode};

/// Logged call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Register(RawFd, Interest),
    Reregister(RawFd, Interest),
    Deregister(RawFd),
    Reset,
}

#[derive(Debug, Default)]
struct Notes {
    calls: Vec<Call>,
    /// Greatest slot of any token, except those of wakeups.
    greatest_slot: u32,
    /// Error number that the next registration or change fails with.
    refusal: Option<i32>,
}

/// Shared log of a [`Spy`].
#[derive(Debug, Default, Clone)]
pub struct Log(Rc<RefCell<Notes>>);

impl Log {
    /// Returns and clears the logged calls.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.borrow_mut().calls)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    pub fn greatest_slot(&self) -> u32 {
        self.0.borrow().greatest_slot
    }

    /// Makes the next registration or change fail.
    pub fn refuse_next(&self, errno: rustix::io::Errno) {
        self.0.borrow_mut().refusal = Some(errno.raw_os_error());
    }

    fn note(&self, call: Call, token: Token) -> io::Result<()> {
        let mut notes = self.0.borrow_mut();
        notes.calls.push(call);
        if token.slot() < u32::MAX / 2 {
            notes.greatest_slot = notes.greatest_slot.max(token.slot());
        }
        notes.refusal.take().map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

/// Selector between the loop and a real one.
#[derive(Debug)]
struct Spy {
    real: Box<dyn Selector>,
    log: Log,
}

impl Selector for Spy {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.log.note(Call::Register(fd, interest), token)?;
        self.real.register(fd, token, interest, mode)
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.log.note(Call::Reregister(fd, interest), token)?;
        self.real.reregister(fd, token, interest, mode)
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        self.log.0.borrow_mut().calls.push(Call::Deregister(fd));
        self.real.deregister(fd)
    }

    fn has_edges(&self) -> bool {
        self.real.has_edges()
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.real.clear_readiness(fd, interest);
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.real.select(events, timeout)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.log.0.borrow_mut().calls.push(Call::Reset);
        self.real.reset()
    }

    fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
        self.real.poll_fd()
    }

    fn has_ready(&self) -> bool {
        self.real.has_ready()
    }

    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
        self.real.user_event(token)
    }
}

/// Returns a loop with a logging selector. The log does not contain the calls made while the loop
/// was built.
pub fn spied<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, Log) {
    let log = Log::default();
    let spy = Spy { real: crate::support::loopback::open(kind), log: log.clone() };
    let selector: Box<dyn Selector> = Box::new(spy);
    let el = EventLoop::builder().selector(selector).build_with(state).expect("a loop");
    log.take();
    (el, log)
}
