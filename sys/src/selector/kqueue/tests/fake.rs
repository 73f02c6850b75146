//! A scripted kernel that behaves like those of the BSDs, and that tests can control.
//!
//! `recorded.rs` compares these rules with the results of a real kernel. Each change with
//! `EV_RECEIPT` or an error returns a receipt while there is room, and a call with receipts reports
//! nothing else; without room an error ends the call. A filter keeps the mode it was added with,
//! and takes the udata of an addition. An event repeats the flags of its filter, including
//! `EV_RECEIPT`. Closing a file drops its filters. A reported level filter moves to the end of the
//! queue. Where kernels differ, the profile decides.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use libc::c_int;

use super::profiles::{self, Except, Null, Profile};
use crate::event::{Interest, Token};
use crate::selector::contract::UserEvent;
use crate::selector::kqueue::kernel::{FileKind, Kernel};
use crate::selector::kqueue::kevent::{
    self, EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_DISPATCH, EV_ENABLE, EV_ONESHOT,
};
use crate::selector::kqueue::kevent::{EV_EOF, EV_ERROR, EV_RECEIPT, Filter, Flags, Kevent};
use crate::selector::kqueue::kevent::{NOTE_LOWAT, NOTE_OOB};

/// A kernel with one kqueue. Clones are the same kernel, so that a test can control it.
#[derive(Debug, Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    null: Arc<OwnedFd>,
}

#[derive(Debug)]
pub struct State {
    pub profile: Profile,
    pub files: BTreeMap<RawFd, FakeFile>,
    /// Filters in the order in which they will be checked.
    pub filters: Vec<Knote>,
    /// Errno that kevent(2) returns when a filter is added.
    pub refusals: BTreeMap<(RawFd, Filter), c_int>,
    pub ignores_receipts: bool,
    pub is_library: bool,
    /// Number of waits that a signal will still interrupt.
    pub signals: usize,
    /// Errno of the next call, which makes its changes nevertheless: the caller cannot see how many
    /// were made.
    pub failure: Option<c_int>,
    pub renewal_fails: bool,
    /// Identifier of an event with a filter that the selector never adds.
    pub foreign_ident: Option<usize>,
    /// Calls so far: number of changes, timeout.
    pub calls: Vec<(usize, Option<Duration>)>,
}

#[derive(Debug, Clone)]
pub struct FakeFile {
    pub kind: FileKind,
    /// True for a pipe or a fifo: if both its ends are closed, it has lost its peer.
    pub is_pipe: bool,
    /// True for `/dev/null` and the like: always ready for poll(2), and by profile for kqueue(2).
    pub is_null: bool,
    pub readable: bool,
    pub writable: bool,
    /// True if the buffer has no room for more input.
    pub is_full: bool,
    /// Number of arrivals. Each is a new edge, even if the file was readable before.
    pub arrivals: usize,
    pub priority: bool,
    pub read_end: bool,
    pub write_end: bool,
    pub error: c_int,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knote {
    pub filter: Filter,
    pub ident: usize,
    pub udata: usize,
    pub mode: Flags,
    pub disabled: bool,
    pub active: bool,
    /// True if its list was cleared: the filter is dropped after its next report.
    pub cleared: bool,
    /// True if a low-water mark was requested.
    pub lowat: bool,
}

impl Fake {
    pub fn new() -> Fake {
        let null = Arc::new(File::open("/dev/null").unwrap().into());
        let state = State {
            profile: profiles::current(),
            files: BTreeMap::new(),
            filters: Vec::new(),
            refusals: BTreeMap::new(),
            ignores_receipts: false,
            is_library: false,
            signals: 0,
            failure: None,
            renewal_fails: false,
            foreign_ident: None,
            calls: Vec::new(),
        };
        Fake { state: Arc::new(Mutex::new(state)), null }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn open(&self, fd: RawFd, file: FakeFile) {
        self.state().files.insert(fd, file);
    }

    pub fn close(&self, fd: RawFd) {
        let mut state = self.state();
        state.files.remove(&fd);
        state.filters.retain(|one| one.filter == Filter::User || one.ident != fd as usize);
    }

    /// Changes the state of a file. A filter becomes active if it concerns the change.
    pub fn happen(&self, fd: RawFd, change: impl FnOnce(&mut FakeFile)) {
        let mut guard = self.state();
        let state = &mut *guard;
        let old = state.files[&fd].clone();
        change(state.files.get_mut(&fd).unwrap());
        let (file, profile) = (&state.files[&fd], &state.profile);
        let of_fd = |one: &&mut Knote| one.filter != Filter::User && one.ident == fd as usize;
        for one in state.filters.iter_mut().filter(of_fd) {
            one.active |= file.is_active(one.filter, profile) && file.is_news(one.filter, &old);
            one.cleared |= profile.drops_filters && file.has_lost_its_end(one.filter);
        }
    }

    /// Ends a terminal like revoke(2): its filters are cleared, which activates none of them.
    pub fn revoke(&self, fd: RawFd) {
        let mut state = self.state();
        let file = state.files.get_mut(&fd).unwrap();
        (file.read_end, file.write_end) = (true, true);
        for one in state.filters.iter_mut().filter(|one| one.ident == fd as usize) {
            one.cleared = true;
        }
    }

    /// Returns the filters of `fd` that are enabled.
    pub fn enabled(&self, fd: RawFd) -> Interest {
        self.held(fd, |one| !one.disabled)
    }

    pub fn held(&self, fd: RawFd, which: impl Fn(&Knote) -> bool) -> Interest {
        let state = self.state();
        let of_fd = state.filters.iter().filter(|one| one.ident == fd as usize && which(one));
        of_fd.fold(Interest::empty(), |all, one| all | one.filter.interest())
    }
}

impl FakeFile {
    /// Readiness as poll(2) reports it.
    pub fn is_ready(&self, filter: Filter) -> bool {
        match filter {
            Filter::Read => self.readable || self.read_end,
            Filter::Write => self.writable || self.write_end,
            Filter::Except => self.priority,
            Filter::User => false,
        }
    }

