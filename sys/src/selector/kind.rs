//! Kinds of selectors, by name.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::environment;

/// Kinds of selectors.
///
/// ```
/// use mainspring_sys::SelectorKind;
///
/// let kind: SelectorKind = "poll".parse()?;
/// assert_eq!(kind.to_string(), "poll");
/// assert!(SelectorKind::available().contains(&kind));
/// assert!("pool".parse::<SelectorKind>().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SelectorKind {
    /// epoll(7) of Linux.
    Epoll,
    /// kqueue(2) of macOS and the BSDs.
    Kqueue,
    /// poll(2), everywhere.
    Poll,
    /// select(2), everywhere, for descriptors below `FD_SETSIZE`.
    Select,
}

impl SelectorKind {
    /// Returns the kinds that this system has, best first. The first is the default.
    pub fn available() -> &'static [SelectorKind] {
        &[
            #[cfg(has_epoll)]
            SelectorKind::Epoll,
            #[cfg(has_kqueue)]
            SelectorKind::Kqueue,
            SelectorKind::Poll,
            SelectorKind::Select,
        ]
    }

    /// Returns the kind that the environment variable `MAINSPRING_SELECTOR` names. `None` if it is
    /// unset or empty.
    ///
    /// A process with more rights than the user who started it (set-user-ID and the like) ignores
    /// the variable.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the variable names no kind that this system has.
    pub fn from_env() -> io::Result<Option<SelectorKind>> {
        environment::choice("MAINSPRING_SELECTOR")
    }

    fn name(self) -> &'static str {
        match self {
            SelectorKind::Epoll => "epoll",
            SelectorKind::Kqueue => "kqueue",
            SelectorKind::Poll => "poll",
            SelectorKind::Select => "select",
        }
    }
}

impl fmt::Display for SelectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SelectorKind {
    type Err = io::Error;

    /// Accepts the names of the kinds that this system has.
    fn from_str(name: &str) -> io::Result<SelectorKind> {
        environment::kind_named("selector", name, SelectorKind::available())
    }
}

/// Returns the names of `kinds`, separated by commas.
pub(super) fn list(kinds: &[SelectorKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}
