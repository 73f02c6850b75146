//! Selector that passes each call on to a real one and counts the calls.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::selector::{Events, Selector, Token, UserEvent};
use mainspring::{Interest, SelectorKind, TriggerMode};
use mainspring_sys::{Wakeup, WakeupKind};

/// Counts and arguments of the calls.
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
    pub rings: Arc<AtomicUsize>,
    /// True if wakes fail.
    pub broken: Arc<AtomicBool>,
}

impl Calls {
    fn change(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// Returns and resets the numbers of waits and of changes.
    pub fn since(&self) -> (usize, usize) {
        (self.selects.take(), self.changes.take())
    }
}

/// Returns a counting selector of this kind.
pub fn counted(kind: SelectorKind) -> (Box<dyn Selector>, Rc<Calls>) {
    let calls = Rc::new(Calls::default());
    let inner = crate::support::loopback::open(kind);
    (Box::new(Counted { inner, calls: calls.clone(), bell: None }), calls)
}

#[derive(Debug)]
struct Counted {
    inner: Box<dyn Selector>,
    calls: Rc<Calls>,
    bell: Option<(Token, Arc<Wakeup>)>,
}

/// Wakeup that counts its wakes.
#[derive(Debug)]
struct Bell {
    wakeup: Arc<Wakeup>,
    rings: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl UserEvent for Bell {
    fn trigger(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.wakeup.wake()
    }
}

impl Selector for Counted {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        of: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.calls.change();
        self.calls.registered.borrow_mut().push(fd);
        self.inner.register(fd, token, of, mode)
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        of: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.calls.change();
        self.inner.reregister(fd, token, of, mode)
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        self.calls.change();
        self.inner.deregister(fd)
    }

    fn has_edges(&self) -> bool {
        self.inner.has_edges()
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.inner.clear_readiness(fd, interest);
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.calls.selects.set(self.calls.selects.get() + 1);
        self.calls.timeout.set(timeout);
        self.inner.select(events, timeout)?;
        match &self.bell {
            Some((token, bell)) if rings(events, *token) => bell.drain(),
            _ => Ok(()),
        }
    }

    fn reset(&mut self) -> io::Result<()> {
        self.inner.reset()?;
        let Some((token, bell)) = &self.bell else { return Ok(()) };
        let fd = bell.watched_fd().expect("a pipe").as_raw_fd();
        self.inner.register(fd, *token, Interest::READABLE, TriggerMode::Level)
    }

    fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
        self.inner.poll_fd()
    }

    fn has_ready(&self) -> bool {
        self.inner.has_ready()
    }

    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
        let wakeup = Arc::new(Wakeup::new(WakeupKind::Pipe, &mut *self.inner, token)?);
        self.bell = Some((token, wakeup.clone()));
        let (rings, broken) = (self.calls.rings.clone(), self.calls.broken.clone());
        Ok(Box::new(Bell { wakeup, rings, broken }))
    }
}

fn rings(events: &Events, token: Token) -> bool {
    events.into_iter().any(|event| event.token == token)
}