    /// Returns true if `filter` concerns something that differs from `old`.
    pub fn is_news(&self, filter: Filter, old: &FakeFile) -> bool {
        let seen = |file: &FakeFile| match filter {
            Filter::Read => (file.readable, file.read_end, file.arrivals, file.error),
            Filter::Write => (file.writable, file.write_end, 0, file.error),
            Filter::Except => (file.priority, file.read_end, usize::from(file.is_full), 0),
            Filter::User => (false, false, 0, 0),
        };
        seen(self) != seen(old)
    }

    /// Readiness as this kernel's filter reports it.
    fn is_active(&self, filter: Filter, profile: &Profile) -> bool {
        let is_silent = self.is_null && profile.null == Null::Silent && filter == Filter::Read;
        let ends = self.is_pipe && self.read_end;
        let is_active = match (filter, profile.except) {
            (Filter::Except, Except::UrgentAndEnds) => self.priority || ends,
            (Filter::Except, Except::Reads) => self.priority || self.read_end || self.is_full,
            _ => self.is_ready(filter),
        };
        is_active && !is_silent
    }

    /// Returns true if `filter` waits for a peer that is gone.
    fn has_lost_its_end(&self, filter: Filter) -> bool {
        self.is_pipe && self.write_end && filter == Filter::Write
    }

    fn ended(&self, filter: Filter) -> bool {
        match filter {
            Filter::Read => self.read_end,
            Filter::Write => self.write_end,
            Filter::Except => self.read_end && !self.priority,
            Filter::User => false,
        }
    }

    /// Returns the errno of adding `filter`, or 0.
    fn refusal(&self, filter: Filter, profile: &Profile) -> c_int {
        match (filter, profile.except, profile.null) {
            (Filter::Except, Except::Missing, _) => libc::EINVAL,
            (Filter::Except, Except::Reads, _) if self.is_pipe => libc::EINVAL,
            (Filter::Except, Except::Urgent, _) if self.is_pipe => libc::EOPNOTSUPP,
            (_, _, Null::Refused(errno)) if self.is_null => errno,
            _ if self.has_lost_its_end(filter) => profile.lost_end.unwrap_or(0),
            _ => 0,
        }
    }
}

impl State {
    fn change(&mut self, change: &Kevent) -> c_int {
        let Some(filter) = Filter::in_event(change) else { return libc::EINVAL };
        let (ident, flags, udata) = (change.ident, change.flags, change.udata.addr());
        let file = self.files.get(&(ident as RawFd)).cloned();
        if filter != Filter::User && file.is_none() {
            return libc::EBADF;
        }
        let profile = self.profile;
        let is_active = file.as_ref().is_some_and(|file| file.is_active(filter, &profile));
        let known = self.filters.iter().position(|one| one.filter == filter && one.ident == ident);
        match known {
            None if flags & EV_ADD == 0 => return libc::ENOENT,
            None => {
                if let Some(errno) = self.refusals.get(&(ident as RawFd, filter)) {
                    return *errno;
                }
                if let errno @ 1.. = file.map_or(0, |file| file.refusal(filter, &profile)) {
                    return errno;
                }
                let disabled = flags & EV_DISABLE != 0;
                let mode = flags & (EV_CLEAR | EV_DISPATCH | EV_RECEIPT);
                let (active, cleared, lowat) = (is_active, false, change.fflags & NOTE_LOWAT != 0);
                let knote = Knote { filter, ident, udata, mode, disabled, active, cleared, lowat };
                self.filters.push(knote);
            }
            Some(at) if flags & EV_DELETE != 0 => drop(self.filters.remove(at)),
            Some(at) => {
                let one = &mut self.filters[at];
                if profile.moves_udata || flags & EV_ADD != 0 {
                    one.udata = udata;
                }
                one.disabled &= flags & EV_ENABLE == 0;
                one.disabled |= flags & EV_DISABLE != 0;
                one.active |= is_active;
            }
        }
        0
    }

