//! Waiting until the service manager has handled the notifications.

use std::future::Future;
use std::os::fd::AsFd;
use std::panic::Location;

use mainspring_sys::{Interest, fd};

use super::handle::Service;
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::Io;

impl Service {
    /// Waits until the manager has handled all earlier notifications (`BARRIER=1`). Use it if the
    /// process exits right after its last notification. Without a manager it returns at once.
    ///
    /// The manager may never answer, so put a [`timeout`](crate::timeout) around it. Cancel safe.
    ///
    /// ```
    /// use mainspring::{EventLoop, service::Service};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let service = Service::default();
    ///     service.stopping()?;
    ///     service.barrier().await
    /// })??;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Notify`]; the errors of pipe(2) and [`Io::readable`].
    #[track_caller]
    pub fn barrier(&self) -> impl Future<Output = Result<()>> {
        let location = Location::caller();
        located(|| "barrier", async move {
            let Some(notifier) = &self.state.notifier else { return Ok(()) };
            let message = "BARRIER=1";
            let (reader, writer) =
                fd::pipe().map_err(|source| Error::Notify { message: message.into(), source })?;
            notifier.send(message, &[writer.as_fd()])?;
            drop(writer); // The manager has the only copy, and closes it.
            let io = Io::with_interest_at(reader, Interest::READABLE, location)?;
            Ok(io.readable().await?)
        })
    }
}
