//! Wakeups: a way for any thread to wake a selector that sleeps.
//!
//! A loop sleeps inside its selector, so another thread can reach it only through something that
//! the selector watches.
//!
//! # Invariant
//!
//! After [`Wakeup::wake`] has returned `Ok`, the selector reports the wakeup's token at least once,
//! and may repeat the report until the next [`Wakeup::drain`]. Wakes before that are merged: a
//! wakeup means "check the inbox" and carries no count.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::str::FromStr;

use crate::environment;
use crate::event::{Interest, Token, TriggerMode};
use crate::fd;
use crate::selector::{Selector, UserEvent};

/// Kernel mechanism of a [`Wakeup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WakeupKind {
    /// A user event of the selector (`EVFILT_USER` of kqueue), which needs no descriptor.
    UserEvent,
    /// eventfd(2): one descriptor.
    Eventfd,
    /// pipe(2): two descriptors, on every system.
    Pipe,
}

impl WakeupKind {
    /// Returns the kinds that this system has, best first. `UserEvent` also needs a selector that
    /// supports it.
    pub fn available() -> &'static [WakeupKind] {
        &[
            #[cfg(has_kqueue)]
            WakeupKind::UserEvent,
            #[cfg(has_eventfd)]
            WakeupKind::Eventfd,
            WakeupKind::Pipe,
        ]
    }

    /// Returns the kind that the environment variable `MAINSPRING_WAKEUP` names. `None` if it is
    /// unset or empty.
    ///
    /// A process with more rights than the user who started it (set-user-ID and the like) ignores
    /// the variable.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the variable names no kind that this system has.
    pub fn from_env() -> io::Result<Option<WakeupKind>> {
        environment::choice("MAINSPRING_WAKEUP")
    }

    fn name(self) -> &'static str {
        match self {
            WakeupKind::UserEvent => "user-event",
            WakeupKind::Eventfd => "eventfd",
            WakeupKind::Pipe => "pipe",
        }
    }
}

impl fmt::Display for WakeupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WakeupKind {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<WakeupKind> {
        environment::kind_named("wakeup", name, WakeupKind::available())
    }
}

/// A wakeup that is registered with a selector.
///
/// ```
/// use mainspring_sys::{Events, SelectorKind, Token, Wakeup, WakeupKind};
///
/// let mut selector = SelectorKind::available()[0].open()?;
/// let wakeup = Wakeup::new(WakeupKind::Pipe, &mut *selector, Token::new(0, 0))?;
/// wakeup.wake()?;
/// wakeup.wake()?; // merged with the first
/// let mut events = Events::with_capacity(8);
/// selector.select(&mut events, None)?;
/// assert_eq!(events.len(), 1);
/// wakeup.drain()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Wakeup(Backend);

#[derive(Debug)]
enum Backend {
    UserEvent(Box<dyn UserEvent>),
    #[cfg(has_eventfd)]
    Eventfd {
        counter: OwnedFd,
        /// Trigger mode of the registration. In edge mode each write is an event and the counter is
        /// never read.
        mode: TriggerMode,
    },
    Pipe {
        reader: OwnedFd,
        writer: OwnedFd,
    },
}

impl Wakeup {
    /// Creates a wakeup of this kind and registers it with `selector`, which will report it as
    /// `token`.
    ///
    /// # Errors
    ///
    /// `Unsupported` for `UserEvent` if the selector has none, and for `Eventfd` if the system has
    /// none; the errors of creating and registering a descriptor.
    pub fn new(kind: WakeupKind, selector: &mut dyn Selector, token: Token) -> io::Result<Wakeup> {
        let backend = match kind {
            WakeupKind::UserEvent => Backend::UserEvent(selector.user_event(token)?),
            #[cfg(has_eventfd)]
            WakeupKind::Eventfd => {
                // In edge mode no wakeup costs a read(2).
                let mode =
                    if selector.has_edges() { TriggerMode::Edge } else { TriggerMode::Level };
                Backend::Eventfd { counter: eventfd()?, mode }
            }
            #[cfg(not(has_eventfd))]
            WakeupKind::Eventfd => return Err(io::ErrorKind::Unsupported.into()),
            WakeupKind::Pipe => {
                let (reader, writer) = fd::pipe()?;
                Backend::Pipe { reader, writer }
            }
        };
        let wakeup = Wakeup(backend);
        if let Some(fd) = wakeup.watched_fd() {
            selector.register(fd.as_raw_fd(), token, Interest::READABLE, wakeup.mode())?;
        }
        Ok(wakeup)
    }

