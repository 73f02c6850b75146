//! The state of a server, and the membership of its connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Interest;
use mainspring_sys::socket::{Address, ReserveFd};

use super::transport::Transport;
use crate::arena::free_list::KEPT;
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;
use crate::watchers::WatcherId;

/// A listening socket and its reserve descriptor. Both are closed together, because the reserve is
/// a copy of the socket: the port stays open until both are closed.
pub(super) struct Listener {
    socket: Box<dyn AsFd>,
    reserve: ReserveFd,
}

impl Listener {
    pub(super) fn new(socket: Box<dyn AsFd>) -> io::Result<Listener> {
        let reserve = ReserveFd::new(&socket)?;
        Ok(Listener { socket, reserve })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The state that a server, its callback and its connections share.
pub(super) struct ServerState {
    pub(super) core: Rc<LoopCore>,
    pub(super) key: Key,
    pub(super) fd: RawFd,
    /// The registration of the listener; `None` after the server was closed.
    pub(super) watch: Cell<Option<WatcherId>>,
    /// The listener; `None` after the server was closed, and while a call uses it.
    pub(super) listener: Cell<Option<Listener>>,
    /// Open connections by place; `None` in a vacant place.
    pub(super) connections: RefCell<Vec<Option<Transport>>>,
    /// Vacant places in `connections`.
    pub(super) vacant: RefCell<Vec<u32>>,
    /// Number of connections accepted since the start.
    pub(super) accepted: Cell<u64>,
    /// True while the listener is not watched, although the server is open.
    pub(super) paused: Cell<bool>,
    /// Limit on open connections; `usize::MAX` means no limit.
    pub(super) max_connections: Cell<usize>,
    /// The admission check of clients; `None` admits all.
    pub(super) admission: RefCell<Option<Admission>>,
    /// Idle limit of connections that are accepted from now on.
    pub(super) idle_limit: Cell<Option<Duration>>,
}

/// Returns true for the address of a client to serve.
pub(super) type Admission = Rc<dyn Fn(&Address) -> bool>;

/// A connection's membership in its server. Dropping it makes room for another client.
pub(crate) struct Membership {
    server: Rc<ServerState>,
    place: u32,
}

impl Membership {
    pub(super) fn enter(server: &Rc<ServerState>, transport: &Transport) -> Membership {
        let mut connections = server.connections.borrow_mut();
        let place = server.vacant.borrow_mut().pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() as u32 - 1
        });
        connections[place as usize] = Some(transport.clone());
        Membership { server: server.clone(), place }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // Dropped with nothing borrowed: it may be the last handle of the connection.
        let transport = self.server.connections.borrow_mut()[self.place as usize].take();
        drop(transport);
        self.server.vacate(self.place);
        self.server.resume();
    }
}

impl ServerState {
    pub(super) fn new(
        core: Rc<LoopCore>,
        key: Key,
        fd: RawFd,
        watch: WatcherId,
        listener: Listener,
    ) -> ServerState {
        ServerState {
            core,
            key,
            fd,
            watch: Cell::new(Some(watch)),
            listener: Cell::new(Some(listener)),
            connections: RefCell::default(),
            vacant: RefCell::default(),
            accepted: Cell::new(0),
            paused: Cell::new(false),
            max_connections: Cell::new(usize::MAX),
            admission: RefCell::default(),
            idle_limit: Cell::new(None),
        }
    }

    /// Returns the number of open connections.
    pub(super) fn open(&self) -> usize {
        self.connections.borrow().len() - self.vacant.borrow().len()
    }

    /// Returns true if no further connection is allowed.
    pub(super) fn is_full(&self) -> bool {
        self.open() >= self.max_connections.get()
    }

    /// Returns true if a client at `peer` is served.
    pub(super) fn admits(&self, peer: &Address) -> bool {
        // Cloned, because `admit` may call the server and replace itself.
        let admission = self.admission.borrow().clone();
        admission.is_none_or(|admit| admit(peer))
    }

    /// Marks a place as vacant. After a peak of connections, frees the tables when the last one
    /// ends.
    fn vacate(&self, place: u32) {
        let (mut connections, mut vacant) =
            (self.connections.borrow_mut(), self.vacant.borrow_mut());
        vacant.push(place);
        if vacant.len() == connections.len() && vacant.len() > KEPT {
            *connections = Vec::new();
            *vacant = Vec::new();
        }
    }

    /// Calls `run` with the listener, or returns `None` if it is closed. The listener is out of its
    /// cell meanwhile, because its `as_fd` may be user code. A panic puts it back, too.
    pub(super) fn with_listener<R>(&self, run: impl FnOnce(&mut Listener) -> R) -> Option<R> {
        struct Lent<'a>(&'a ServerState, Option<Listener>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.listener.set(self.1.take());
            }
        }
        let mut lent = Lent(self, self.listener.take());
        lent.1.as_mut().map(run)
    }

    /// Accepts and closes up to `clients` waiting connections by means of the reserve.
    pub(super) fn turn_away(&self, clients: usize) {
        if clients > 0 {
            self.with_listener(|Listener { socket, reserve }| {
                (0..clients).all(|_| reserve.accept_and_close(&*socket).is_ok())
            });
        }
    }

    /// Stops accepting until [`resume`](ServerState::resume).
    pub(super) fn pause(&self) {
        if let Some(watch) = self.watch.get() {
            self.paused.set(true);
            self.set_interest(watch, Interest::empty());
        }
    }

    /// Accepts again after a pause, unless the server is full. The pause continues if the kernel
    /// has no memory for the registration.
    pub(super) fn resume(&self) {
        if self.is_full() {
            return;
        }
        if let (true, Some(watch)) = (self.paused.replace(false), self.watch.get()) {
            self.set_interest(watch, Interest::READABLE);
        }
    }

    fn set_interest(&self, watch: WatcherId, interest: Interest) {
        // The listener was watched before, so a refusal means that the kernel lacks memory. The
        // timer of the backoff tries again.
        if self.core.set_interest(watch, self.key, interest).is_err() {
            self.paused.set(true);
        }
    }
}
