//! A server: a listener, its accept policy, and the connections that came from it.
//!
//! # The accept policy
//!
//! A tick accepts at most a batch of connections; and only one, unless the listener was ready in
//! the tick before as well, so a single connection costs a single accept(2). An error of one
//! connection skips that one. At the limit of descriptors the listener rests until a timer, one for
//! each incident, or until one of its own connections ends. If there is still no room then, a few
//! of those who wait are turned away by means of a reserve descriptor, so that they learn it: the
//! backlog moves on and the loop does not spin. An incident is reported once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::socket::{self, AcceptError, Address, ListenOptions, ReserveFd};
use mainspring_sys::{Interest, Mode, Readiness, fd};

use super::connection::Made;
use super::protocol::{Protocol, SharedClosure};
use super::socket::Socket;
use super::transport::Transport;
use crate::callbacks::Source;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::{Callback, LEAVE, Repeat, STAY, Turn, failed};
use crate::event_loop::core::Core;
use crate::handle::{Handle, Key, TimerHandle};
use crate::watchers::{Role, Watch};

/// How long a listener rests when there is no room for another connection.
const REST: Duration = Duration::from_millis(100);
/// How many of those who wait are turned away after a rest that did not help.
const TURNED_AWAY: usize = 8;

/// Opens a socket that listens at `address`, TCP or Unix, to be [served](LoopHandle::serve).
///
/// # Errors
///
/// [`Error::Listen`] with the address: it is in use, the file exists, the address is not ours ..
pub fn listen(address: &Address, options: &ListenOptions) -> Result<OwnedFd> {
    let listening = socket::listen(address, options);
    listening.map_err(|source| Error::Listen { address: address.to_string(), source })
}

/// A server, to ask after its connections and to end it. Clones are the same server; dropping it
/// changes nothing.
#[derive(Clone)]
pub struct Server {
    shared: Rc<Shared>,
}

struct Shared {
    core: Rc<Core>,
    key: Key,
    fd: RawFd,
    watch: Cell<Option<Watch>>,
    /// Gone when the server is closed.
    listener: Cell<Option<Box<dyn AsFd>>>,
    connections: RefCell<Vec<Option<Transport>>>,
    vacant: RefCell<Vec<u32>>,
    accepted: Cell<u64>,
    resting: Cell<bool>,
}

impl Server {
    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.connections.borrow().len() - self.shared.vacant.borrow().len()
    }

    /// How many connections were accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.get()
    }

    /// The address at which the server listens.
    ///
    /// # Errors
    ///
    /// `NotConnected` when it is closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        let shared = &self.shared;
        let Some(listener) = shared.listener.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let address = socket::local_addr(listener.as_fd());
        shared.listener.set(Some(listener));
        address
    }

    /// Stops accepting and closes the listener, now. Connections go on. Closing twice does nothing.
    pub fn close(&self) {
        let shared = &self.shared;
        if let Some(watch) = shared.watch.take() {
            shared.core.unwatch(watch, shared.key);
            drop(shared.listener.take());
            shared.core.feed(shared.key); // So that the callback goes as well.
        }
    }

    /// Closes every connection when what is queued for it is sent.
    pub fn close_clients(&self) {
        self.for_each(Transport::close);
    }

    /// Closes every connection now.
    pub fn abort_clients(&self) {
        self.for_each(Transport::abort);
    }

    fn for_each(&self, act: impl Fn(&Transport)) {
        let open: Vec<Transport> =
            self.shared.connections.borrow().iter().flatten().cloned().collect();
        open.iter().for_each(act);
    }

    /// The handle by which the loop knows the listener, to [name](LoopHandle::set_name) it or to
    /// [unref](LoopHandle::unref) it.
    pub fn handle(&self) -> Handle {
        Handle { key: self.shared.key, home: self.shared.core.home }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server(fd {}, {} connections)", self.shared.fd, self.connections())
    }
}

/// A connection's place among those of its server.
pub(crate) struct Membership {
    shared: Rc<Shared>,
    place: u32,
}

impl Membership {
    fn enter(shared: &Rc<Shared>, transport: &Transport) -> Membership {
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
        self.shared.vacant.borrow_mut().push(self.place);
        self.shared.wake_up();
    }
}

impl Shared {
    /// Accepts again after a rest. The rest goes on if the kernel has no memory for it.
    fn wake_up(&self) {
        if let (true, Some(watch)) = (self.resting.replace(false), self.watch.get()) {
            self.ask(watch, Interest::READABLE);
        }
    }

