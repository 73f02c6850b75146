//! The connections that came from a server, and what it shares with them.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Interest;
use mainspring_sys::socket::{AcceptError, Address, ReserveFd};

use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;
use crate::net::transport::Transport;
use crate::vacancy::KEPT;
use crate::watchers::WatcherId;

/// A listening socket, and the descriptor kept in reserve for it. Both are closed together.
pub(super) struct Listener {
    socket: Box<dyn AsFd>,
    reserve: ReserveFd,
}

impl Listener {
    pub(super) fn new(socket: Box<dyn AsFd>) -> io::Result<Listener> {
        let reserve = ReserveFd::new(&socket)?;
        Ok(Listener { socket, reserve })
    }

    /// Accepts one connection by means of the reserve, and closes it.
    pub(super) fn turn_away(&mut self) -> Result<(), AcceptError> {
        self.reserve.turn_away(&self.socket).map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a server, its callback and its connections share.
pub(super) struct Shared {
    pub(super) core: Rc<LoopCore>,
    pub(super) key: Key,
    pub(super) fd: RawFd,
    pub(super) watch: Cell<Option<WatcherId>>,
    /// Gone when the server is closed.
    pub(super) listener: Cell<Option<Listener>>,
    pub(super) connections: RefCell<Vec<Option<Transport>>>,
    pub(super) vacant: RefCell<Vec<u32>>,
    pub(super) accepted: Cell<u64>,
    pub(super) resting: Cell<bool>,
    /// Connections that are open at most.
    pub(super) most: Cell<usize>,
    pub(super) admission: RefCell<Option<Admission>>,
    /// The idle limit of new connections.
    pub(super) idle_limit: Cell<Option<Duration>>,
}

/// Decides whether a client is served.
pub(super) type Admission = Rc<dyn Fn(&Address) -> bool>;

/// A connection's place among those of its server.
pub(crate) struct Membership {
    shared: Rc<Shared>,
    place: u32,
}

impl Membership {
    pub(super) fn enter(shared: &Rc<Shared>, transport: &Transport) -> Membership {
        let mut connections = shared.connections.borrow_mut();
        let place = shared.vacant.borrow_mut().pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() as u32 - 1
        });
        connections[place as usize] = Some(transport.clone());
        Membership { shared: shared.clone(), place }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let transport = self.shared.connections.borrow_mut()[self.place as usize].take();
        drop(transport);
        self.shared.vacate(self.place);
        self.shared.wake_up();
    }
}

impl Shared {
    /// Gives the places back to the system when the last connection of many has left.
    fn vacate(&self, place: u32) {
        let (mut connections, mut vacant) =
            (self.connections.borrow_mut(), self.vacant.borrow_mut());
        vacant.push(place);
        if vacant.len() == connections.len() && vacant.len() > KEPT {
            *connections = Vec::new();
            *vacant = Vec::new();
        }
    }

    /// Uses the listener, unless that is closed. It is out of its place meanwhile, and goes back even
    /// if its `as_fd` panics.
    pub(super) fn with_listener<R>(&self, run: impl FnOnce(&mut Listener) -> R) -> Option<R> {
        struct Lent<'a>(&'a Shared, Option<Listener>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.listener.set(self.1.take());
            }
        }
        let mut lent = Lent(self, self.listener.take());
        lent.1.as_mut().map(run)
    }

    /// Returns true if as many connections are open as may be.
    pub(super) fn is_full(&self) -> bool {
        let open = self.connections.borrow().len() - self.vacant.borrow().len();
        open >= self.most.get()
    }

    /// Returns false if the client is not to be served.
    pub(super) fn admits(&self, peer: &Address) -> bool {
        let admission = self.admission.borrow().clone();
        admission.is_none_or(|admit| admit(peer))
    }

    /// Stops accepting until [`wake_up`](Shared::wake_up).
    pub(super) fn rest(&self) {
        if let Some(watch) = self.watch.get() {
            self.resting.set(true);
            self.ask(watch, Interest::empty());
        }
    }

    /// Accepts again after a rest. The rest goes on if the kernel has no memory for it, and as long
    /// as the server is full.
    pub(super) fn wake_up(&self) {
        if self.is_full() {
            return;
        }
        if let (true, Some(watch)) = (self.resting.replace(false), self.watch.get()) {
            self.ask(watch, Interest::READABLE);
        }
    }

    pub(super) fn ask(&self, watch: WatcherId, interest: Interest) {
        // It was watched before. If the kernel refuses it now for want of memory, the next rest's
        // end tries again.
        if self.core.set_interest(watch, self.key, interest).is_err() {
            self.resting.set(true);
        }
    }
}
