//! The ways in which a connection ends.
//!
//! # Lingering
//!
//! When a socket with unread input is closed, or gets input after it was closed, the kernel resets
//! the connection and discards what the peer has not received yet. So a connection that closes
//! before its peer first shuts down writing, and then reads and discards input until the peer's end
//! of file. A peer that sends no end of file is awaited for a limited time. Most peers end first,
//! and then this costs nothing.
//!
//! # Errors of one direction
//!
//! A peer that answers early and resets has often sent its answer before the reset, and the kernel
//! keeps what has arrived. So after an error of writing the transport reads until a read would
//! block, ends or fails, and only then ends the connection with the error. An end of file read then
//! is part of the error.

use std::any::Any;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;

use mainspring_sys::Interest;

use super::flags::Flags;
use super::read::READS;
use super::state::{TransportState, is_retry};
use super::stream_cell::StreamCell;
use crate::error::Error;
use crate::event_loop::read_buffer::ReadBuffer;
use crate::event_loop::{Report, ReportKind};

impl TransportState<dyn StreamCell> {
    /// Returns true if a shutdown or close waits only for the end of the output, which has come.
    pub(super) fn can_finish_output(&self) -> bool {
        self.has(Flags::SHUTDOWN_DUE | Flags::CLOSING)
            && !self.has(Flags::UNSENT | Flags::LINGERING | Flags::DONE)
    }

    /// Shuts down or closes if that has waited for the end of the output. Inside a call of the
    /// stream itself, leaves it to the callback.
    pub(super) fn finish_output(&self) {
        if !self.can_finish_output() {
            return;
        }
        if !self.stream.with(&mut |_| {}) {
            return self.feed(); // The stream is in use: it has called this transport.
        }
        if self.has(Flags::SHUTDOWN_DUE) {
            self.shut_down_writing();
        }
        if self.has(Flags::CLOSING) && !self.has(Flags::DONE) {
            self.close_or_linger();
        }
    }

