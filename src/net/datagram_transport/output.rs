//! Sending: directly while the kernel accepts datagrams, and through the queue after that.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use mainspring_sys::error_class::{ErrorClass, Operation, classify};
use mainspring_sys::socket::{self, Address, Outgoing};

use super::state::{EndpointState, Flags};
use crate::net::datagram::next_pause;

/// Maximum number of batches that a run sends from the queue.
const BATCHES: usize = 4;

impl EndpointState {
    /// Sends one datagram to `to`, or to the connected peer, or queues it behind others.
    pub(in crate::net) fn send(&self, bytes: &[u8], to: Option<&Address>) {
        if self.has(Flags::NO_WRITE) {
            return;
        }
        if !self.queue.borrow().is_empty() {
            return self.enqueue(&outgoing(bytes, to), 0);
        }
        // The plain calls cost half of a batch of one (benches/results/datagrams.md).
        let sent = self.with_socket(|socket| match to {
            Some(to) => socket::send_to(socket, bytes, to),
            None => socket::send(socket, bytes),
        });
        match sent {
            Ok(length) => self.count_sent(length),
            Err(error) => self.take_refusal(error, &outgoing(bytes, to)),
        }
    }

    /// Sends all of `datagrams`, or queues those for which there is no room.
    pub(in crate::net) fn send_all(&self, mut datagrams: &[Outgoing<'_>]) {
        if self.has(Flags::NO_WRITE) {
            return;
        }
        let mut skipped = 0;
        while let [first, rest @ ..] = datagrams {
            if !self.queue.borrow().is_empty() {
                break;
            }
            let batch = std::iter::once(first.after(skipped)).chain(rest.iter().copied());
            let sent = self.with_socket(|socket| self.sending.borrow_mut().send(socket, batch));
            match sent.inspect(|progress| self.count_sent(progress.total_bytes)) {
                Ok(progress) if progress.datagrams > 0 => {
                    datagrams = &datagrams[progress.datagrams..];
                    skipped = progress.bytes;
                }
                Ok(progress) => skipped += progress.bytes,
                Err(error) => {
                    if self.is_pause(&error) {
                        self.wait_for_room(&error);
                        break;
                    }
                    self.note_error(error);
                    (datagrams, skipped) = (rest, 0); // This one is lost.
                }
            }
        }
        for (index, datagram) in datagrams.iter().enumerate() {
            self.enqueue(datagram, if index == 0 { skipped } else { 0 });
        }
    }

    /// Adds to the bytes that the loop has sent.
    fn count_sent(&self, bytes: usize) {
        self.core.page.sent_bytes.add(bytes as u64);
    }

    /// Queues a datagram for which the kernel has no room. Any other error costs the datagram.
    #[cold]
    fn take_refusal(&self, error: io::Error, datagram: &Outgoing<'_>) {
        if self.is_pause(&error) {
            self.wait_for_room(&error);
            self.enqueue(datagram, 0);
        } else {
            self.note_error(error);
        }
    }

    fn is_pause(&self, error: &io::Error) -> bool {
        let class = classify(Operation::SendDatagram, error);
        matches!(class, ErrorClass::WouldBlock | ErrorClass::Backoff)
    }

    /// Waits for readiness, or for a timer where no readiness reports room: after ENOBUFS, and for
    /// the receiver of a Unix socket.
    fn wait_for_room(&self, error: &io::Error) {
        if self.is_unix || error.kind() != io::ErrorKind::WouldBlock {
            self.back_off(Flags::WRITE_BACKOFF, &self.write_pause);
        }
    }

    /// Sets `flag` until the timer of the backoff expires. `pause` is the latest one of its kind.
    #[cold]
    pub(in crate::net) fn back_off(&self, flag: Flags, pause: &Cell<Duration>) {
        if !self.has(Flags::BACKOFF) {
            self.core.datagrams.backoffs.set(self.core.datagrams.backoffs.get() + 1);
        }
        self.set(flag);
        let time = next_pause(pause.get());
        pause.set(time);
        let deadline = self.core.timeline.nanos_after(time);
        match self.backoff_timer.get() {
            Some(timer) => self.core.timers.borrow_mut().reset(timer, deadline),
            None => {
                let timer = self.core.timers.borrow_mut().insert(deadline, self.key);
                self.backoff_timer.set(Some(timer));
            }
        }
    }

    /// Ends a backoff if its timer has expired.
    pub(in crate::net) fn check_backoff(&self) {
        let Some(timer) = self.backoff_timer.get() else { return };
        if self.core.timers.borrow_mut().take_fed(timer) {
            self.end_backoff();
            self.sync_interest();
        }
    }

    fn enqueue(&self, datagram: &Outgoing<'_>, skipped: usize) {
        self.queue.borrow_mut().push(datagram, skipped);
        if !self.has(Flags::WRITE_BACKOFF) {
            self.sync_interest();
        }
        if self.crossed_mark().is_some() {
            self.feed(); // Not called here: the sender is user code, which it could surprise.
        }
    }

    /// Sends from the queue. Ends an endpoint that has waited for that to close.
    pub(in crate::net) fn flush(&self) {
        if self.has(Flags::WRITE_BACKOFF) {
            return;
        }
        for _ in 0..BATCHES {
            if self.queue.borrow().is_empty() {
                break;
            }
            let sent = self.with_socket(|socket| {
                self.sending.borrow_mut().send(socket, self.queue.borrow().iter())
            });
            match sent {
                Ok(progress) => {
                    self.write_pause.set(Duration::ZERO);
                    self.count_sent(progress.total_bytes);
                    self.queue.borrow_mut().advance(progress);
                }
                Err(error) if self.is_pause(&error) => {
                    self.wait_for_room(&error);
                    break;
                }
                Err(error) => {
                    self.queue.borrow_mut().pop();
                    self.note_error(error);
                }
            }
        }
        if self.has(Flags::CLOSING) && self.queue.borrow().is_empty() {
            self.end();
        }
        self.sync_interest();
    }
}

fn outgoing<'a>(bytes: &'a [u8], to: Option<&'a Address>) -> Outgoing<'a> {
    let datagram = Outgoing::new(bytes);
    to.map_or(datagram, |to| datagram.to(to))
}
