//! One descriptor that becomes readable when any of the watched processes ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::kind::ExitWatchKind;
use super::notice::ExitNotice;
#[cfg(has_pidfd)]
use super::pidfd_set::PidfdSet;
use super::watched_process::WatchedProcess;
use crate::event::{Interest, Token, TriggerMode};
use crate::selector::Selector;
#[cfg(has_kqueue)]
use crate::selector::kqueue::{ExitFilters, System};
use crate::signal::{Signal, Subscription};

/// The watch of all processes of a loop.
///
/// ```
/// use mainspring_sys::child::{ExitWatch, ExitWatchKind, WatchedProcess};
/// use mainspring_sys::{Events, SelectorKind, Token};
/// use std::process::Command;
///
/// for kind in ExitWatchKind::available() {
///     let mut selector = SelectorKind::available()[0].open()?;
///     let mut watch = ExitWatch::open(*kind, &mut *selector, Token::new(0, 0))?;
///     let process = WatchedProcess::spawned(Command::new("true").spawn()?.id(), *kind);
///     watch.add(&process)?;
///     let (mut events, mut notices) = (Events::with_capacity(8), Vec::new());
///     while !process.check() {
///         selector.select(&mut events, None)?;
///         watch.drain(&mut notices)?;
///     }
///     assert!(process.end().unwrap().unwrap().success());
///     watch.remove(&process);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ExitWatch(Backend);

#[derive(Debug)]
enum Backend {
    #[cfg(has_pidfd)]
    Pidfds(PidfdSet),
    #[cfg(has_kqueue)]
    Filters(ExitFilters<System>),
    Signals(Subscription),
}

impl ExitWatch {
    /// Opens a watch without processes. When one ends, `selector` will report `token`.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a kind that the system does not have; the errors of creating and
    /// registering a descriptor.
    pub fn open(
        kind: ExitWatchKind,
        selector: &mut dyn Selector,
        token: Token,
    ) -> io::Result<ExitWatch> {
        let backend = match kind {
            #[cfg(has_pidfd)]
            ExitWatchKind::Pidfd => Backend::Pidfds(PidfdSet::new()?),
            #[cfg(has_kqueue)]
            ExitWatchKind::Kqueue => Backend::Filters(ExitFilters::new()?),
            ExitWatchKind::Signal => {
                let mut signals = Subscription::new(selector, token)?;
                signals.subscribe(Signal::CHLD)?;
                Backend::Signals(signals)
            }
            #[allow(unreachable_patterns)]
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let watch = ExitWatch(backend);
        if !matches!(watch.0, Backend::Signals(_)) {
            let fd = watch.watched_fd().as_raw_fd();
            selector.register(fd, token, Interest::READABLE, watch.mode())?;
        }
        Ok(watch)
    }

    /// Adds a process. Returns false if its end is not reported: the caller must
    /// [check](WatchedProcess::check) it from time to time, or add it again later.
    ///
    /// This happens if no descriptor is left for a pidfd, and in a forked child before
    /// [`after_fork`](ExitWatch::after_fork). Without pidfds and kqueue(2) it happens for each
    /// process that is not a child.
    ///
    /// # Errors
    ///
    /// The errors of the kernel. A process that has ended already may be the error `ESRCH`.
    pub fn add(&mut self, process: &WatchedProcess) -> io::Result<bool> {
        match &mut self.0 {
            #[cfg(has_pidfd)]
            Backend::Pidfds(set) => set.add(process),
            #[cfg(has_kqueue)]
            Backend::Filters(filters) => filters.add(process.id()).map(|()| true),
            Backend::Signals(_) => Ok(process.is_child()),
        }
    }

    /// Removes a process, whether or not its end was reported.
    // The watch of signals alone, on other systems, keeps no list of processes.
    #[cfg_attr(not(any(has_pidfd, has_kqueue)), allow(unused_variables, clippy::ptr_arg))]
    pub fn remove(&mut self, process: &WatchedProcess) {
        match &mut self.0 {
            #[cfg(has_pidfd)]
            Backend::Pidfds(set) => set.remove(process),
            #[cfg(has_kqueue)]
            Backend::Filters(filters) => filters.remove(process.id()),
            Backend::Signals(_) => {}
        }
    }

    /// Appends the processes that have ended to `notices`, a bounded number. The selector reports
    /// the rest again. Returns true if any process may have ended, without notices.
    ///
    /// # Errors
    ///
    /// The errors of the kernel: the descriptor no longer belongs to the watch.
    // The watch of signals alone, on other systems, keeps no list of processes.
    #[cfg_attr(not(any(has_pidfd, has_kqueue)), allow(unused_variables, clippy::ptr_arg))]
    pub fn drain(&mut self, notices: &mut Vec<ExitNotice>) -> io::Result<bool> {
        match &mut self.0 {
            #[cfg(has_pidfd)]
            Backend::Pidfds(set) => set.drain(notices).map(|()| false),
            #[cfg(has_kqueue)]
            Backend::Filters(filters) => {
                filters.drain(|pid, status| notices.push(ExitNotice { pid, status }))?;
                Ok(false)
            }
            Backend::Signals(signals) => Ok(signals.drain()?.next().is_some()),
        }
    }

    /// Returns true if the end of a child is not reported if it came before the watch was opened.
    pub fn misses_earlier_ends(&self) -> bool {
        matches!(self.0, Backend::Signals(_))
    }

    /// Returns true if the end of a process is reported once, even if it was not settled.
    pub fn reports_once(&self) -> bool {
        match &self.0 {
            #[cfg(has_kqueue)]
            Backend::Filters(_) => true,
            _ => false,
        }
    }

    /// Returns the descriptor that the selector watches. Deregister it before dropping the watch.
    pub fn watched_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            #[cfg(has_pidfd)]
            Backend::Pidfds(set) => set.fd(),
            #[cfg(has_kqueue)]
            Backend::Filters(filters) => filters.fd(),
            Backend::Signals(signals) => signals.watched_fd(),
        }
    }

    /// Returns the trigger mode in which the selector watches the descriptor.
    pub fn mode(&self) -> TriggerMode {
        match &self.0 {
            Backend::Signals(signals) => signals.mode(),
            #[allow(unreachable_patterns)]
            _ => TriggerMode::Level,
        }
    }

    /// Makes the copy in a forked child independent of its parent: the descriptor, under the same
    /// number, becomes a new one without processes.
    ///
    /// # Errors
    ///
    /// The errors of creating a descriptor; then nothing has changed.
    pub fn after_fork(&mut self) -> io::Result<()> {
        match &mut self.0 {
            #[cfg(has_pidfd)]
            Backend::Pidfds(set) => set.after_fork(),
            #[cfg(has_kqueue)]
            Backend::Filters(filters) => filters.after_fork(),
            Backend::Signals(signals) => signals.after_fork(),
        }
    }
}