    fn scan(&mut self, events: &mut Vec<Kevent>, room: usize) {
        if let Some(ident) = self.foreign_ident.take() {
            let mut event = kevent::change(Filter::Read, ident, Token::new(0, 0), 0);
            event.filter = kevent::EVFILT_READ.wrapping_sub(77);
            events.push(event);
        }
        let mut reported = Vec::new();
        for one in &mut self.filters {
            let file = self.files.get(&(one.ident as RawFd));
            let file = file.filter(|_| one.filter != Filter::User);
            one.active &= file.is_none_or(|file| file.is_active(one.filter, &self.profile));
            if events.len() == room || !one.active || one.disabled {
                continue;
            }
            events.push(one.event(file));
            one.active &= one.mode & (EV_CLEAR | EV_DISPATCH) == 0;
            one.disabled |= one.mode & EV_DISPATCH != 0;
            reported.push(*one);
        }
        self.filters.retain(|one| !reported.contains(one));
        self.filters.extend(reported.into_iter().filter(|one| !one.cleared));
    }
}

impl Knote {
    fn event(&self, file: Option<&FakeFile>) -> Kevent {
        let mut event = kevent::change(self.filter, self.ident, Token::new(0, 0), self.mode);
        event.udata = std::ptr::without_provenance_mut(self.udata);
        let is_urgent = self.filter == Filter::Except && file.is_some_and(|file| file.priority);
        event.fflags = if is_urgent { NOTE_OOB } else { 0 };
        if let Some(file) = file.filter(|file| file.ended(self.filter)) {
            event.flags |= EV_EOF;
            event.fflags = file.error as _;
        }
        if self.cleared {
            event.flags |= EV_EOF | EV_ONESHOT;
        }
        event
    }
}

impl Kernel for Fake {
    fn fd(&self) -> &Arc<OwnedFd> {
        &self.null
    }

    fn kevent(
        &mut self,
        changes: &[Kevent],
        events: &mut Vec<Kevent>,
        room: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut state = self.state();
        state.calls.push((changes.len(), timeout));
        events.clear();
        if changes.is_empty() && state.signals > 0 {
            state.signals -= 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        for change in changes {
            let errno = state.change(change);
            let wants_receipt = change.flags & EV_RECEIPT != 0 && !state.ignores_receipts;
            if errno == 0 && !wants_receipt {
                continue;
            }
            if events.len() == room {
                return Err(io::Error::from_raw_os_error(errno));
            }
            let mut receipt = *change;
            receipt.flags = EV_ERROR;
            receipt.data = errno as _;
            events.push(receipt);
        }
        if let Some(errno) = state.failure.take() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if events.is_empty() {
            state.scan(events, room);
            assert!(timeout.is_some() || !events.is_empty(), "this wait would never end");
        }
        Ok(())
    }

    fn kind(&self, fd: RawFd) -> io::Result<FileKind> {
        let kind = self.state().files.get(&fd).map(|file| file.kind);
        kind.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn polled(&self, fd: RawFd, requested: Interest) -> Interest {
        let state = self.state();
        let ready = |filter: &Filter| state.files[&fd].is_ready(*filter);
        Filter::of(requested).filter(ready).fold(Interest::empty(), |all, one| all | one.interest())
    }

    fn probed(&self, fd: RawFd, requested: Interest) -> io::Result<Interest> {
        let state = self.state();
        let (file, profile) = (&state.files[&fd], &state.profile);
        let found =
            |one: &Filter| file.refusal(*one, profile) == 0 && file.is_active(*one, profile);
        let filters = Filter::of(requested).filter(found);
        Ok(filters.fold(Interest::empty(), |all, one| all | one.interest()))
    }

    fn has_except(&self) -> bool {
        self.state().profile.except != Except::Missing
    }

    fn forgets_closed(&self) -> bool {
        !self.state().is_library
    }

    fn renew(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if state.renewal_fails {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        state.filters.clear();
        Ok(())
    }

    fn user_event(&self, ident: usize, _: Token) -> Box<dyn UserEvent> {
        Box::new(Trigger { state: Arc::clone(&self.state), ident })
    }
}

#[derive(Debug)]
struct Trigger {
    state: Arc<Mutex<State>>,
    ident: usize,
}

impl UserEvent for Trigger {
    fn trigger(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let mine = |one: &&mut Knote| one.filter == Filter::User && one.ident == self.ident;
        state.filters.iter_mut().find(mine).ok_or(io::ErrorKind::NotFound)?.active = true;
        Ok(())
    }
}
