//! The part of a loop that all its datagram endpoints share.

use std::cell::Cell;

use mainspring_sys::socket::DatagramBatch;

/// Memory and counts of all datagram endpoints of a loop.
#[derive(Default)]
pub(crate) struct Datagrams {
    /// The batch into which they receive. `None` before the first use, and while one of them uses
    /// it.
    pub(crate) batch: Cell<Option<Box<DatagramBatch>>>,
    /// Number of endpoints that wait for a timer to send or to receive again. They keep `run`
    /// going, although no event can reach them.
    pub(crate) backoffs: Cell<usize>,
}
