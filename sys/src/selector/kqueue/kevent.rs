//! Types and constants of kevent(2) under one set of names: every system has its own types and
//! numbers.
//!
//! They are those of libc if it supports the system. On Linux they are those of libkqueue, which
//! follows FreeBSD; the tests with a scripted kernel use them too. The values are checked twice:
//! here, and against the systems' own headers by `tests/kevent_layout.c`.

use std::mem;
use std::ptr;

use libc::c_int;

use crate::event::{Interest, Token, TriggerMode};

pub use words::*;

#[cfg(has_libc_kevent)]
mod words {
    #[cfg(not(has_wide_kevent))]
    pub type FilterNumber = i16;
    #[cfg(not(has_wide_kevent))]
    pub type Flags = u16;
    #[cfg(not(has_wide_kevent))]
    pub type Count = libc::c_int;
    #[cfg(has_wide_kevent)]
    pub type FilterNumber = u32;
    #[cfg(has_wide_kevent)]
    pub type Flags = u32;
    #[cfg(has_wide_kevent)]
    pub type Count = libc::size_t;

    pub use libc::{EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_DISPATCH, EV_ENABLE};
    pub use libc::{EV_EOF, EV_ERROR, EV_ONESHOT, EV_RECEIPT, NOTE_TRIGGER};
    #[cfg(has_evfilt_except)]
    pub use libc::{EVFILT_EXCEPT, NOTE_LOWAT, NOTE_OOB};
    pub use libc::{EVFILT_PROC, NOTE_EXIT};
    pub use libc::{EVFILT_READ, EVFILT_USER, EVFILT_WRITE, kevent as Kevent};

    /// No filter has this number: the system has no filter for priority data.
    #[cfg(not(has_evfilt_except))]
    pub const EVFILT_EXCEPT: FilterNumber = FilterNumber::MAX;
    #[cfg(not(has_evfilt_except))]
    pub const NOTE_OOB: u32 = 0x0000_0002;
    #[cfg(not(has_evfilt_except))]
    pub const NOTE_LOWAT: u32 = 0x0000_0001;
}

#[cfg(not(has_libc_kevent))]
mod words {
    pub type FilterNumber = i16;
    pub type Flags = u16;
    #[cfg(has_kqueue)]
    pub type Count = libc::c_int;

    pub const EVFILT_READ: FilterNumber = -1;
    pub const EVFILT_WRITE: FilterNumber = -2;
    pub const EVFILT_PROC: FilterNumber = -5;
    pub const EVFILT_USER: FilterNumber = -11;
    /// Number of macOS. libkqueue has no filter for priority data, and no filter with this number.
    pub const EVFILT_EXCEPT: FilterNumber = -15;
    pub const EV_ADD: Flags = 0x0001;
    pub const EV_DELETE: Flags = 0x0002;
    pub const EV_ENABLE: Flags = 0x0004;
    pub const EV_DISABLE: Flags = 0x0008;
    pub const EV_ONESHOT: Flags = 0x0010;
    pub const EV_CLEAR: Flags = 0x0020;
    pub const EV_RECEIPT: Flags = 0x0040;
    pub const EV_DISPATCH: Flags = 0x0080;
    pub const EV_ERROR: Flags = 0x4000;
    pub const EV_EOF: Flags = 0x8000;
    pub const NOTE_LOWAT: u32 = 0x0000_0001;
    pub const NOTE_OOB: u32 = 0x0000_0002;
    pub const NOTE_TRIGGER: u32 = 0x0100_0000;
    pub const NOTE_EXIT: u32 = 0x8000_0000;

    #[derive(Debug, Clone, Copy)]
    #[repr(C)]
    pub struct Kevent {
        pub ident: usize,
        pub filter: FilterNumber,
        pub flags: Flags,
        pub fflags: u32,
        pub data: isize,
        pub udata: *mut libc::c_void,
    }

    #[cfg(has_kqueue)]
    unsafe extern "C" {
        pub fn kqueue() -> libc::c_int;
        pub fn kevent(
            kqueue: libc::c_int,
            changes: *const Kevent,
            change_count: Count,
            events: *mut Kevent,
            room: Count,
            timeout: *const libc::timespec,
        ) -> libc::c_int;
    }
}

#[cfg(has_libc_kevent)]
pub use libc::{kevent, kqueue};

/// Filter of kevent(2): the kind of events to report of an fd, or of the kqueue itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Filter {
    Read,
    Write,
    Except,
    User,
}

impl Filter {
    /// Filters that watch descriptors, with the interest that each of them serves.
    pub const OF_FDS: [(Interest, Filter); 3] = [
        (Interest::READABLE, Filter::Read),
        (Interest::WRITABLE, Filter::Write),
        (Interest::PRIORITY, Filter::Except),
    ];

    /// Returns the filters that `interest` needs.
    pub fn of(interest: Interest) -> impl Iterator<Item = Filter> {
        Filter::OF_FDS.into_iter().filter(move |(bit, _)| interest.contains(*bit)).map(|(_, f)| f)
    }

