//! Servers for callbacks: a listener and its accepted connections.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::socket::{self, Address};
use mainspring_sys::{Interest, TriggerMode, fd};

use super::accept_callback::AcceptCallback;
use super::connection::Announce;
use super::members::{Listener, ServerState};
use super::protocol::{Protocol, SharedClosure};
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::Callback;
use crate::event_loop::source::Source;
use crate::handle::Handle;
use crate::watchers::{Registration, Role};

/// Time limit of [`Server::close_clients`].
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Handle of a server, to count, limit and close its connections. Clones refer to the same server;
/// dropping a handle has no effect.
///
/// The number of connections is limited only by descriptors, so one client can take all of them. In
/// a daemon, set [`max_connections`](Server::set_max_connections) below the descriptor limit of the
/// process (for example, 900 of 1024), so that descriptors are left for other files. Set an [idle
/// limit](Server::set_idle_limit), too. The guide builds [a daemon with
/// both](crate::guide::a_daemon_from_zero_to_systemd#limits-and-time-limits).
#[derive(Clone)]
pub struct Server {
    state: Rc<ServerState>,
}

impl Server {
    /// Returns the number of open connections.
    pub fn connections(&self) -> usize {
        self.state.open()
    }

    /// Returns the number of connections accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.get()
    }

    /// Returns the address at which the server listens.
    ///
    /// # Errors
    ///
    /// `NotConnected` after the server was closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        let address = self.state.with_listener(|listener| socket::local_addr(&*listener));
        address.unwrap_or(Err(io::ErrorKind::NotConnected.into()))
    }

    /// Stops accepting and closes the listener at once. Open connections stay open. A second call
    /// does nothing.
    ///
    /// Three ways to end the connections, and their effect on a client with more requests to send:
    ///
    /// | call | queued output | later requests |
    /// |---|---|---|
    /// | none: [`run`](crate::EventLoop::run) returns when the last client has disconnected | is sent | are answered |
    /// | [`close_clients_within`](Server::close_clients_within) | is sent, up to the limit | are dropped |
    /// | [`abort_clients`](Server::abort_clients) | is dropped | are dropped |
    ///
    /// The first way, followed by the third one after a time limit, drains a server: [the guide has
    /// an example](crate::guide::a_daemon_from_zero_to_systemd#drain-on-sigterm).
    pub fn close(&self) {
        let state = &self.state;
        if let Some(watch) = state.watch.take() {
            state.core.unwatch(watch, state.key);
            state.core.feed(state.key); // Its next run removes the callback.
            drop(state.listener.take());
        }
    }

    /// Closes every connection after its queue is sent, within two seconds. Then what is left of
    /// the queue is dropped, and the protocol gets the error [`TimedOut`](crate::Error::TimedOut).
    pub fn close_clients(&self) {
        self.close_clients_within(CLOSE_LIMIT);
    }

    /// Closes every connection like [`Transport::close_within`]: after `limit` none is open.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::new()?;
    /// let server = el.serve(TcpListener::bind("127.0.0.1:0")?, |_, _, _, _| Ok(()))?;
    /// server.close();
    /// server.close_clients_within(Duration::from_secs(10));
    /// el.run()?; // ten seconds at most
    /// assert_eq!(server.connections(), 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn close_clients_within(&self, limit: Duration) {
        self.for_each(|client| client.close_within(limit));
    }

    /// Closes every connection at once, without sending its queue.
    pub fn abort_clients(&self) {
        self.for_each(Transport::abort);
    }

    fn for_each(&self, act: impl Fn(&Transport)) {
        // A copy, because closing a connection may end its membership.
        let open: Vec<Transport> =
            self.state.connections.borrow().iter().flatten().cloned().collect();
        open.iter().for_each(act);
    }

    /// Sets the limit of open connections. Clients beyond it wait in the kernel's backlog until a
    /// connection ends. Zero accepts no clients. Default: `usize::MAX`, no limit.
    ///
    /// A limit below the number of open connections closes none of them.
    pub fn set_max_connections(&self, connections: usize) {
        self.state.max_connections.set(connections);
        self.state.resume();
    }

    /// Returns the limit of open connections; `usize::MAX` means no limit.
    pub fn max_connections(&self) -> usize {
        self.state.max_connections.get()
    }

    /// Calls `admit` with the address of each client accepted from now on, before its protocol is
    /// created. If it returns false, the connection is closed at once; it still counts as accepted.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::io::Read;
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let mut el = EventLoop::new()?;
    /// let server = el.serve(TcpListener::bind("127.0.0.1:0")?, |_, _, _, _| Ok(()))?;
    /// server.set_admission(|peer| peer.as_inet().is_some_and(|it| !it.ip().is_loopback()));
    /// let mut client = TcpStream::connect(server.local_addr()?.as_inet().unwrap())?;
    /// el.tick(None)?;
    /// assert_eq!((client.read(&mut [0])?, server.accepted(), server.connections()), (0, 1, 0));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_admission(&self, admit: impl Fn(&Address) -> bool + 'static) {
        let previous = self.state.admission.replace(Some(Rc::new(admit)));
        drop(previous); // With nothing borrowed: its captures may call the server.
    }

    /// Sets the [idle limit](Transport::set_idle_limit) of connections accepted from now on; `None`
    /// means no limit. A protocol may change the limit of its connection in `connection_made`.
    pub fn set_idle_limit(&self, limit: Option<Duration>) {
        self.state.idle_limit.set(limit);
    }

    /// Returns the idle limit of connections accepted from now on.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.state.idle_limit.get()
    }

    /// Returns the handle of the listener in its loop, to [name](LoopHandle::set_name) it or to
    /// [put it in the background](LoopHandle::set_background).
    pub fn handle(&self) -> Handle {
        Handle { key: self.state.key, loop_id: self.state.core.loop_id }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server(fd {}, {} connections)", self.state.fd, self.connections())
    }
}

