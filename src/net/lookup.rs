//! Lookups of names and addresses, by the system's resolver in the executor.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainspring_sys::socket;

use super::host::Host;
use crate::blocking::{BlockingPool, Job};
use crate::error::{Error, Result};
use crate::task::{self, budget};

/// The addresses of a host, by the threads of the running loop's executor, in the order in which
/// they should be tried. Reports of a lookup that is stuck name the place of this call.
///
/// A host is the text `name:port`, a pair of a name and a port, a [`Host`], or an address.
///
/// # Errors
///
/// [`Error::Host`] for what is no `name:port` or address, before any resolver is asked;
/// [`Error::Lookup`] if the resolver knows none; [`Error::NoLoop`].
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// let found = el.run_until_complete(mainspring::net::lookup_host("127.0.0.1:80"))??;
/// assert_eq!(found[0].port(), 80);
/// let found = el.run_until_complete(mainspring::net::lookup_host(("::1", 80)))??;
/// assert!(found[0].is_ipv6());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn lookup_host<H>(host: H) -> Lookup
where
    H: TryInto<Host>,
    Error: From<H::Error>,
{
    let host = host.try_into().map_err(Error::from);
    Lookup(Answer::Unasked(Some(host), Location::caller()))
}

/// The name of the host that has `address`, by getnameinfo(3) in a thread of the running loop's
/// executor: the reverse of [`lookup_host`].
///
/// The owner of the address chooses the name, so it proves nothing about the host. To check it look
/// the name up, and compare the addresses.
///
/// # Errors
///
/// [`Error::Lookup`], with `NotFound` if the address has no name; [`Error::NoLoop`].
///
/// ```
/// use mainspring::net::lookup_name;
///
/// let mut el = mainspring::EventLoop::new()?;
/// match el.run_until_complete(lookup_name(([127, 0, 0, 1], 80)))? {
///     Ok(name) => assert!(!name.is_empty()), // "localhost", on most machines
///     Err(error) => assert!(error.to_string().contains("127.0.0.1")),
/// }
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn lookup_name(address: impl Into<SocketAddr>) -> impl Future<Output = Result<String>> {
    let (address, caller) = (address.into(), Location::caller());
    async move {
        budget::step().await;
        let tasks = task::running("mainspring::net::lookup_name")?;
        let job = tasks.core.blocking_pool().job().lookup().name(format!("name of {address}"));
        job.at(caller)
            .submit(move || {
                socket::name_of(address).map_err(|source| {
                    let host = address.to_string();
                    Error::Lookup { host, source }
                })
            })?
            .await?
    }
}

impl From<Infallible> for Error {
    /// Never called. It lets an address stand for a [`Host`] where one is taken.
    fn from(never: Infallible) -> Error {
        match never {}
    }
}

/// The addresses of a host on their way, from [`lookup_host`] or [`Host::lookup`]: a future of at least one, in the
/// order in which they should be tried, or of the error that the resolver gave.
///
/// Dropping it abandons the lookup at once. A resolver that was asked already cannot be
/// interrupted: what it answers is dropped on the executor's thread.
#[derive(Debug)]
#[must_use = "a lookup that is dropped is abandoned"]
pub struct Lookup(Answer);

#[derive(Debug)]
enum Answer {
    /// The executor is that of the loop in which it is first polled.
    Unasked(Option<Result<Host>>, &'static Location<'static>),
    Known(SocketAddr),
    Asked(Job<Result<Vec<SocketAddr>>>),
}

const POLLED: &str = "a lookup is not polled after it was ready";

impl Lookup {
    /// Blocks the thread until the answer is there; only for threads without a loop, see
    /// [`Job::wait`].
    ///
    /// # Errors
    ///
    /// [`Error::Lookup`], or a [`JobError`](crate::JobError) if the executor was closed.
    pub fn wait(self) -> Result<Vec<SocketAddr>> {
        match self.0 {
            Answer::Unasked(host, _) => host.expect(POLLED)?.resolve(),
            Answer::Known(address) => Ok(vec![address]),
            Answer::Asked(job) => job.wait()?,
        }
    }
}

impl Future for Lookup {
    type Output = Result<Vec<SocketAddr>>;

    /// # Panics
    ///
    /// After it was ready.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Answer::Unasked(host, caller) = &mut self.0 {
            ready!(budget::metered(context, |_| Poll::Ready(()))); // It may be refused at once.
            let (host, caller) = (host.take().expect(POLLED)?, *caller);
            let tasks = task::running("mainspring::net::lookup_host")?;
            *self = host.lookup_at(caller, tasks.core.blocking_pool())?;
        }
        match &mut self.0 {
            Answer::Unasked(..) => unreachable!("it was asked just now"),
            Answer::Known(address) => budget::metered(context, |_| Poll::Ready(Ok(vec![*address]))),
            Answer::Asked(job) => Pin::new(job).poll(context).map(|answer| answer?),
        }
    }
}

impl Host {
    /// Asks the system's resolver, getaddrinfo(3), for the addresses of the host, in a job of the
    /// class of [lookups](crate::JobBuilder::lookup). An address is its own answer, without a job.
    ///
    /// ```
    /// use mainspring::{BlockingPool, net::Host};
    ///
    /// let executor = BlockingPool::new();
    /// let found = Host::new("127.0.0.1", 80)?.lookup(&executor)?.wait()?;
    /// assert_eq!(found, ["127.0.0.1:80".parse()?]);
    /// assert_eq!(executor.threads(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`JobBuilder::submit`](crate::JobBuilder::submit).
    #[track_caller]
    pub fn lookup(&self, executor: &BlockingPool) -> Result<Lookup> {
        self.lookup_at(Location::caller(), executor)
    }

    fn lookup_at(
        &self,
        place: &'static Location<'static>,
        executor: &BlockingPool,
    ) -> Result<Lookup> {
        if let Some(address) = self.address() {
            return Ok(Lookup(Answer::Known(address)));
        }
        let host = self.clone();
        let job = executor.job().lookup().name(format!("lookup of {host}")).at(place);
        let job = job.submit(move || host.resolve())?;
        Ok(Lookup(Answer::Asked(job)))
    }

    /// Blocks this thread for as long as the resolver takes.
    fn resolve(&self) -> Result<Vec<SocketAddr>> {
        match self.name() {
            // An address, which is its own answer.
            None => Ok(self.address().into_iter().collect()),
            Some(name) => resolve(name, self.port())
                .map_err(|source| Error::Lookup { host: self.to_string(), source }),
        }
    }
}

/// Asks the resolver, and takes as long as it does.
fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}
