//! The flags of a task, and which of them may be set together.
//!
//! | state | flags | content of the slot |
//! |---|---|---|
//! | pending | `QUEUED` | future |
//! | running | `STARTED`, `RUNNING`; `QUEUED` if it was woken meanwhile | none: the poll holds it |
//! | dropping | `RUNNING`, `CANCELLING`; `STARTED` if it was polled | none: the drop holds it |
//! | waiting | `STARTED`; `QUEUED` if it was woken | future |
//! | done | `DONE`, and `PANICKED`, `CANCELLED` or neither | output; none in a done-callback |
//! | main | `MAIN`, `STARTED`; `QUEUED` if it was woken | none: the caller of the run holds it |
//! | vacant | `VACANT` | none |
//!
//! These may be added:
//!
//! * `CANCELLING`: to every state but main and vacant. It stays when the task is done.
//! * `DETACHED`: to every state but main and vacant. A detached task that is done leaves the table
//!   as soon as its done-callbacks have run.
//! * `BACKGROUND`: to every state but vacant.
//! * `QUEUED` and `STARTED`: to done, where they have no effect. A wake of a task that is done sets
//!   `QUEUED`, too.

use crate::task::outcome::TaskEnding;

bitflags::bitflags! {
    /// Flags of a task. The bits above these are the number of its spawn site.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Flags: u32 {
        /// The future has been polled.
        const STARTED = 1;
        /// The key is in the ready deque because of a wake.
        const QUEUED = 1 << 1;
        /// The future is being polled or dropped.
        const RUNNING = 1 << 2;
        /// The task is over.
        const DONE = 1 << 3;
        /// The task ended by a panic.
        const PANICKED = 1 << 4;
        /// The task ended by a cancellation.
        const CANCELLED = 1 << 5;
        /// A cancellation was requested.
        const CANCELLING = 1 << 6;
        /// The handle is gone: the output will not be taken.
        const DETACHED = 1 << 7;
        /// The task does not keep the loop running.
        const BACKGROUND = 1 << 8;
        /// The future belongs to the caller of `run_until_complete`.
        const MAIN = 1 << 9;
        /// The slot is free.
        const VACANT = 1 << 10;
    }
}

const SITE_SHIFT: u32 = 11;

impl Flags {
    /// Returns the flags to add to a task that ends.
    pub(super) fn ended(ending: TaskEnding) -> Flags {
        Flags::DONE
            | match ending {
                TaskEnding::Result => Flags::empty(),
                TaskEnding::Panicked => Flags::PANICKED,
                TaskEnding::Cancelled => Flags::CANCELLED,
            }
    }

    #[inline]
    pub(super) fn with_site(self, site: u32) -> Flags {
        Flags::from_bits_retain(self.bits() | site << SITE_SHIFT)
    }

    pub(super) fn site(self) -> u32 {
        self.bits() >> SITE_SHIFT
    }

    /// Checks that the flags and the content of a slot are a legal combination.
    #[cfg(all(not(loom), test))]
    pub(super) fn verify(self, has_content: bool) -> Result<(), String> {
        let flags = Flags::from_bits_truncate(self.bits());
        let has = |other| flags.contains(other);
        let extra = Flags::CANCELLING | Flags::DETACHED | Flags::BACKGROUND;
        let core = flags - extra;
        let is_legal = match () {
            () if has(Flags::VACANT) => flags == Flags::VACANT && !has_content,
            () if has(Flags::MAIN) => {
                let main = Flags::MAIN | Flags::STARTED;
                flags - Flags::QUEUED - Flags::BACKGROUND == main && !has_content
            }
            () if has(Flags::DONE) => {
                !has(Flags::RUNNING) && !has(Flags::PANICKED | Flags::CANCELLED)
            }
            () if has(Flags::RUNNING) => {
                let is_active = has(Flags::STARTED) || has(Flags::CANCELLING);
                is_active && core - Flags::STARTED - Flags::QUEUED == Flags::RUNNING && !has_content
            }
            () if has(Flags::STARTED) => core - Flags::QUEUED == Flags::STARTED && has_content,
            () => core == Flags::QUEUED && has_content,
        };
        match is_legal {
            true => Ok(()),
            false => Err(format!("{flags:?}, with content: {has_content}")),
        }
    }
}
