//! Notifications to the service manager.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

use mainspring_sys::fd;
use mainspring_sys::inherited::{monotonic_micros, take_fd};

use super::handle::{Phase, Service};
use crate::error::{Error, Result};

/// Notifications. None of them blocks: the loop continues even if the manager does not read.
///
/// Each returns [`Error::Notify`] if the message was not sent. Its kind is `WouldBlock` if the
/// manager's queue is full; a later call may succeed. Without a manager they do nothing.
impl Service {
    /// Reports that the service is ready (`READY=1`, and a newline on the descriptor of
    /// [`set_ready_fd`](Service::set_ready_fd), which is then closed).
    ///
    /// # Errors
    ///
    /// [`Error::Notify`].
    pub fn ready(&self) -> Result<()> {
        self.send("READY=1")?;
        self.write_newline()?;
        if self.state.phase.get() == Phase::Starting {
            self.state.phase.set(Phase::Ready);
        }
        Ok(())
    }

    /// Reports that the service is stopping (`STOPPING=1`). Once it was sent, further calls do
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Notify`].
    pub fn stopping(&self) -> Result<()> {
        self.state.phase.set(Phase::Stopping); // It stops even if the manager does not read.
        if !self.state.is_stop_sent.get() {
            self.send("STOPPING=1")?;
            self.state.is_stop_sent.set(true);
        }
        Ok(())
    }

    /// Reports that the service is reloading its configuration (`RELOADING=1`, with the time as
    /// `MONOTONIC_USEC`). [`ready`](Service::ready) ends the reload.
    ///
    /// [`on_reload`](Service::on_reload) sends both.
    ///
    /// # Errors
    ///
    /// [`Error::Notify`].
    pub fn reloading(&self) -> Result<()> {
        let message = "RELOADING=1";
        let time = monotonic_micros()
            .map_err(|source| Error::Notify { message: message.into(), source })?;
        self.send(&format!("{message}\nMONOTONIC_USEC={time}"))
    }

    /// Sets the status line of the service (`STATUS=`), shown by `systemctl status`.
    ///
    /// # Errors
    ///
    /// [`Error::Notify`], of the kind `InvalidInput` if the text contains a newline, a carriage
    /// return or a zero byte, which could begin another message.
    ///
    /// ```
    /// let service = mainspring::service::Service::default();
    /// service.status("serving 3 clients")?;
    /// let error = service.status("hello\nREADY=1").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn status(&self, text: &str) -> Result<()> {
        self.notify("STATUS", text)?;
        text.clone_into(&mut self.state.status.borrow_mut());
        Ok(())
    }

    /// Makes `pid` the main process of the service (`MAINPID=`).
    ///
    /// # Errors
    ///
    /// [`Error::Notify`].
    pub fn main_pid(&self, pid: u32) -> Result<()> {
        self.notify("MAINPID", &pid.to_string())
    }

    /// Requests that the manager wait at least `time` from now, while the service starts, reloads
    /// or stops (`EXTEND_TIMEOUT_USEC=`).
    ///
    /// # Errors
    ///
    /// [`Error::Notify`].
    pub fn extend_timeout(&self, time: Duration) -> Result<()> {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.notify("EXTEND_TIMEOUT_USEC", &micros.to_string())
    }

    /// Sends a ping to the watchdog (`WATCHDOG=1`). [`keep_watchdog`](Service::keep_watchdog) sends
    /// them from a timer.
    ///
    /// # Errors
    ///
    /// [`Error::Notify`].
    pub fn ping_watchdog(&self) -> Result<()> {
        self.send("WATCHDOG=1")
    }

    /// Sends another assignment of sd_notify(3), for example `ERRNO` with `2`.
    ///
    /// # Errors
    ///
    /// [`Error::Notify`], of the kind `InvalidInput` if the name contains anything but capital
    /// letters, digits and underscores, or the value contains a newline, a carriage return or a
    /// zero byte.
    pub fn notify(&self, name: &str, value: &str) -> Result<()> {
        let is_plain = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        let problem = if name.is_empty() || !name.bytes().all(is_plain) {
            "a name has capital letters, digits and underscores only"
        } else if value.contains(['\n', '\r', '\0']) {
            "the value has a newline, a carriage return or a zero byte"
        } else {
            return self.send(&format!("{name}={value}"));
        };
        let source = io::Error::new(ErrorKind::InvalidInput, problem);
        Err(Error::Notify { message: format!("{name}={value:?}"), source })
    }

    /// Writes a newline to the inherited descriptor `fd` when the service is
    /// [`ready`](Service::ready): the convention of s6, where the command line contains the number.
    ///
    /// Call it at the start of the program, like [`from_env`](Service::from_env).
    ///
    /// # Errors
    ///
    /// [`Error::Inherit`] if `fd` is not open, is a standard stream, or was opened by this process.
    pub fn set_ready_fd(&self, fd: RawFd) -> Result<()> {
        let failed = |source| Error::Inherit { fd, name: "ready".into(), source };
        let taken = take_fd(fd).map_err(failed)?;
        // The write end of a pipe that only this process has, or a socket.
        fd::set_nonblocking(taken.as_fd(), true).map_err(failed)?;
        self.state.ready_fd.replace(Some(taken));
        Ok(())
    }

    fn write_newline(&self) -> Result<()> {
        let mut ready_fd = self.state.ready_fd.borrow_mut();
        if let Some(fd) = &*ready_fd {
            let written = fd::write(fd.as_fd(), b"\n");
            written.map_err(|source| Error::Notify { message: "a newline".into(), source })?;
            *ready_fd = None;
        }
        Ok(())
    }

    /// Sends a message, if there is a manager.
    pub(super) fn send(&self, message: &str) -> Result<()> {
        self.state.notifier.as_ref().map_or(Ok(()), |notifier| notifier.send(message, &[]))
    }
}
