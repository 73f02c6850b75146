//! [`Tty`]: a terminal, and the guard of its raw mode.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use mainspring_sys::{Interest, Signal, terminal};

use super::WindowSize;
use super::size::SizeChanges;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::event_loop::callback_result::CallbackResult;
use crate::handle::Handle;
use crate::io::source::Io;

/// A terminal, as an event source. Reads follow the rules of [`Stdin`](super::Stdin).
///
/// ```no_run
/// use mainspring::{EventLoop, terminal::Tty};
///
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async {
///     let tty = Tty::open()?.into_io()?;
///     let _raw = tty.get_ref().raw_mode()?;
///     let mut key = [0; 8];
///     let count = tty.read(&mut key).await?;
///     tty.write_all(format!("{:?}\r\n", &key[..count]).as_bytes()).await?;
///     Ok::<_, mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct Tty {
    file: File,
}

impl Tty {
    /// Opens the controlling terminal of the process, `/dev/tty` of tty(4).
    ///
    /// # Errors
    ///
    /// An [`Error::Io`] with `ENXIO` if the process has none.
    pub fn open() -> Result<Tty> {
        Ok(Tty { file: File::options().read(true).write(true).open("/dev/tty")? })
    }

    /// Takes over a descriptor of a terminal.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if it is not a terminal. The descriptor is closed.
    ///
    /// ```
    /// let (reader, _writer) = std::io::pipe()?;
    /// let refused = mainspring::terminal::Tty::new(reader.into()).unwrap_err();
    /// assert!(refused.to_string().starts_with("cannot use as a terminal fd"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn new(fd: OwnedFd) -> Result<Tty> {
        if !fd.is_terminal() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a terminal");
            return Err(error("use as a terminal", fd.as_raw_fd(), source));
        }
        Ok(Tty { file: fd.into() })
    }

    /// Returns the terminal for tasks.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`].
    #[track_caller]
    pub fn into_io(self) -> Result<Io<Tty>> {
        Io::with_interest(self, Interest::READABLE | Interest::WRITABLE)
    }

    /// Puts the terminal into raw mode, like cfmakeraw(3): keys arrive at once, without echo, and
    /// send no signals; output is not translated. The guard restores the attributes.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`]: `PermissionDenied` in a background process, which is not stopped;
    /// `QuotaExceeded` if eight terminals are raw; the errors of tcsetattr(3).
    pub fn raw_mode(&self) -> Result<RawMode> {
        let fd = self.file.as_raw_fd();
        let entered = terminal::RawMode::enter(self.file.as_fd());
        let guard = entered.map_err(|source| error("make raw", fd, source))?;
        Ok(RawMode { guard, fd })
    }

    /// Returns the size of the window.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`]: those of `TIOCGWINSZ`.
    pub fn window_size(&self) -> Result<WindowSize> {
        let size = terminal::window_size(self.file.as_fd());
        size.map_err(|source| error("read the size of", self.file.as_raw_fd(), source))
    }

    /// Returns the changes of the window size, for tasks. No change after this call is lost;
    /// several may be merged.
    ///
    /// They are reported by [`Signal::WINCH`], which the kernel sends to the foreground processes
    /// of their controlling terminal.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] without descriptors.
    pub fn size_changes(&self) -> Result<SizeChanges> {
        Ok(SizeChanges::new(self.try_clone()?))
    }

    /// Calls `callback` with the new size whenever the window size changes, like
    /// [`size_changes`](Tty::size_changes). An error reading the size ends the handler.
    ///
    /// # Errors
    ///
    /// The errors of [`add_signal_handler`](LoopHandle::add_signal_handler) and
    /// [`size_changes`](Tty::size_changes).
    #[track_caller]
    pub fn on_resize<S, F, R>(&self, el: &LoopHandle<S>, mut callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S, WindowSize) -> R + 'static,
        R: CallbackResult,
    {
        let tty = self.try_clone()?;
        el.add_signal_handler(Signal::WINCH, move |el, state| {
            let size = tty.window_size()?;
            callback(el, state, size).into_result()
        })
    }

    /// Returns true if another process group is in the foreground of the terminal. Reading and
    /// entering raw mode are then errors.
    pub fn is_background(&self) -> bool {
        terminal::is_background(self.file.as_fd())
    }

    fn try_clone(&self) -> Result<Tty> {
        let file = self.file.try_clone();
        let file = file.map_err(|source| error("duplicate", self.file.as_raw_fd(), source))?;
        Ok(Tty { file })
    }
}

fn error(operation: &'static str, fd: RawFd, source: io::Error) -> Error {
    Error::Watch { operation, fd, source }
}

impl Read for &Tty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        terminal::read(self.file.as_fd(), buffer)
    }
}

impl Write for &Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Tty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A terminal in [raw mode](Tty::raw_mode). Dropping the guard restores the attributes.
///
/// They are also restored
///
/// * when HUP, INT, QUIT, TERM or ABRT ends the process by default. A signal that a loop or another
///   handler handles changes nothing here;
/// * when [`std::process::exit`] is called, which drops nothing;
/// * while TSTP has stopped the process. The terminal is raw again when the process continues.
///
/// KILL and STOP cannot be caught. A background process leaves the terminal as it is, because it
/// then belongs to another job. A copy of the guard in a forked child does nothing.
#[derive(Debug)]
#[must_use = "dropping it ends the raw mode"]
pub struct RawMode {
    guard: terminal::RawMode,
    fd: RawFd,
}

impl RawMode {
    /// Restores the attributes, and returns the error that a drop ignores.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`]: `EIO` after a hang-up, `PermissionDenied` in the background.
    pub fn restore(self) -> Result<()> {
        let RawMode { guard, fd } = self;
        guard.restore().map_err(|source| error("restore the attributes of", fd, source))
    }
}
