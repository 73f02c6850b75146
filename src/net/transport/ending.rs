//! The ways in which a connection ends.
//!
//! # Lingering
//!
//! A kernel that closes a socket with unread input, or gets input for a socket that was closed,
//! resets the connection and throws away what the peer has not received yet. So a connection that
//! closes before its peer has ended first tells the peer that nothing more comes, and then goes on
//! reading, for nobody, until the peer's end comes too. A peer that does not end is waited for only
//! so long. Most peers end first, and then none of this costs anything.
//!
//! # Errors of one direction
//!
//! A peer that answers early and resets has often sent its answer before. The kernel keeps what has
//! arrived, so an error of writing first reads until a read would block, ends or fails, and only
//! then ends the connection. An end of file that is read then is a part of the error.

use std::any::Any;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;

use super::flags::Flags;
use super::inner::{Inner, READS, is_retry};
use super::slot::Slot;
use crate::error::Error;
use crate::event_loop::read_buffer::ReadBuffer;
use crate::event_loop::{Report, ReportKind};

impl Inner<dyn Slot> {
    /// Whether something has waited for the end of the queue, and that is there.
    pub(super) fn is_due(&self) -> bool {
        self.has(Flags::SHUTTING | Flags::CLOSING)
            && !self.has(Flags::PENDING | Flags::LINGERING | Flags::DONE)
    }

    /// Does what has waited for the end of the queue. If the stream is in use, which has called us
    /// then, the callback does it.
    pub(super) fn finish(&self) {
        if !self.is_due() {
            return;
        }
        if !self.stream.with(&mut |_| {}) {
            return self.feed();
        }
        if self.has(Flags::SHUTTING) {
            self.shut();
        }
        if self.has(Flags::CLOSING) && !self.has(Flags::DONE) {
            self.close();
        }
    }

