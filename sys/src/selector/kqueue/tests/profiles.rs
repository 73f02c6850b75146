//! Profiles of the kernels: the points in which they differ.
//!
//! FreeBSD 13 and 15 were measured; the others follow their sources, which `assumptions.rs` lists
//! function by function.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::c_int;

/// Behaviour of a kernel that differs from other kernels.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    pub except: Except,
    /// Errno of adding a write filter to a pipe without a reader. `None` if the kernel accepts it.
    pub lost_end: Option<c_int>,
    /// True if the write filter of such a pipe is reported with `EV_EOF | EV_ONESHOT` and dropped.
    pub drops_filters: bool,
    pub null: Null,
    /// True if each change replaces the udata of its filter, false if only an addition does.
    pub moves_udata: bool,
}

/// A kernel's filter for priority data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Except {
    Missing,
    /// Active for priority data and nothing else; not available for pipes.
    Urgent,
    /// Active for priority data, and at the end of a pipe, without `NOTE_OOB`.
    UrgentAndEnds,
    /// A read filter that is also active for priority data: at the end of a socket too, and for
    /// ordinary data that fills the buffer or reaches the low-water mark. Not available for pipes.
    Reads,
}

/// A kernel's filters of `/dev/null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    Refused(c_int),
    /// The read filter is accepted and never active.
    Silent,
    Watched,
}

pub const ALL: [Profile; 6] = [
    Profile {
        name: "FreeBSD 13",
        except: Except::Missing,
        lost_end: Some(libc::EPIPE),
        drops_filters: true,
        null: Null::Refused(libc::ENODEV),
        moves_udata: true,
    },
    Profile {
        name: "FreeBSD 15",
        except: Except::Missing,
        lost_end: Some(libc::EPIPE),
        drops_filters: true,
        null: Null::Silent,
        moves_udata: true,
    },
    Profile {
        name: "NetBSD",
        except: Except::Missing,
        lost_end: Some(libc::EBADF),
        drops_filters: false,
        null: Null::Watched,
        moves_udata: true,
    },
    Profile {
        name: "OpenBSD",
        except: Except::UrgentAndEnds,
        lost_end: Some(libc::EPIPE),
        drops_filters: false,
        null: Null::Watched,
        moves_udata: false,
    },
    Profile {
        name: "DragonFly",
        except: Except::Urgent,
        lost_end: None,
        drops_filters: false,
        null: Null::Watched,
        moves_udata: true,
    },
    Profile {
        name: "macOS",
        except: Except::Reads,
        lost_end: None,
        drops_filters: false,
        null: Null::Refused(libc::EINVAL),
        moves_udata: true,
    },
];

thread_local! {
    static CURRENT: Cell<Profile> = const { Cell::new(ALL[0]) };
}

/// Returns the kernel that the test runs on.
pub fn current() -> Profile {
    CURRENT.get()
}

/// Runs `check` once on each kernel.
pub fn on_every_kernel(check: impl Fn()) {
    for profile in ALL {
        CURRENT.set(profile);
        let checked = catch_unwind(AssertUnwindSafe(&check));
        assert!(checked.is_ok(), "it failed on {}", profile.name);
    }
}
