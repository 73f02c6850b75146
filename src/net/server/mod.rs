//! A server: a listener, its accept policy, and the connections that came from it.

mod accepting;
mod members;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::socket::{self, Address, ListenOptions};
use mainspring_sys::{Interest, TriggerMode, fd};

use self::accepting::Accepting;
pub(super) use self::accepting::FAILURES;
pub(crate) use self::members::Membership;
use self::members::{Listener, Shared};
use super::connection::Made;
use super::into_address::IntoAddress;
use super::protocol::{Protocol, SharedClosure};
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback::Callback;
use crate::event_loop::source::Source;
use crate::handle::Handle;
use crate::watchers::Role;

/// Time in which [`Server::close_clients`] closes all.
const CLOSING: Duration = Duration::from_secs(2);

/// Opens a socket that listens at `address`, TCP or Unix, to be [served](LoopHandle::serve).
///
/// ```
/// use mainspring::net::{ListenOptions, listen};
///
/// let listener = listen("127.0.0.1:0", &ListenOptions::default())?;
/// let listener = std::net::TcpListener::from(listener);
/// let bound = listener.local_addr()?;
/// let error = listen(bound, &ListenOptions::default()).unwrap_err();
/// assert!(error.to_string().contains(&bound.to_string()));
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Listen`] with the address: it is in use, the file exists, the address is not ours ..
/// [`Error::Io`] with `InvalidInput` for a value that is no address.
pub fn listen(address: impl IntoAddress, options: &ListenOptions) -> Result<OwnedFd> {
    let address = address.into_address()?;
    let listening = socket::listen(&address, options);
    listening.map_err(|source| Error::Listen { address: address.to_string(), source })
}

/// A server, to ask after its connections and to end it. Clones are the same server; dropping it
/// changes nothing.
///
/// It accepts as many clients as there are descriptors, so one client can take all of them. A daemon
/// sets [`max_connections`](Server::set_max_connections), below the process's limit of descriptors
/// by what it needs itself, and an [idle limit](Server::set_idle_limit).
#[derive(Clone)]
pub struct Server {
    shared: Rc<Shared>,
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
        let address = shared.with_listener(|listener| socket::local_addr(&*listener));
        address.unwrap_or(Err(io::ErrorKind::NotConnected.into()))
    }

    /// Stops accepting and closes the listener, now. Connections go on. Closing twice does nothing.
    pub fn close(&self) {
        let shared = &self.shared;
        if let Some(watch) = shared.watch.take() {
            shared.core.unwatch(watch, shared.key);
            shared.core.feed(shared.key); // So that the callback goes as well.
            drop(shared.listener.take());
        }
    }

    /// Closes every connection when what is queued for it is sent, within two seconds: what a
    /// client does not take by then is dropped, and its protocol gets the error
    /// [`TimedOut`](crate::Error::TimedOut).
    pub fn close_clients(&self) {
        self.close_clients_within(CLOSING);
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

    /// Sets how many connections are open at most; clients beyond that wait in the backlog of the
    /// kernel until one of them ends. Zero accepts none. Default: as many as there are descriptors.
    ///
    /// A limit below the number that is open closes none of them.
    pub fn set_max_connections(&self, connections: usize) {
        self.shared.most.set(connections);
        self.shared.wake_up();
    }

    /// Asks `admit` with the address of each client that was accepted from now on, before its
    /// protocol is made. False closes the connection at once; it counts as accepted.
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
        let former = self.shared.admission.replace(Some(Rc::new(admit)));
        drop(former); // With nothing borrowed: its captures may call the server.
    }

    /// Sets the [idle limit](Transport::set_idle_limit) of connections that are accepted from now
    /// on. A protocol may change its own in `connection_made`.
    pub fn set_idle_limit(&self, limit: Option<Duration>) {
        self.shared.idle_limit.set(limit);
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
    /// [set_background](LoopHandle::set_background) it.
    pub fn handle(&self) -> Handle {
        Handle { key: self.shared.key, loop_id: self.shared.core.loop_id }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server(fd {}, {} connections)", self.shared.fd, self.connections())
    }
}

impl<S: 'static> LoopHandle<S> {
    /// Serves each connection of `listener` with `closure`, which is called with what comes in.
    ///
    /// `listener` is anything with the descriptor of a listening stream socket: a listener of std,
    /// or of [`listen`]. The loop owns it from now on and makes it non-blocking, which it stays: a
    /// process that takes over the listener finds it so. TCP connections
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
    /// A factory that panics costs the connection that it was called for; the server goes on. The
    /// panic follows the [`PanicPolicy`](crate::PanicPolicy).
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
        fd::set_nonblocking(listener.as_fd(), true).map_err(refused)?;
        // Accepted sockets inherit the options, which saves a system call for each.
        socket::prepare_listener(&*listener).map_err(refused)?;
        let listener = Listener::new(listener)
            .map_err(|source| Error::Create { part: "reserve descriptor", source })?;
        let key = self.reserve_slot(location);
        let watch =
            self.core().watch(fd, Role::Reader, Interest::READABLE, TriggerMode::Level, key);
        let watch = watch.inspect_err(|_| {
            self.remove(key);
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
            most: Cell::new(usize::MAX),
            admission: RefCell::default(),
            idle_limit: Cell::new(None),
        });
        let server = Server { shared: shared.clone() };
        let accepting = Accepting::new(shared, factory, made, location);
        self.fill_slot(key, Source::Stream(watch), Callback::repeat(accepting));
        Ok(server)
    }
}