    /// Creates the best kind of wakeup that `selector` supports.
    ///
    /// ```
    /// use mainspring_sys::{SelectorKind, Token, Wakeup};
    ///
    /// let mut selector = SelectorKind::available()[0].open()?;
    /// let wakeup = Wakeup::best(&mut *selector, Token::new(0, 0))?;
    /// std::thread::scope(|scope| scope.spawn(|| wakeup.wake()).join().unwrap())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`new`](Wakeup::new).
    pub fn best(selector: &mut dyn Selector, token: Token) -> io::Result<Wakeup> {
        let mut last = io::Error::from(io::ErrorKind::Unsupported);
        for kind in WakeupKind::available() {
            match Wakeup::new(*kind, selector, token) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// Makes the selector report the wakeup. Any thread may call it.
    ///
    /// # Errors
    ///
    /// The errors of the kernel, except "full": a full pipe or counter is already reported, and in
    /// edge mode a full counter is reset first. `EBADF` or a short write: the descriptor no longer
    /// belongs to the wakeup.
    pub fn wake(&self) -> io::Result<()> {
        let written = match &self.0 {
            Backend::UserEvent(event) => return event.trigger(),
            #[cfg(has_eventfd)]
            Backend::Eventfd { counter, mode } => add_one(counter.as_fd(), *mode),
            Backend::Pipe { writer, .. } => fd::write(writer.as_fd(), &[1]),
        };
        unless_would_block(written).map(drop)
    }

    /// Makes the selector stop reporting the wakeup until the next [`wake`](Wakeup::wake).
    ///
    /// # Errors
    ///
    /// The descriptor cannot be read, or refers to another file: other code closed it and its
    /// number was used again (daemon(3), closefrom(3)). Such a file may remain readable.
    pub fn drain(&self) -> io::Result<()> {
        match &self.0 {
            Backend::UserEvent(_) => Ok(()), // EV_CLEAR makes each trigger one report.
            #[cfg(has_eventfd)]
            Backend::Eventfd { mode: TriggerMode::Edge, .. } => Ok(()),
            #[cfg(has_eventfd)]
            Backend::Eventfd { counter, .. } => reset(counter.as_fd()),
            Backend::Pipe { reader, .. } => empty(reader.as_fd()),
        }
    }

    /// Replaces the descriptors of the wakeup in a forked child, which shares the inherited ones
    /// with its parent. The numbers stay the same. Afterwards reset the selector, and register
    /// [`watched_fd`](Wakeup::watched_fd) again.
    ///
    /// # Errors
    ///
    /// The errors of creating a descriptor; then nothing has changed.
    pub fn after_fork(&self) -> io::Result<()> {
        match &self.0 {
            Backend::UserEvent(_) => Ok(()), // A reset of the selector keeps user events.
            #[cfg(has_eventfd)]
            Backend::Eventfd { counter, .. } => fd::replace(counter.as_raw_fd(), eventfd()?),
            Backend::Pipe { reader, writer } => {
                fd::replace_pair([reader.as_raw_fd(), writer.as_raw_fd()], fd::pipe()?.into())
            }
        }
    }

    /// Returns the trigger mode in which the selector watches the descriptor.
    pub fn mode(&self) -> TriggerMode {
        match &self.0 {
            #[cfg(has_eventfd)]
            Backend::Eventfd { mode, .. } => *mode,
            _ => TriggerMode::Level,
        }
    }

    /// Returns the descriptor that the selector watches. `None` for a user event.
    pub fn watched_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Backend::UserEvent(_) => None,
            #[cfg(has_eventfd)]
            Backend::Eventfd { counter, .. } => Some(counter.as_fd()),
            Backend::Pipe { reader, .. } => Some(reader.as_fd()),
        }
    }

    /// Returns the descriptor that a signal handler writes eight bytes to. `None` for a user event.
    pub fn written_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Backend::UserEvent(_) => None,
            #[cfg(has_eventfd)]
            Backend::Eventfd { counter, .. } => Some(counter.as_fd()),
            Backend::Pipe { writer, .. } => Some(writer.as_fd()),
        }
    }
}

#[cfg(has_eventfd)]
fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    fd::owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Adds one to the counter. In edge mode the counter is never read, so it eventually overflows: a
/// refused write makes no event. Then it is reset and the write repeated.
#[cfg(has_eventfd)]
fn add_one(counter: BorrowedFd<'_>, mode: TriggerMode) -> io::Result<usize> {
    let add = || fd::write(counter, &1u64.to_ne_bytes());
    match add() {
        Ok(count) if count != COUNTER => Err(another_file()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && mode == TriggerMode::Edge => {
            reset(counter)?;
            add()
        }
        added => added,
    }
}

/// Size in bytes of each read and write of an eventfd.
#[cfg(has_eventfd)]
const COUNTER: usize = size_of::<u64>();

#[cfg(has_eventfd)]
fn reset(counter: BorrowedFd<'_>) -> io::Result<()> {
    match unless_would_block(fd::read(counter, &mut [0; COUNTER]))? {
        None | Some(COUNTER) => Ok(()),
        Some(_) => Err(another_file()),
    }
}

/// Reads until the pipe is empty: it holds a byte for each wake.
fn empty(reader: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0; 256];
    loop {
        match unless_would_block(fd::read(reader, &mut bytes))? {
            // Our pipe has no end of file while the write end is open, so this is another file.
            Some(0) => return Err(another_file()),
            Some(count) if count == bytes.len() => {} // A shorter read has emptied the pipe.
            _ => return Ok(()),
        }
    }
}

/// Returns `None` if the call would have blocked.
fn unless_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}

fn another_file() -> io::Error {
    io::Error::other("the wakeup descriptor was closed and its number now refers to another file")
}
