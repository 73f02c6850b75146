//! The doorbell: one bit that any thread may set and that a sleeping selector sees.
//!
//! The loop sleeps inside its selector, so another thread can reach it only through something the
//! selector watches.
//!
//! # Invariant
//!
//! Once [`Wakeup::wake`] has returned `Ok`, the selector reports the wakeup's token at least once,
//! and may go on until the next [`Wakeup::drain`]. Wakes that arrive in between are merged: a wakeup
//! says "look at the inbox", never how many entries are in it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::str::FromStr;

use crate::environment;
use crate::event::{Interest, Token, TriggerMode};
use crate::fd;
use crate::selector::{Selector, UserEvent};

/// What a [`Wakeup`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WakeupKind {
    /// An event of the selector itself (`EVFILT_USER` of kqueue), which needs no descriptor.
    UserEvent,
    /// eventfd(2): one descriptor.
    Eventfd,
    /// pipe(2): two descriptors, on every system.
    Pipe,
}

impl WakeupKind {
    /// The kinds that this system has, best first. `UserEvent` also needs a selector that has it.
    pub fn available() -> &'static [WakeupKind] {
        &[
            #[cfg(has_kqueue)]
            WakeupKind::UserEvent,
            #[cfg(has_eventfd)]
            WakeupKind::Eventfd,
            WakeupKind::Pipe,
        ]
    }

    /// The kind that the variable `MAINSPRING_WAKEUP` names, if it is set.
    ///
    /// A process that has more rights than whoever started it (set-user-ID and the like) does not
    /// look.
    ///
    /// # Errors
    ///
    /// The variable names no kind that this system has.
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
        let kinds = WakeupKind::available();
        kinds.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let names = kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            let message = format!("no wakeup is called {name:?} here; there are {names}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

/// A doorbell at a selector.
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
pub struct Wakeup(Means);

#[derive(Debug)]
enum Means {
    UserEvent(Box<dyn UserEvent>),
    #[cfg(has_eventfd)]
    Eventfd {
        counter: OwnedFd,
        /// How it is watched. By edges each write is an event of its own, and nobody has to read.
        mode: TriggerMode,
    },
    Pipe {
        reader: OwnedFd,
        writer: OwnedFd,
    },
}

impl Wakeup {
    /// Hangs a doorbell of this kind at `selector`, which will report it as `token`.
    ///
    /// # Errors
    ///
    /// `Unsupported` for `UserEvent` at a selector that has none, and for `Eventfd` on a system
    /// that has none; the kernel refuses a new descriptor.
    pub fn new(kind: WakeupKind, selector: &mut dyn Selector, token: Token) -> io::Result<Wakeup> {
        let means = match kind {
            WakeupKind::UserEvent => Means::UserEvent(selector.user_event(token)?),
            #[cfg(has_eventfd)]
            WakeupKind::Eventfd => {
                let mode =
                    if selector.has_edges() { TriggerMode::Edge } else { TriggerMode::Level };
                Means::Eventfd { counter: eventfd()?, mode }
            }
            #[cfg(not(has_eventfd))]
            WakeupKind::Eventfd => return Err(io::ErrorKind::Unsupported.into()),
            WakeupKind::Pipe => {
                let (reader, writer) = fd::pipe()?;
                Means::Pipe { reader, writer }
            }
        };
        let wakeup = Wakeup(means);
        if let Some(fd) = wakeup.watched_fd() {
            selector.register(fd.as_raw_fd(), token, Interest::READABLE, wakeup.mode())?;
        }
        Ok(wakeup)
    }

    /// The best doorbell that `selector` has.
    ///
    /// # Errors
    ///
    /// As [`new`](Wakeup::new).
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

    /// Makes the selector report the wakeup. May be called from any thread.
    ///
    /// # Errors
    ///
    /// The kernel's, except "full": a full doorbell is reported already, and one that is watched by
    /// edges is emptied first. `EBADF` or a short write: the descriptor is no longer the doorbell's.
    pub fn wake(&self) -> io::Result<()> {
        let rung = match &self.0 {
            Means::UserEvent(event) => return event.trigger(),
            #[cfg(has_eventfd)]
            Means::Eventfd { counter, mode } => add_one(counter.as_fd(), *mode),
            Means::Pipe { writer, .. } => fd::write(writer.as_fd(), &[1]),
        };
        unless_would_block(rung).map(drop)
    }

    /// Makes the selector silent again.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be read, or is another file's: closed behind the loop, and its number
    /// used again (daemon(3), closefrom(3)). Such a file may stay readable.
    pub fn drain(&self) -> io::Result<()> {
        match &self.0 {
            Means::UserEvent(_) => Ok(()), // Reported once a trigger, by EV_CLEAR.
            #[cfg(has_eventfd)]
            Means::Eventfd { mode: TriggerMode::Edge, .. } => Ok(()),
            #[cfg(has_eventfd)]
            Means::Eventfd { counter, .. } => reset(counter.as_fd()),
            Means::Pipe { reader, .. } => empty(reader.as_fd()),
        }
    }

    /// Gives a forked child a doorbell of its own, under the same numbers: the inherited one is its
    /// parent's. The selector is reset and told of it afterwards, by [`watched_fd`](Wakeup::watched_fd).
    ///
    /// # Errors
    ///
    /// The kernel refuses a new descriptor; then everything is as it was.
    pub fn after_fork(&self) -> io::Result<()> {
        match &self.0 {
            Means::UserEvent(_) => Ok(()), // The selector keeps it through its reset.
            #[cfg(has_eventfd)]
            Means::Eventfd { counter, .. } => fd::replace(counter.as_fd(), eventfd()?),
            Means::Pipe { reader, writer } => {
                let (new_reader, new_writer) = fd::pipe()?;
                fd::replace(reader.as_fd(), new_reader)?;
                fd::replace(writer.as_fd(), new_writer)
            }
        }
    }

    /// How the selector watches the descriptor.
    pub fn mode(&self) -> TriggerMode {
        match &self.0 {
            #[cfg(has_eventfd)]
            Means::Eventfd { mode, .. } => *mode,
            _ => TriggerMode::Level,
        }
    }

    /// The descriptor that the selector watches, where there is one.
    pub fn watched_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Means::UserEvent(_) => None,
            #[cfg(has_eventfd)]
            Means::Eventfd { counter, .. } => Some(counter.as_fd()),
            Means::Pipe { reader, .. } => Some(reader.as_fd()),
        }
    }

    /// The descriptor to write eight bytes to from a signal handler, where there is one.
    pub fn written_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Means::UserEvent(_) => None,
            #[cfg(has_eventfd)]
            Means::Eventfd { counter, .. } => Some(counter.as_fd()),
            Means::Pipe { writer, .. } => Some(writer.as_fd()),
        }
    }
}

#[cfg(has_eventfd)]
fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    fd::owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// A counter that nobody reads is full in the end, which is no event: then it begins anew.
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

/// Reads until nothing is left: a pipe holds a byte for each wake.
fn empty(reader: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0; 256];
    loop {
        match unless_would_block(fd::read(reader, &mut bytes))? {
            // The writing end is open, so a pipe of ours has no end of file.
            Some(0) => return Err(another_file()),
            Some(count) if count == bytes.len() => {}
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
    io::Error::other("the descriptor of the loop's doorbell was closed and names another file now")
}
