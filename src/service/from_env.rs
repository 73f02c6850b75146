//! Reading the environment of a service, once.

use std::os::fd::RawFd;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainspring_sys::inherited::take_fd;

use super::handle::{Inherited, Service, ServiceState};
use super::notifier::Notifier;
use super::variables::{VARIABLES, Variables};
use crate::error::{Error, Result};

/// Number of the first inherited descriptor (`SD_LISTEN_FDS_START`).
const FIRST_FD: RawFd = 3;

/// True after the first call. The environment of a process describes it once.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Service {
    /// Takes everything that a service manager has passed to this process: sockets (`LISTEN_PID`,
    /// `LISTEN_FDS`, `LISTEN_FDNAMES`), the notification address (`NOTIFY_SOCKET`), and the
    /// watchdog interval (`WATCHDOG_PID`, `WATCHDOG_USEC`).
    ///
    /// Call it first in `main`, before the program starts threads and children:
    ///
    /// * The inherited descriptors become close-on-exec, so no child inherits them.
    /// * The variables are removed from the environment, so no child sees them. They stay if the
    ///   process has other threads, or on systems other than Linux, because C code may read the
    ///   environment at the same time. In that case [`hide_from`](Service::hide_from) removes them
    ///   from a child's environment. A child would ignore most of them anyway, because the process
    ///   ids do not match.
    ///
    /// Sockets and a watchdog for another process id are ignored, as sd_listen_fds(3) and
    /// sd_watchdog_enabled(3) do: they are meant for the shell that started this process. A
    /// set-user-ID process ignores all variables. A second call returns a service without a
    /// manager.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if a variable has an invalid value, or the numbers of descriptors and
    /// names differ. [`Error::Inherit`] if a descriptor is not open, or this process has opened it:
    /// see [`take_fd`]. [`Error::Connect`] if the manager's socket does not accept notifications.
    pub fn from_env() -> Result<Service> {
        if IS_TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Service::default());
        }
        let variables = Variables::take()?;
        let inherited = (0..variables.fds).map(|index| inherit(&variables, index));
        let state = ServiceState {
            inherited: inherited.collect::<Result<Vec<_>>>()?.into(),
            notifier: variables.notify.map(Notifier::new).transpose()?,
            watchdog: variables.watchdog,
            ..ServiceState::default()
        };
        Ok(Service { state: Rc::new(state) })
    }

    /// Removes the manager's variables from the environment of a child, in case
    /// [`from_env`](Service::from_env) could not remove them from this process.
    ///
    /// ```
    /// let mut command = std::process::Command::new("/bin/true");
    /// mainspring::service::Service::hide_from(&mut command);
    /// assert!(command.get_envs().any(|(name, value)| name == "LISTEN_FDS" && value.is_none()));
    /// ```
    pub fn hide_from(command: &mut Command) {
        for variable in VARIABLES {
            command.env_remove(variable);
        }
    }
}

fn inherit(variables: &Variables, index: u32) -> Result<Inherited> {
    // The sum was checked with the number of descriptors.
    let (number, name) = (FIRST_FD + index as RawFd, variables.name(index).to_owned());
    match take_fd(number) {
        Ok(fd) => Ok(Inherited { name, number, fd: Some(fd) }),
        Err(source) => Err(Error::Inherit { fd: number, name, source }),
    }
}