    fn shut(&self) {
        self.unset(Flags::SHUTTING);
        self.set(Flags::SHUT);
        let [reader, writer] = self.watches.get();
        if let Some(writer) = writer {
            self.core.unwatch(writer, self.key);
            self.watches.set([reader, None]);
        }
        match self.tell() {
            // The peer was faster: the end of the stream will say so.
            Err(error) if is_retry(&error) => {
                self.unset(Flags::SHUT);
                self.wait_for_room(Flags::SHUTTING);
            }
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                self.fail_writing(error.into());
            }
            _ => self.end_if_over(),
        }
    }

    /// Ends a connection whose two directions have ended.
    pub(super) fn end_if_over(&self) {
        if self.has(Flags::SHUT) && self.has(Flags::EOF) && !self.has(Flags::DONE) {
            self.done();
        }
    }

    /// The stream has no room for its last words: tries again when it has.
    #[cold]
    fn wait_for_room(&self, then: Flags) {
        self.set(then | Flags::UNSENT);
        self.settle();
    }

    /// Tells the peer that nothing more comes.
    fn tell(&self) -> io::Result<()> {
        let mut told = Ok(());
        self.stream.with(&mut |stream| told = stream.shutdown_write());
        told
    }

    /// Everything is sent: closes, at once if the peer has ended or its end cannot be awaited.
    fn close(&self) {
        let told = match self.has(Flags::EOF | Flags::PAIR | Flags::SHUT | Flags::FAILING) {
            true => Ok(()),
            false => self.tell(),
        };
        if self.has(Flags::DONE) {
            return; // By a stream of the user's own.
        }
        match told {
            Ok(()) if !self.has(Flags::EOF | Flags::PAIR | Flags::FAILING) => {}
            Err(error) if is_retry(&error) => return self.wait_for_room(Flags::CLOSING),
            _ => return self.done(),
        }
        self.set(Flags::SHUT | Flags::LINGERING);
        self.limit_lingering();
        self.settle();
    }

    /// The callback of a connection that lingers.
    pub(super) fn linger(&self, is_readable: bool) {
        if is_readable && self.read_for_nobody() && !self.has(Flags::DONE) {
            self.done();
        }
    }

    /// Whether the peer's end has come, or an error.
    fn read_for_nobody(&self) -> bool {
        let mut buffer = ReadBuffer::of(&self.core);
        for _ in 0..READS {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) if !self.has(Flags::EDGE) && !self.holds_more() => return false,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.unset(Flags::MORE);
                    return !is_retry(&error);
                }
            }
        }
        self.leave_more();
        false
    }

    /// Ends the connection because of `error`, or because of the one that writing has met before.
    #[cold]
    pub(super) fn fail(&self, error: Error) {
        if !self.has(Flags::DONE) {
            if !self.has(Flags::FAILING) {
                self.rest().error.set(Some(Box::new(error)));
            }
            self.done();
        }
    }

    /// Ends the connection because of an error of its writing direction. The input that has arrived
    /// is delivered first, even if reading is paused, since nothing more may ever resume it.
    #[cold]
    pub(super) fn fail_writing(&self, error: Error) {
        if !self.has(Flags::FAILING | Flags::DONE) {
            self.rest().failed.set(Some(("write to", self.writer_fd())));
        }
        if self.has(Flags::EOF | Flags::CLOSING | Flags::FAILING | Flags::DONE) {
            return self.fail(error);
        }
        let rest = self.rest();
        rest.error.set(Some(Box::new(error)));
        drop(rest.queue.take());
        self.unset(Flags::PENDING | Flags::PAUSED | Flags::HELD | Flags::SHUTTING);
        self.set(Flags::FAILING | Flags::MORE);
        self.settle();
        self.feed();
    }

    /// The operation that met the error of the stream, and its fd.
    pub(super) fn failed(&self) -> (&'static str, RawFd) {
        let failed = self.rest.get().and_then(|rest| rest.failed.get());
        failed.unwrap_or(("read from", self.fd))
    }

    /// The fd that is written to, unless the stream is in use: then that of the connection.
    fn writer_fd(&self) -> RawFd {
        let mut fd = self.fd;
        self.stream.with(&mut |stream| fd = stream.writer().map_or(fd, |fd| fd.as_raw_fd()));
        fd
    }

    /// Bytes were written that nothing will send. That is a mistake only after an end that this side
    /// asked for first: a peer may go at any time, and `eof_received` closes by default.
    #[cold]
    #[track_caller]
    pub(super) fn refuse(&self, bytes: usize) {
        let is_mistake = bytes > 0
            && self.has(Flags::CLOSING | Flags::SHUTTING | Flags::SHUT)
            && !self.has(Flags::EOF | Flags::FAILING);
        if is_mistake && self.core.limits.debug && !self.core.closed.get() {
            let (kind, location) = (ReportKind::Write, Location::caller());
            let error = Error::WriteClosed { fd: self.fd, bytes };
            self.core.report(Report { kind, error, location, name: None });
        }
    }

    /// Ends the connection but for `connection_lost`. The kernel forgets the stream now.
    pub(super) fn done(&self) {
        self.leave();
        self.feed();
    }

    /// Leaves everything that would call the callback.
    fn leave(&self) {
        self.set(Flags::DONE);
        self.unset(Flags::PENDING);
        if let Some(rest) = self.rest.get() {
            drop(rest.queue.take());
        }
        self.lift_limit();
        self.unwatch();
    }

    pub(super) fn unwatch(&self) {
        for watch in self.watches.take().into_iter().flatten() {
            self.core.unwatch(watch, self.key);
        }
    }

    /// Ends everything, for a callback that is dropped. The kernel forgets the stream before it is
    /// closed.
    pub(super) fn detach(&self) {
        self.set(Flags::RUNNING); // Nothing queues the callback again.
        self.leave();
        self.stream.close();
        drop(self.rest.get().and_then(|rest| rest.kept.take()));
    }

    /// Keeps what a replaced callback owned until the connection ends.
    pub(super) fn keep(&self, kept: Option<Box<dyn Any>>) {
        if kept.is_some() && self.stream.with(&mut |_| {}) {
            self.rest().kept.set(kept);
        }
    }
}
