//! Receiving: batches of datagrams, and the rest of a batch that must wait.

use std::time::Duration;

use mainspring_sys::error_class::{ErrorClass, Operation, classify};
use mainspring_sys::socket::{Datagram, DatagramBatch};

use super::state::{EndpointState, Flags, Rest};

/// Maximum number of datagrams of one call.
const BATCH: usize = 32;
/// Maximum number of merged datagrams of one call: 256 KiB.
const MERGED_BATCH: usize = 4;
/// Maximum length of a datagram. Those of UDP are shorter.
const MAX_LENGTH: usize = 64 * 1024;

/// Maximum number of datagrams that a run receives.
const RUN_DATAGRAMS: usize = 64;
/// Number of bytes after which a run makes no further call.
const RUN_BYTES: usize = 256 * 1024;

/// The part of a run that has been used up.
#[derive(Debug, Default)]
pub(in crate::net) struct RunUsage {
    datagrams: usize,
    bytes: usize,
    /// True if the latest call has emptied the socket.
    is_empty: bool,
}

impl RunUsage {
    /// Returns true if the run may make another call.
    pub(in crate::net) fn has_more(&self) -> bool {
        !self.is_empty && self.datagrams < RUN_DATAGRAMS && self.bytes < RUN_BYTES
    }
}

/// A batch that is being passed on. The drop keeps the datagrams that are left if reading was
/// paused, or if a callback panics.
pub(in crate::net) struct Delivery<'a> {
    state: &'a EndpointState,
    rest: Option<Rest>,
}

impl Delivery<'_> {
    /// Returns the next datagram, unless reading was paused or ended.
    #[inline]
    pub(in crate::net) fn next(&mut self) -> Option<Datagram<'_>> {
        if self.state.has(Flags::NO_READ) {
            return None;
        }
        let rest = self.rest.as_mut()?;
        rest.next += 1;
        rest.batch.get(rest.next - 1)
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let Some(rest) = self.rest.take() else { return };
        let is_over = self.state.has(Flags::CLOSING | Flags::DONE);
        if rest.next >= rest.batch.len() || is_over {
            self.state.core.datagrams.batch.set(Some(rest.batch));
        } else {
            self.state.rest.replace(Some(rest)); // The end of the run queues the callback.
            self.state.sync_interest();
        }
    }
}

impl EndpointState {
    /// Returns the rest of an earlier batch, or receives another one. `None` if there is nothing to
    /// pass on.
    pub(in crate::net) fn next_delivery(&self, used: &mut RunUsage) -> Option<Delivery<'_>> {
        if let Some(rest) = self.rest.take() {
            // Before the callbacks run, because a panic would skip it.
            self.sync_interest();
            used.datagrams += rest.batch.len() - rest.next;
            return Some(Delivery { state: self, rest: Some(rest) });
        }
        let batch = self.core.datagrams.batch.take();
        let mut batch = batch.unwrap_or_else(|| Box::new(DatagramBatch::new(BATCH, MAX_LENGTH)));
        let features = self.features.get();
        let limit = if features.gro { MERGED_BATCH } else { BATCH };
        // Less after the rest of an earlier batch. A run that is used up does not come here.
        let limit = limit.min(RUN_DATAGRAMS - used.datagrams);
        let received = self.with_socket(|socket| batch.recv_up_to(limit, socket, features));
        match received {
            Ok(count) => {
                self.read_pause.set(Duration::ZERO);
                used.datagrams += count;
                let length = batch.total_length();
                used.bytes += length;
                self.core.page.received_bytes.add(length as u64);
                used.is_empty = count < limit;
                Some(Delivery { state: self, rest: Some(Rest { batch, next: 0 }) })
            }
            Err(error) => {
                self.core.datagrams.batch.set(Some(batch));
                let class = classify(Operation::ReceiveDatagram, &error);
                if class == ErrorClass::WouldBlock && used.datagrams == 0 {
                    self.core.page.spurious_events.add(1);
                }
                used.datagrams += 1;
                match class {
                    ErrorClass::WouldBlock | ErrorClass::Retry => used.is_empty = true,
                    ErrorClass::OneOff => self.note_error(error),
                    ErrorClass::Capacity | ErrorClass::Backoff => {
                        self.note_error(error);
                        self.back_off(Flags::READ_BACKOFF, &self.read_pause);
                        self.sync_interest();
                    }
                    _ => self.fail(self.naming_fd("receive from", error)),
                }
                None
            }
        }
    }
}