/// # Servers
impl<S: 'static> LoopHandle<S> {
    /// Serves each connection of `listener` with `closure`, which is called with the input.
    ///
    /// `listener` is any value with the descriptor of a listening stream socket: a std listener, or
    /// the result of [`listen`](crate::net::listen). The loop owns it from now on. It becomes
    /// non-blocking and stays so, even for other processes that share it. TCP connections get
    /// `TCP_NODELAY`, because the loop writes whole messages.
    ///
    /// While a peer does not read, its connection is not read from either (back-pressure, see
    /// [`pause_writing`](Protocol::pause_writing)). If the closure fails, its connection is closed
    /// and the error is reported; other connections stay open.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`]; [`Error::Watch`]; [`Error::Create`] if no descriptor is left for
    /// the reserve; [`Error::Closed`].
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
        // Boxed, so that the code below is not generated for each type of listener.
        self.serve_as(Box::new(listener), factory, Announce::Never, Location::caller())
    }

    /// Serves each connection of `listener` with a new protocol, created by `factory`. Otherwise
    /// like [`serve`](LoopHandle::serve).
    ///
    /// A panic of the factory closes only the connection for which it was called; the server stays
    /// open. The panic follows the [`PanicPolicy`](crate::PanicPolicy).
    ///
    /// # Errors
    ///
    /// Same as [`serve`](LoopHandle::serve).
    #[track_caller]
    pub fn serve_with<L, F, P>(&self, listener: L, factory: F) -> Result<Server>
    where
        L: AsFd + 'static,
        F: FnMut() -> P + 'static,
        P: Protocol<S> + 'static,
    {
        self.serve_as(Box::new(listener), factory, Announce::NextTick, Location::caller())
    }

    fn serve_as<F, P>(
        &self,
        listener: Box<dyn AsFd>,
        factory: F,
        announce: Announce,
        location: &'static Location<'static>,
    ) -> Result<Server>
    where
        F: FnMut() -> P + 'static,
        P: Protocol<S> + 'static,
    {
        self.core().check_open()?;
        let fd = listener.as_fd().as_raw_fd();
        let refused = |source| Error::Watch { operation: "serve", fd, source };
        fd::set_nonblocking(listener.as_fd(), true).map_err(refused)?;
        // Accepted sockets inherit the options, which saves a system call for each of them.
        socket::prepare_listener(&*listener).map_err(refused)?;
        let listener = Listener::new(listener)
            .map_err(|source| Error::Create { part: "reserve descriptor", source })?;
        let key = self.reserve_slot(location);
        // Level-triggered: with edges each burst would end in an accept(2) of an empty backlog.
        let registration =
            Registration::owned(key, Role::Reader, Interest::READABLE, TriggerMode::Level);
        let watch = self.core().register(fd, registration).inspect_err(|_| {
            self.remove(key);
        })?;
        let state = Rc::new(ServerState::new(self.core().clone(), key, fd, watch, listener));
        let server = Server { state: state.clone() };
        let accepting = AcceptCallback::new(state, factory, announce, location);
        self.fill_slot(key, Source::Stream(watch), Callback::repeat(accepting));
        Ok(server)
    }
}
