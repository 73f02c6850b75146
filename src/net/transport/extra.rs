//! The rarely used fields of a transport.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::error::Error;
use crate::timers::TimerSlot;

/// The default low and high water mark of the queue, in bytes.
pub(super) const WATER_MARKS: (u32, u32) = (16 * 1024, 64 * 1024);

/// Limit on the bytes that are delivered after writing has failed. No kernel buffers more by
/// default; without a limit a peer that keeps sending would delay the error without end.
const LAST_BYTES: usize = 64 * 1024 * 1024;

/// Fields that most connections never use. Their box is allocated for the first queue, error or
/// time limit, so that an idle connection stays small.
pub(super) struct Extra {
    /// The low and the high water mark, in bytes.
    pub(super) water_marks: Cell<(u32, u32)>,
    pub(super) queue: RefCell<VecDeque<u8>>,
    /// The reason for the end of the connection; `None` if there is no error.
    pub(super) error: Cell<Option<Box<Error>>>,
    /// Operation and fd that met the error; `None` means a read of the connection's fd.
    pub(super) failed: Cell<Option<(&'static str, RawFd)>>,
    /// The time limit in force; Some while `LIMITED` is set.
    pub(super) limit: Cell<Option<Limit>>,
    /// Time of the latest transfer while a limit is in force, in nanoseconds of the loop's clock.
    pub(super) moved: Cell<u64>,
    /// Number of bytes that may still be delivered after writing has failed.
    pub(super) last_bytes: Cell<usize>,
    /// The membership of a replaced callback, kept until the connection ends.
    pub(super) kept: Cell<Option<Box<dyn Any>>>,
}

impl Extra {
    pub(super) fn new() -> Box<Extra> {
        let (queue, error, failed, limit, moved, kept) = Default::default();
        let (water_marks, last_bytes) = (Cell::new(WATER_MARKS), Cell::new(LAST_BYTES));
        Box::new(Extra { water_marks, queue, error, failed, limit, moved, last_bytes, kept })
    }
}

/// A time limit in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) timer: TimerSlot,
    pub(super) span: Duration,
    pub(super) kind: LimitKind,
}

/// The condition that a time limit bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitKind {
    /// The time since bytes last moved in either direction.
    Idle,
    /// The time since the kernel last accepted bytes of a connection that closes.
    Stall,
    /// The whole time of closing.
    Whole,
    /// The time until the peer ends its input.
    Linger,
}
