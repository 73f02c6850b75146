//! Lookups of names and addresses with the system's resolver, in the blocking pool.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainspring_sys::socket;

use super::host::Host;
use crate::awaits::{located, pending};
use crate::blocking::{BlockingPool, Job, JobBuilder};
use crate::error::{Error, Result};
use crate::task::{budget, current, job_of};

/// Looks up the addresses of a host in the running loop's blocking pool. The future returns at
/// least one address, in the order in which to try them. Reports of a stuck lookup name the line of
/// this call.
///
/// A host is the text `name:port`, a pair of a name and a port, a [`Host`], or an address.
///
/// # Errors
///
/// [`Error::Host`], before any lookup, if the value is not `name:port` or an address;
/// [`Error::Lookup`] if the resolver finds no address; [`Error::NoLoop`].
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
    Lookup(Progress::Waiting(Some(host), Location::caller()))
}

/// Looks up the name of the host that has `address`: the reverse of [`lookup_host`]. Calls
/// getnameinfo(3) in the running loop's blocking pool.
///
/// The owner of the address chooses the name, so it proves nothing about the host. To verify it,
/// look the name up and compare the addresses.
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
    located(|| "lookup_name", async move {
        budget::step().await;
        let tasks = current::running_for("mainspring::net::lookup_name")?;
        let job = job_of(&tasks.core).lookup().name(format!("name of {address}"));
        job.at(caller)
            .submit(move || {
                socket::host_name(address).map_err(|source| {
                    let host = address.to_string();
                    Error::Lookup { host, source }
                })
            })?
            .await?
    })
}

impl From<Infallible> for Error {
    /// Never called. Lets functions that take a [`Host`] accept an address, which converts without
    /// an error.
    fn from(never: Infallible) -> Error {
        match never {}
    }
}

/// A lookup in progress, from [`lookup_host`] or [`Host::lookup`]. The future returns at least one
/// address, in the order in which to try them, or the error of the resolver.
///
/// Dropping it abandons the lookup at once. The resolver call itself cannot be interrupted: its
/// result is dropped on its pool thread.
#[derive(Debug)]
#[must_use = "dropping a lookup abandons it"]
pub struct Lookup(Progress);

#[derive(Debug)]
enum Progress {
    /// Not started: the first poll finds the running loop, and so the blocking pool.
    Waiting(Option<Result<Host>>, &'static Location<'static>),
    /// The host is an address.
    Known(SocketAddr),
    /// The resolver runs in the blocking pool.
    Started(Job<Result<Vec<SocketAddr>>>),
}

const POLLED: &str = "a lookup must not be polled after it was ready";

impl Lookup {
    /// Blocks the thread until the lookup has finished. Only for threads without a loop, see
    /// [`Job::wait`].
    ///
    /// # Errors
    ///
    /// [`Error::Lookup`], or a [`JobError`](crate::JobError) if the blocking pool was closed.
    pub fn wait(self) -> Result<Vec<SocketAddr>> {
        match self.0 {
            Progress::Waiting(host, _) => host.expect(POLLED)?.resolve(),
            Progress::Known(address) => Ok(vec![address]),
            Progress::Started(job) => job.wait()?,
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
        if let Progress::Waiting(host, caller) = &mut self.0 {
            // A step of the budget, because a refused host is ready at once.
            ready!(budget::metered(context, |_| Poll::Ready(())));
            let (host, caller) = (host.take().expect(POLLED)?, *caller);
            let tasks = current::running_for("mainspring::net::lookup_host")?;
            *self = host.lookup_by(job_of(&tasks.core).at(caller))?;
        }
        match &mut self.0 {
            Progress::Waiting(..) => unreachable!("the lookup was started above"),
            Progress::Known(address) => {
                budget::metered(context, |_| Poll::Ready(Ok(vec![*address])))
            }
            Progress::Started(job) => {
                let polled = job.poll_result(context).map(|answer| answer?);
                pending(|| "lookup_host", polled)
            }
        }
    }
}

impl Host {
    /// Looks up the addresses of the host with getaddrinfo(3), in a job of `pool` of the class of
    /// [lookups](crate::JobBuilder::lookup). An address needs no job.
    ///
    /// ```
    /// use mainspring::{BlockingPool, net::Host};
    ///
    /// let pool = BlockingPool::new();
    /// let found = Host::new("127.0.0.1", 80)?.lookup(&pool)?.wait()?;
    /// assert_eq!(found, ["127.0.0.1:80".parse()?]);
    /// assert_eq!(pool.threads(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`JobBuilder::submit`](crate::JobBuilder::submit).
    #[track_caller]
    pub fn lookup(&self, pool: &BlockingPool) -> Result<Lookup> {
        self.lookup_by(pool.job().at(Location::caller()))
    }

    fn lookup_by(&self, job: JobBuilder<'_>) -> Result<Lookup> {
        if let Some(address) = self.address() {
            return Ok(Lookup(Progress::Known(address)));
        }
        let host = self.clone();
        let job = job.lookup().name(format!("lookup of {host}"));
        let job = job.submit(move || host.resolve())?;
        Ok(Lookup(Progress::Started(job)))
    }

    /// Resolves the host, and blocks this thread meanwhile.
    fn resolve(&self) -> Result<Vec<SocketAddr>> {
        match self.name() {
            None => Ok(self.address().into_iter().collect()),
            Some(name) => resolve(name, self.port())
                .map_err(|source| Error::Lookup { host: self.to_string(), source }),
        }
    }
}

/// Calls the resolver, and blocks this thread meanwhile.
fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}