    fn ask(&self, watch: Watch, interest: Interest) {
        // It was watched before. If the kernel refuses it now for want of memory, the next rest's
        // end tries again.
        if self.core.set_interest(watch, self.key, interest).is_err() {
            self.resting.set(true);
        }
    }
}

/// The callback of a listener.
struct Accepting<F> {
    shared: Rc<Shared>,
    factory: F,
    made: Made,
    reserve: ReserveFd,
    location: &'static Location<'static>,
    /// The last tick in which somebody waited.
    busy: u64,
    /// Whether the limit has been met since the last connection was accepted.
    incident: bool,
    /// The end of the rest.
    timer: Option<TimerHandle>,
}

impl<F> Accepting<F> {
    fn batch(&mut self) -> usize {
        let tick = self.shared.core.tick.get();
        let in_a_row = tick == self.busy.wrapping_add(1);
        self.busy = tick;
        if in_a_row { self.shared.core.limits.accept_batch } else { 1 }
    }

    fn accept<S: 'static, P>(&mut self, el: &LoopHandle<S>, state: &mut S) -> Result<()>
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        for _ in 0..self.batch() {
            let Some(listener) = self.shared.listener.take() else { break };
            let accepted = socket::accept(listener.as_fd());
            self.shared.listener.set(Some(listener));
            match accepted {
                Ok((socket, _)) => self.welcome(el, state, Socket::new(socket)),
                Err(AcceptError::Connection(_)) => {}
                Err(AcceptError::WouldBlock) => break,
                Err(AcceptError::Capacity(error)) => {
                    self.rest(el, state, error);
                    break;
                }
                Err(AcceptError::Listener(source)) => {
                    return Err(Error::Accept { fd: self.shared.fd, source });
                }
            }
        }
        Ok(())
    }

    fn welcome<S: 'static, P>(&mut self, el: &LoopHandle<S>, state: &mut S, socket: Socket)
    where
        F: FnMut() -> P,
        P: Protocol<S> + 'static,
    {
        self.incident = false;
        self.shared.accepted.set(self.shared.accepted.get() + 1);
        let protocol = (self.factory)();
        let shared = &self.shared;
        let adopted = el.adopt(socket, protocol, self.made, self.location, |transport| {
            Ok(Some(Membership::enter(shared, transport)))
        });
        if let Err(error) = adopted {
            self.report(el, state, error);
        }
    }

    /// There is no room: stops accepting for a while.
    fn rest<S: 'static>(&mut self, el: &LoopHandle<S>, state: &mut S, source: io::Error) {
        if self.incident {
            self.turn_away();
        } else {
            self.incident = true;
            self.report(el, state, Error::Accept { fd: self.shared.fd, source });
        }
        let Some(watch) = self.shared.watch.get() else { return };
        self.shared.resting.set(true);
        self.shared.ask(watch, Interest::empty());
        if !self.timer.is_some_and(|timer| el.reset_after(timer, REST)) {
            self.timer = Some(wake_up_later(el, self.shared.clone()));
        }
    }

    fn report<S>(&self, el: &LoopHandle<S>, state: &mut S, error: Error) {
        if let Some(report) = el.report_of(self.shared.key, error) {
            el.report(state, report);
        }
    }

    fn turn_away(&mut self) {
        let Some(listener) = self.shared.listener.take() else { return };
        for _ in 0..TURNED_AWAY {
            if self.reserve.turn_away(listener.as_fd()).is_err() {
                break;
            }
        }
        self.shared.listener.set(Some(listener));
    }
}

/// The timer at the end of a rest. If the listener cannot be woken up, another rest follows.
fn wake_up_later<S: 'static>(el: &LoopHandle<S>, shared: Rc<Shared>) -> TimerHandle {
    el.call_later(REST, move |el, _| {
        shared.wake_up();
        if shared.resting.get() {
            wake_up_later(el, shared);
        }
    })
}

impl<S: 'static, F, P> Repeat<S> for Accepting<F>
where
    F: FnMut() -> P,
    P: Protocol<S> + 'static,
{
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Turn {
        if self.shared.watch.get().is_none() {
            return LEAVE;
        }
        if readiness.contains(Readiness::INVALID) {
            let source = io::Error::other("it was closed while it was watched");
            return failed(Error::Accept { fd: self.shared.fd, source });
        }
        match self.accept(el, state) {
            Ok(()) => STAY,
            Err(error) => failed(error),
        }
    }
}