    /// Returns the filter of `event`. `None` if the selector never registers it: the kqueue is
    /// accessible through [`poll_fd`](crate::Selector::poll_fd), so other code may watch a process
    /// with an id that equals an fd number.
    pub fn in_event(event: &Kevent) -> Option<Filter> {
        let number = event.filter; // Copied: the struct is packed on some systems.
        let all = [Filter::Read, Filter::Write, Filter::Except, Filter::User];
        all.into_iter().find(|filter| filter.number() == number)
    }

    /// Returns the interest that this filter serves; empty for [`User`](Filter::User).
    pub fn interest(self) -> Interest {
        match self {
            Filter::Read => Interest::READABLE,
            Filter::Write => Interest::WRITABLE,
            Filter::Except => Interest::PRIORITY,
            Filter::User => Interest::empty(),
        }
    }

    fn number(self) -> FilterNumber {
        match self {
            Filter::Read => EVFILT_READ,
            Filter::Write => EVFILT_WRITE,
            Filter::Except => EVFILT_EXCEPT,
            Filter::User => EVFILT_USER,
        }
    }

    /// Returns the filter flags that each change must repeat, because a change replaces them.
    fn fflags(self) -> u32 {
        if self == Filter::Except { NOTE_OOB | NOTE_LOWAT } else { 0 }
    }
}

/// Returns the flag for `mode`.
pub fn flags(mode: TriggerMode) -> Flags {
    match mode {
        TriggerMode::Level => 0,
        TriggerMode::Oneshot => EV_DISPATCH,
        TriggerMode::Edge => EV_CLEAR,
    }
}

/// Returns a change of the filter `filter` of `ident`.
pub fn change(filter: Filter, ident: usize, token: Token, flags: Flags) -> Kevent {
    // SAFETY: the struct has only integer and pointer fields, for which zero is a valid value.
    let mut change: Kevent = unsafe { mem::zeroed() };
    change.ident = ident;
    change.filter = filter.number();
    change.flags = flags;
    change.fflags = filter.fflags();
    if filter == Filter::Except {
        // macOS also activates this filter for ordinary data, from this number of bytes on. It uses
        // the size of the buffer if that is less (filt_soread_common in uipc_socket.c).
        change.data = isize::MAX as _;
    }
    change.udata = ptr::without_provenance_mut(udata(token));
    change
}

/// Returns a change of the filter that reports the end of the process `pid`.
pub fn exit_change(pid: usize, flags: Flags) -> Kevent {
    // SAFETY: the struct has only integer and pointer fields, for which zero is a valid value.
    let mut change: Kevent = unsafe { mem::zeroed() };
    change.ident = pid;
    change.filter = EVFILT_PROC;
    change.flags = flags;
    change.fflags = NOTE_EXIT;
    change
}

/// Returns the token in the size of a pointer. On a 32-bit system only the slot fits; there,
/// `table` supplies the whole token.
pub fn udata(token: Token) -> usize {
    token.to_u64() as usize
}

/// Returns the errno of an event with `EV_ERROR`; 0 means that the change was made.
pub fn errno(event: &Kevent) -> c_int {
    event.data as c_int
}

/// The values that `tests/kevent_layout.c` checks against the systems' headers.
mod checks {
    use std::mem::offset_of;

    use super::*;

    const _: () = assert!(EV_ADD == 1 && EV_DELETE == 2 && EV_ENABLE == 4 && EV_DISABLE == 8);
    const _: () = assert!(EV_ONESHOT == 0x10 && EV_CLEAR == 0x20);
    const _: () = assert!(EV_RECEIPT == 0x40 && EV_DISPATCH == 0x80);
    const _: () = assert!(EV_ERROR == 0x4000 && EV_EOF == 0x8000 && NOTE_TRIGGER == 0x0100_0000);

    #[cfg(not(has_wide_kevent))]
    const _: () = assert!(EVFILT_READ == -1 && EVFILT_WRITE == -2);
    #[cfg(not(has_wide_kevent))]
    const _: () = assert!(EVFILT_PROC == -5 && NOTE_EXIT == 0x8000_0000);
    #[cfg(has_wide_kevent)]
    const _: () = assert!(EVFILT_PROC == 4 && NOTE_EXIT == 0x8000_0000);
    #[cfg(has_wide_kevent)]
    const _: () = assert!(EVFILT_READ == 0 && EVFILT_WRITE == 1 && EVFILT_USER == 8);

    #[cfg(all(target_pointer_width = "64", not(has_wide_kevent)))]
    const _: () = assert!(
        offset_of!(Kevent, ident) == 0
            && offset_of!(Kevent, filter) == 8
            && offset_of!(Kevent, flags) == 10
            && offset_of!(Kevent, fflags) == 12
            && offset_of!(Kevent, data) == 16
            && offset_of!(Kevent, udata) == 24
    );
    #[cfg(all(target_pointer_width = "64", has_wide_kevent))]
    const _: () = assert!(
        offset_of!(Kevent, ident) == 0
            && offset_of!(Kevent, filter) == 8
            && offset_of!(Kevent, flags) == 12
            && offset_of!(Kevent, fflags) == 16
            && offset_of!(Kevent, data) == 24
            && offset_of!(Kevent, udata) == 32
    );
}
