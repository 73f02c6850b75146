//! [`Service`]: the state that its parts share.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use super::notifier::Notifier;

/// The process's connection to its service manager.
///
/// Clones refer to the same service, so callbacks and tasks may keep one. [`Service::default`] is a
/// service without a manager.
#[derive(Clone, Default)]
pub struct Service {
    pub(super) state: Rc<ServiceState>,
}

#[derive(Default)]
pub(super) struct ServiceState {
    /// The inherited descriptors, in the order of their numbers.
    pub(super) inherited: RefCell<Vec<Inherited>>,
    /// The manager's socket; `None` without a manager.
    pub(super) notifier: Option<Notifier>,
    /// Time after which the manager expects a ping.
    pub(super) watchdog: Option<Duration>,
    /// The descriptor of [`Service::set_ready_fd`], until the service is ready.
    pub(super) ready_fd: RefCell<Option<OwnedFd>>,
    pub(super) phase: Cell<Phase>,
    /// True if the manager was notified that the service is stopping.
    pub(super) is_stop_sent: Cell<bool>,
    /// The last status that the program has set.
    pub(super) status: RefCell<String>,
}

/// An inherited descriptor.
pub(super) struct Inherited {
    pub(super) name: String,
    /// Its number, for errors.
    pub(super) number: RawFd,
    /// The descriptor, until it is taken.
    pub(super) fd: Option<OwnedFd>,
}

/// The manager's view of the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Starting,
    Ready,
    Stopping,
}

impl Service {
    /// Returns true if a service manager receives the notifications of this process.
    pub fn is_managed(&self) -> bool {
        self.state.notifier.is_some()
    }

    /// Returns the time after which the manager expects a ping (`WatchdogSec=`), or `None` if it
    /// expects none.
    pub fn watchdog_time(&self) -> Option<Duration> {
        self.state.watchdog
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("is_managed", &self.is_managed())
            .field("watchdog_time", &self.watchdog_time())
            .field("unclaimed", &self.unclaimed())
            .finish_non_exhaustive()
    }
}