impl<F> Drop for Accepting<F> {
    fn drop(&mut self) {
        self.shared.watch.set(None);
        drop(self.shared.listener.take());
    }
}

impl<S: 'static> LoopHandle<S> {
    /// Serves each connection of `listener` with `closure`, which is called with what comes in.
    ///
    /// `listener` is anything with the descriptor of a listening stream socket: a listener of std,
    /// or of [`listen`]. The loop owns it from now on and makes it non-blocking. TCP connections
    /// get `TCP_NODELAY`, as the loop writes whole messages.
    ///
    /// A connection whose peer does not read its answers is not read either, see
    /// [`pause_writing`](Protocol::pause_writing). One whose closure fails is closed and reported;
    /// the others go on.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`], [`Error::Watch`], [`Error::Create`] without a descriptor to keep
    /// in reserve, [`Error::Closed`].
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let mut el = EventLoop::with_state(0)?;
    /// let server = el.serve(TcpListener::bind("127.0.0.1:0")?, |_el, bytes, conn, data| {
    ///     *bytes += data.len();
    ///     conn.write(data);
    ///     Ok(())
    /// })?;
    /// let address = server.local_addr()?.as_inet().unwrap();
    /// let remote = el.remote();
    /// let client = std::thread::spawn(move || {
    ///     let mut stream = TcpStream::connect(address)?;
    ///     stream.write_all(b"hello")?;
    ///     let mut answer = [0; 5];
    ///     stream.read_exact(&mut answer)?;
    ///     assert_eq!(&answer, b"hello");
    ///     remote.stop()
    /// });
    /// el.run_forever()?;
    /// client.join().unwrap()?;
    /// assert_eq!((*el.state(), server.accepted()), (5, 1));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn serve<L, F>(&self, listener: L, closure: F) -> Result<Server>
    where
        L: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &Transport, &[u8]) -> Result<()> + 'static,
    {
        let closure = Rc::new(RefCell::new(closure));
        let factory = move || SharedClosure(closure.clone());
        self.serve_as(Box::new(listener), factory, Made::Silent, Location::caller())
    }

    /// Serves each connection of `listener` with a protocol of its own, made by `factory`.
    /// Otherwise as [`serve`](LoopHandle::serve).
    ///
    /// # Errors
    ///
    /// As [`serve`](LoopHandle::serve).
    #[track_caller]
    pub fn serve_with<L, F, P>(&self, listener: L, factory: F) -> Result<Server>
    where
        L: AsFd + 'static,
        F: FnMut() -> P + 'static,
        P: Protocol<S> + 'static,
    {
        self.serve_as(Box::new(listener), factory, Made::Announce, Location::caller())
    }

    fn serve_as<F, P>(
        &self,
        listener: Box<dyn AsFd>,
        factory: F,
        made: Made,
        location: &'static Location<'static>,
    ) -> Result<Server>
    where
        F: FnMut() -> P + 'static,
        P: Protocol<S> + 'static,
    {
        self.core().check_open()?;
        let fd = listener.as_fd().as_raw_fd();
        let refused = |source| Error::Watch { operation: "serve", fd, source };
        fd::set_nonblocking(fd, true).map_err(refused)?;
        inherit_nodelay(&*listener).map_err(refused)?;
        let reserve = ReserveFd::new()
            .map_err(|source| Error::Create { part: "reserve descriptor", source })?;
        let key = self.reserve(location);
        let watch = self.core().watch(fd, Role::Reader, Interest::READABLE, Mode::Level, key);
        let watch = watch.inspect_err(|_| {
            self.forget(key);
        })?;
        let shared = Rc::new(Shared {
            core: self.core().clone(),
            key,
            fd,
            watch: Cell::new(Some(watch)),
            listener: Cell::new(Some(listener)),
            connections: RefCell::default(),
            vacant: RefCell::default(),
            accepted: Cell::new(0),
            resting: Cell::new(false),
        });
        let server = Server { shared: shared.clone() };
        let busy = self.core().tick.get();
        let (incident, timer) = (false, None);
        let accepting =
            Accepting { shared, factory, made, reserve, location, busy, incident, timer };
        self.settle_in(key, Source::Stream(watch), Callback::repeat(accepting));
        Ok(server)
    }
}

/// Accepted sockets inherit the option from their listener, which saves a system call for each.
fn inherit_nodelay(listener: &dyn AsFd) -> io::Result<()> {
    match socket::local_addr(listener.as_fd())? {
        Address::Inet(_) => socket::set_nodelay(listener.as_fd(), true),
        _ => Ok(()),
    }
}
