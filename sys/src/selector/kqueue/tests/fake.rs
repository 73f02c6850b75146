//! A kernel that plays by the rules of the BSDs, and does what a test tells it to.
//!
//! The rules: each change with `EV_RECEIPT` or an error is answered while there is room, and
//! answers end the call; without room an error ends it. A filter keeps the mode it was added with,
//! and takes the udata of each change. Closing a file drops its filters without a word. A level
//! filter that was reported goes to the end of the queue.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use libc::c_int;

use crate::event::{Interest, Token};
use crate::selector::UserEvent;
use crate::selector::kqueue::kernel::Kernel;
use crate::selector::kqueue::kevent::{
    self, EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_DISPATCH, EV_ENABLE,
};
use crate::selector::kqueue::kevent::{EV_EOF, EV_ERROR, EV_RECEIPT, Filter, Flags, Kevent};

/// A kernel with one kqueue. Copies are the same kernel, so a test keeps one to pull the strings.
#[derive(Debug, Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    null: Arc<OwnedFd>,
}

#[derive(Debug, Default)]
pub struct State {
    pub files: BTreeMap<RawFd, FakeFile>,
    /// In the order in which they will be looked at.
    pub filters: Vec<Knote>,
    /// What kevent(2) answers when a filter is added.
    pub refusals: BTreeMap<(RawFd, Filter), c_int>,
    pub has_except: bool,
    pub ignores_receipts: bool,
    pub is_library: bool,
    /// How many waits a signal will interrupt.
    pub signals: usize,
    /// The error of the next call, which makes its changes all the same: nobody knows how far it
    /// came.
    pub failure: Option<c_int>,
    pub renewal_fails: bool,
    /// An event of a filter that the selector does not know.
    pub foreign_ident: Option<usize>,
    /// The calls so far: how many changes, and how long to wait.
    pub calls: Vec<(usize, Option<Duration>)>,
}

#[derive(Debug, Default, Clone)]
pub struct FakeFile {
    pub is_file: bool,
    pub is_idle_device: bool,
    pub readable: bool,
    pub writable: bool,
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
}

impl Fake {
    pub fn new() -> Fake {
        let null = Arc::new(File::open("/dev/null").unwrap().into());
        let state = State { has_except: true, ..State::default() };
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

    /// Changes what is true of a file; every filter that it makes true becomes active.
    pub fn happen(&self, fd: RawFd, change: impl FnOnce(&mut FakeFile)) {
        let mut state = self.state();
        change(state.files.get_mut(&fd).unwrap());
        let file = state.files[&fd].clone();
        let of_fd = |one: &&mut Knote| one.filter != Filter::User && one.ident == fd as usize;
        for one in state.filters.iter_mut().filter(of_fd) {
            one.active |= file.is_ready(one.filter);
        }
    }

    /// The filters that the kernel holds for `fd` and that may report.
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
    pub fn is_ready(&self, filter: Filter) -> bool {
        match filter {
            Filter::Read => self.readable || self.read_end,
            Filter::Write => self.writable || self.write_end,
            Filter::Except => self.priority,
            Filter::User => false,
        }
    }

    fn ended(&self, filter: Filter) -> bool {
        (filter == Filter::Read && self.read_end) || (filter == Filter::Write && self.write_end)
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
        let is_ready = file.is_some_and(|file| file.is_ready(filter));
        let known = self.filters.iter().position(|one| one.filter == filter && one.ident == ident);
        match known {
            None if flags & EV_ADD == 0 => return libc::ENOENT,
            None => {
                if let Some(errno) = self.refusals.get(&(ident as RawFd, filter)) {
                    return *errno;
                }
                let (mode, disabled) = (flags & (EV_CLEAR | EV_DISPATCH), flags & EV_DISABLE != 0);
                let active = is_ready;
                self.filters.push(Knote { filter, ident, udata, mode, disabled, active });
            }
            Some(at) if flags & EV_DELETE != 0 => drop(self.filters.remove(at)),
            Some(at) => {
                let one = &mut self.filters[at];
                one.udata = udata;
                one.disabled &= flags & EV_ENABLE == 0;
                one.disabled |= flags & EV_DISABLE != 0;
                one.active |= is_ready;
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
            one.active &= file.is_none_or(|file| file.is_ready(one.filter));
            if events.len() == room || !one.active || one.disabled {
                continue;
            }
            events.push(one.event(file));
            one.active &= one.mode == 0;
            one.disabled |= one.mode & EV_DISPATCH != 0;
            reported.push(*one);
        }
        self.filters.retain(|one| !reported.contains(one));
        self.filters.append(&mut reported);
    }
}

impl Knote {
    fn event(&self, file: Option<&FakeFile>) -> Kevent {
        let mut event = kevent::change(self.filter, self.ident, Token::new(0, 0), self.mode);
        event.udata = std::ptr::without_provenance_mut(self.udata);
        if let Some(file) = file.filter(|file| file.ended(self.filter)) {
            event.flags |= EV_EOF;
            event.fflags = file.error as _;
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
            assert!(timeout.is_some() || !events.is_empty(), "nobody will ever end this wait");
        }
        Ok(())
    }

    fn is_file(&self, fd: RawFd) -> io::Result<bool> {
        let file = self.state().files.get(&fd).map(|file| file.is_file);
        file.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn is_idle_device(&self, fd: RawFd) -> bool {
        self.state().files.get(&fd).is_some_and(|file| file.is_idle_device)
    }

    fn has_except(&self) -> bool {
        self.state().has_except
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
        let mut filters = state.filters.iter_mut();
        let mine = |one: &&mut Knote| one.filter == Filter::User && one.ident == self.ident;
        let one = filters.find(mine).ok_or(io::ErrorKind::NotFound)?;
        one.active = true;
        Ok(())
    }
}