    fn shut_down_writing(&self) {
        self.unset(Flags::SHUTDOWN_DUE);
        self.set(Flags::WRITE_SHUT);
        let [reader, writer] = self.watches.get();
        if let Some(writer) = writer {
            // Before the shutdown, which closes the writer of a pipe pair.
            self.core.unwatch(writer, self.key);
            self.watches.set([reader, None]);
        }
        match self.shut_down_stream() {
            Err(error) if is_retry(&error) => {
                self.unset(Flags::WRITE_SHUT);
                self.retry_when_writable(Flags::SHUTDOWN_DUE);
            }
            // NotConnected: the peer ended first, and a read will return that.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                self.fail_writing(error.into());
            }
            _ => self.end_if_over(),
        }
    }

    /// Ends the connection if both directions have ended.
    pub(super) fn end_if_over(&self) {
        if self.has(Flags::WRITE_SHUT) && self.has(Flags::EOF) && !self.has(Flags::DONE) {
            self.end();
        }
    }

    /// Repeats the operation of `flag` when the stream, which has no room for its last bytes, is
    /// writable. Does nothing if the stream has ended the connection meanwhile.
    #[cold]
    fn retry_when_writable(&self, flag: Flags) {
        if !self.has(Flags::FAILING | Flags::DONE) {
            self.set(flag | Flags::UNFLUSHED);
            self.sync_interest();
        }
    }

    fn shut_down_stream(&self) -> io::Result<()> {
        let mut result = Ok(());
        self.stream.with(&mut |stream| result = stream.shutdown_write());
        result
    }

    /// Closes the connection after its output was sent: at once if the peer has ended or cannot be
    /// awaited.
    fn close_or_linger(&self) {
        let ends_now = Flags::EOF | Flags::TWO_FDS | Flags::FAILING;
        let shut_down = match self.has(ends_now | Flags::WRITE_SHUT) {
            true => Ok(()),
            false => self.shut_down_stream(),
        };
        if self.has(Flags::DONE) {
            return; // A user-defined stream has aborted the connection in its shutdown.
        }
        match shut_down {
            Ok(()) if !self.has(ends_now) => {}
            Err(error) if is_retry(&error) => return self.retry_when_writable(Flags::CLOSING),
            _ => return self.end(),
        }
        self.set(Flags::WRITE_SHUT | Flags::LINGERING);
        self.limit_lingering();
        self.sync_interest();
    }

    /// Runs the callback of a connection that lingers.
    pub(super) fn linger(&self, is_readable: bool) {
        if is_readable && self.drain_input() && !self.has(Flags::DONE) {
            self.end();
        }
    }

    /// Reads and discards input. Returns true at the end of file and at an error.
    fn drain_input(&self) -> bool {
        let mut buffer = ReadBuffer::of(&self.core);
        for _ in 0..READS {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => {
                    self.core.page.received_bytes.add(count.min(buffer.len()) as u64);
                    // Level-triggered: the kernel reports what is left.
                    if !self.has(Flags::EDGE) && !self.may_hold_input() {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.unset(Flags::MAYBE_READABLE);
                    return !is_retry(&error);
                }
            }
        }
        self.read_later();
        false
    }

    /// Ends the connection because of `error`. An earlier error of writing takes precedence.
    #[cold]
    pub(super) fn fail(&self, error: Error) {
        if !self.has(Flags::DONE) {
            if !self.has(Flags::FAILING) {
                self.extra().error.set(Some(Box::new(error)));
            }
            self.end();
        }
    }

    /// Ends the connection because of an error of writing. The input that has arrived is delivered
    /// first, even while reading is paused: after the error nothing may ever resume it.
    #[cold]
    pub(super) fn fail_writing(&self, error: Error) {
        if !self.has(Flags::FAILING | Flags::DONE) {
            self.extra().failed.set(Some(("write to", self.writer_fd())));
        }
        if self.has(Flags::EOF | Flags::CLOSING | Flags::FAILING | Flags::DONE) {
            return self.fail(error);
        }
        let extra = self.extra();
        extra.error.set(Some(Box::new(error)));
        drop(extra.queue.take());
        let unsent = Flags::UNSENT | Flags::SHUTDOWN_DUE;
        self.unset(unsent | Flags::READ_PAUSED | Flags::READ_HELD);
        self.set(Flags::FAILING | Flags::MAYBE_READABLE);
        self.sync_interest();
        self.feed();
    }

    /// Returns the operation that met the error of the stream, and its fd.
    pub(super) fn failed_operation(&self) -> (&'static str, RawFd) {
        let failed = self.extra.get().and_then(|extra| extra.failed.get());
        failed.unwrap_or(("read from", self.fd))
    }

    /// Returns the fd that is written to. Inside a call of the stream that is the connection's fd.
    fn writer_fd(&self) -> RawFd {
        let mut fd = self.fd;
        self.stream.with(&mut |stream| fd = stream.writer().map_or(fd, |fd| fd.as_raw_fd()));
        fd
    }

    /// Drops `bytes` bytes that cannot be sent. In debug mode, reports a mistake of the caller: a
    /// write after this side has closed or shut down first. A peer may end at any time, and the
    /// default `eof_received` closes, so a write after that is not a mistake.
    #[cold]
    #[track_caller]
    pub(super) fn reject_write(&self, bytes: usize) {
        let is_mistake = bytes > 0
            && self.has(Flags::CLOSING | Flags::SHUTDOWN_DUE | Flags::WRITE_SHUT)
            && !self.has(Flags::EOF | Flags::FAILING);
        if is_mistake && self.core.settings.debug && !self.core.closed.get() {
            let (kind, location) = (ReportKind::Write, Location::caller());
            let error = Error::WriteClosed { fd: self.fd, bytes };
            self.core.report(Report { kind, error, location, name: None });
        }
    }

    /// Ends the connection; only `connection_lost` is left to call. The kernel stops watching the
    /// stream at once.
    pub(super) fn end(&self) {
        self.stop_events();
        self.feed();
    }

    /// Ends everything that could queue the callback again.
    fn stop_events(&self) {
        self.set(Flags::DONE);
        self.unset(Flags::UNSENT | Flags::MAYBE_READABLE);
        if let Some(extra) = self.extra.get() {
            drop(extra.queue.take());
        }
        self.lift_limit();
        self.unwatch();
    }

    pub(super) fn unwatch(&self) {
        self.interest.set(Interest::empty());
        for watch in self.watches.take().into_iter().flatten() {
            self.core.unwatch(watch, self.key);
        }
    }

    /// Ends the connection of a callback that is dropped. The kernel stops watching the stream
    /// before the stream is closed.
    pub(super) fn detach(&self) {
        self.set(Flags::RUNNING); // Prevents another entry in the ready deque.
        self.stop_events();
        self.stream.close();
        drop(self.extra.get().and_then(|extra| extra.kept.take()));
    }

    /// Keeps the property of a replaced callback until the connection ends. Drops it if the stream
    /// is closed already.
    pub(super) fn keep(&self, kept: Option<Box<dyn Any>>) {
        if kept.is_some() && self.stream.with(&mut |_| {}) {
            self.extra().kept.set(kept);
        }
    }
}
