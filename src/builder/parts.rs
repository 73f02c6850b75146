//! The parts of a new loop that settings and environment variables choose.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use mainspring_sys::{AnySelector, SelectorKind, Wakeup, WakeupKind, environment};

use super::SelectorChoice;
use crate::error::{Error, Result};
use crate::event_loop::loop_core::INBOX;
use crate::watchers::Watchers;

pub(super) fn open_selector(choice: Option<SelectorChoice>) -> Result<AnySelector> {
    let kind = match choice {
        Some(SelectorChoice::Custom(selector)) => return Ok(AnySelector::Other(selector)),
        Some(SelectorChoice::Kind(kind)) => kind,
        None => SelectorKind::from_env().map_err(setting)?.unwrap_or(SelectorKind::available()[0]),
    };
    AnySelector::open(kind).map_err(|source| match source.kind() {
        // The only invalid input of a selector is a setting of the environment.
        ErrorKind::InvalidInput => setting(source),
        _ => Error::Create { part: "selector", source },
    })
}

pub(super) fn open_wakeup(kind: Option<WakeupKind>, watchers: &mut Watchers) -> Result<Wakeup> {
    let kind = match kind {
        Some(kind) => Some(kind),
        None => WakeupKind::from_env().map_err(setting)?,
    };
    let selector = &mut **watchers.selector();
    let wakeup = match kind {
        Some(kind) => Wakeup::new(kind, selector, INBOX),
        None => Wakeup::best(selector, INBOX),
    };
    let wakeup = wakeup.map_err(|source| Error::Create { part: "wakeup", source })?;
    if let Some(fd) = wakeup.watched_fd() {
        watchers.add_internal(fd.as_raw_fd(), INBOX, wakeup.mode());
    }
    Ok(wakeup)
}

pub(super) fn setting(error: io::Error) -> Error {
    Error::Setting(error.to_string())
}

pub(super) fn debug_by_environment() -> Result<bool> {
    match environment::variable("MAINSPRING_DEBUG").as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(value) => {
            Err(Error::Setting(format!("MAINSPRING_DEBUG must be 0 or 1, not {value:?}")))
        }
    }
}
