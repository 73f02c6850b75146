//! A transport: a stream that the loop reads and writes.
//!
//! The loop reads a stream when it is ready, into one buffer that all transports share, so an idle
//! connection needs no buffer. A write goes to the kernel at once. Only the bytes that the kernel
//! does not accept are queued, and only then is the stream watched for writing. So a request and
//! its answer cost two system calls, and no change of a registration.
//!
//! # States
//!
//! A connection has a state of reading, a state of writing, and one for both. The function in the
//! middle leads to the state at its right, which has these flags.
//!
//! ```text
//!             from             function                       to          flags
//! reading     open             pause_reading                  paused      READ_PAUSED
//!             paused           resume_reading                 open
//!             open             hold_reading                   held        READ_HELD
//!             held             check_water_marks              open
//!             open             check_read                     ended       EOF
//!
//! writing     open             note_queued, flush_stream      draining    QUEUED, UNFLUSHED
//!             draining         flush                          open
//!             open, draining   shutdown_write                 finishing   SHUTDOWN_DUE
//!             finishing        shut_down_writing              ended       WRITE_SHUT
//!             open             close_or_linger                ended       WRITE_SHUT
//!
//! connection  -                announce                       opening     UNANNOUNCED
//!             opening          begin_other_run                open
//!             opening, open    close                          closing     CLOSING
//!             opening, open    fail_writing                   failing     FAILING
//!             closing          close_or_linger                lingering   CLOSING, LINGERING
//!             any other        end                            closed      DONE
//! ```
//!
//! * Reading may be paused and held at once. Failing lifts both, so that the last input arrives.
//! * Writing that finishes, and a connection that closes, drain first.
//! * The connection ends when reading and writing have ended, and at the first error of reading. A
//!   failing one ends after the last input.
//! * A connection that closes while it opens has both flags, because `connection_made` is the first
//!   callback in any case. Other flags of earlier states of the connection stay set, too.
//!
//! The other flags are no states of this kind. `CUSTOM`, `EDGE` and `TWO_FDS` are properties of the
//! stream, `LIMITED` means that there is a timer. `WRITING_PAUSED` alternates at the water marks.
//! The rest belongs to the runs of the callback.
//!
//! # Runs
//!
//! A run of the callback reads until a read returns less than the buffer holds, up to a limit; then
//! other callbacks run. TCP is edge-triggered if the kernel supports it, because a level-triggered
//! epoll checks each reported socket a second time. A run that leaves input of such a stream queues
//! the callback for the next tick. A read over TCP also stops short at urgent data and before the
//! end of file. The kernel reports both, and then the run reads until a read would block.
//!
//! # Invariants
//!
//! * The interest registered in the kernel is what `TransportState::interest_of_flags` returns.
//! * `QUEUED` is set while the queue is not empty, `LIMITED` while there is a timer.
//! * Bytes are written in the order of the `write` calls: nothing is written directly while others
//!   are queued.
//! * After `DONE` is set nothing is read or written; `connection_lost` follows.
//! * While an edge-triggered stream has a reading interest, one of three holds: a read has found
//!   nothing more, an event will come, or `MAYBE_READABLE` is set and the callback is queued.
//! * The callback is queued if it must run without an event.
//! * There is a timer while `LINGERING` is set and `DONE` is not.
//! * The flags are in a legal combination, see the table in `flags.rs`.
//!
//! In debug builds `TransportState::verify` checks them at the end of each run.

mod accepted;
mod callback;
mod close;
mod descriptors;
mod extra;
mod flags;
mod limit;
mod open;
mod queue;
mod read;
mod shared_file;
mod state;
mod stream_access;
mod stream_cell;

use std::fmt;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

pub(crate) use self::callback::WaterMark;
use self::flags::Flags;
pub(crate) use self::shared_file::SharedFile;
use self::state::TransportState;
use self::stream_cell::StreamCell;
use crate::error::{Error, Result};
use crate::handle::Handle;

/// Handle of a connection, to write to it and to close it. Clones refer to the same connection.
///
/// A transport may outlive its connection: writing to a closed one does nothing.
#[derive(Clone)]
pub struct Transport {
    state: Rc<TransportState<dyn StreamCell>>,
}

impl Transport {
    /// Writes `data`: as much as the kernel accepts at once, the rest as the peer reads. Never
    /// blocks and never fails because of a full buffer. A stream error ends the connection; input
    /// that has arrived is delivered first, then `connection_lost` gets the error.
    ///
    /// After [`close`](Transport::close) or [`shutdown_write`](Transport::shutdown_write), and
    /// after the end of the connection, the bytes are dropped. [`try_write`](Transport::try_write)
    /// returns an error instead. In [debug mode](crate::EventLoopBuilder::debug), such a write
    /// after this side's close or shutdown is reported with the line of the call.
    #[inline]
    #[track_caller]
    pub fn write(&self, data: &[u8]) {
        let state = &*self.state;
        // The kernel accepts 0 of 0 bytes, which would look like a stream that accepts nothing.
        if data.is_empty() {
            return;
        }
        if state.has(Flags::SLOW_WRITE) {
            return state.write_one_slow(data);
        }
        // Tried at once: usually the kernel has room, and no change of interest is needed.
        match state.stream.write(data) {
            Ok(count) if count >= data.len() => state.count_sent(data.len()),
            written => state.queue_remainder(written, &[IoSlice::new(data)]),
        }
    }

    /// Writes like [`write`](Transport::write), but returns an error instead of dropping the bytes.
    /// After `Ok` the peer may still end before it gets them.
    ///
    /// # Errors
    ///
    /// [`Error::WriteClosed`] after [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write), and after the end of the connection.
    ///
    /// ```
    /// use mainspring::{Error, EventLoop};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let el = EventLoop::new()?;
    /// let conn = el.attach(ours, |_el, _state, _conn, _data| Ok(()))?;
    /// conn.try_write(b"last words")?;
    /// conn.close();
    /// assert!(matches!(conn.try_write(b"too late"), Err(Error::WriteClosed { bytes: 8, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_write(&self, data: &[u8]) -> Result<()> {
        if self.state.has(Flags::NO_WRITE) {
            return Err(Error::WriteClosed { fd: self.state.fd, bytes: data.len() });
        }
        self.write(data);
        Ok(())
    }

    /// Writes several slices like one, with one system call if the queue is empty. Otherwise like
    /// [`write`](Transport::write).
    #[track_caller]
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) {
        let state = &*self.state;
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length == 0 {
            return;
        }
        if state.has(Flags::SLOW_WRITE) {
            return state.write_slow(slices, length);
        }
        match state.stream.write_vectored(slices) {
            Ok(count) if count >= length => state.count_sent(length),
            written => state.queue_remainder(written, slices),
        }
    }

    /// Returns the number of bytes in the write queue.
    pub fn queued(&self) -> usize {
        self.state.queued()
    }

    /// Sets the water marks of the queue in bytes. Above `high`,
    /// [`pause_writing`](super::Protocol::pause_writing) is called; at `low` or below,
    /// [`resume_writing`](super::Protocol::resume_writing). Default: 16 KiB and 64 KiB.
    ///
    /// # Panics
    ///
    /// If `low` is above `high`.
    #[track_caller]
    pub fn set_water_marks(&self, low: u32, high: u32) {
        assert!(low <= high, "the low-water mark must not be above the high-water mark");
        self.state.extra().water_marks.set((low, high));
        if self.state.crossed_mark().is_some() {
            self.state.feed();
        }
    }

    /// Returns the low and the high water mark of the queue, in bytes.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let el = EventLoop::new()?;
    /// let conn = el.attach(ours, |_, _, _, _| Ok(()))?;
    /// assert_eq!(conn.water_marks(), (16 * 1024, 64 * 1024));
    /// conn.set_water_marks(0, 1024);
    /// assert_eq!(conn.water_marks(), (0, 1024));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn water_marks(&self) -> (u32, u32) {
        self.state.water_marks()
    }

    /// Stops reading until [`resume_reading`](Transport::resume_reading). The kernel's buffers then
    /// fill up, and the peer cannot send more. A disconnect is noticed only by a write, or when
    /// reading continues.
    ///
    /// A write error ends the pause: the input that has arrived is delivered, then
    /// `connection_lost` gets the error.
    pub fn pause_reading(&self) {
        self.state.pause(Flags::READ_PAUSED);
    }

    /// Continues reading after [`pause_reading`](Transport::pause_reading). If the default
    /// [`pause_writing`](super::Protocol::pause_writing) has paused reading too, it stays paused
    /// until the queue is short enough.
    pub fn resume_reading(&self) {
        self.state.unset(Flags::READ_PAUSED);
        self.state.sync_interest();
    }

    /// Returns true if the stream is being read: not paused, not at its end, not closing.
    #[inline]
    pub fn is_reading(&self) -> bool {
        !self.state.has(Flags::NO_READ | Flags::FAILING)
    }

    /// Closes the connection after the queue is sent. Further input is discarded.
    ///
    /// If a socket is closed while its peer is still sending, the kernel resets the connection, and
    /// the peer loses the last bytes sent to it. So unless the peer has already ended its side,
    /// this side first shuts down writing. It then waits for the peer's end of file, an error, or
    /// two seconds, and only then calls `connection_lost`. Until then the connection holds its
    /// descriptor and keeps [`run`](crate::EventLoop::run) running.
    ///
    /// If the kernel accepts no byte of the queue for a minute, the connection ends with the error
    /// [`TimedOut`](crate::Error::TimedOut). A slow peer that keeps reading gets everything,
    /// however long that takes; [`close_within`](Transport::close_within) sets a limit.
    /// [`abort`](Transport::abort) does not wait, and also ends a close in progress.
    pub fn close(&self) {
        self.close_limited(None);
    }

    /// Closes like [`close`](Transport::close), but within `limit`, which includes sending the
    /// queue and waiting for the peer's end of file. Then the connection ends: with the error
    /// [`TimedOut`](crate::Error::TimedOut) if a part of the queue was not sent, otherwise without
    /// an error.
    ///
    /// It also limits a close in progress, unless an earlier limit is in force.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let conn = el.attach(ours, |_, _, _, _| Ok(()))?;
    /// conn.write(&[0; 1 << 20]); // more than the kernel accepts, and the peer does not read
    /// conn.close_within(Duration::from_secs(5));
    /// el.run()?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(5));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn close_within(&self, limit: Duration) {
        self.close_limited(Some(limit));
    }

    fn close_limited(&self, limit: Option<Duration>) {
        let state = &*self.state;
        if state.has(Flags::DONE) || limit.is_none() && state.has(Flags::CLOSING) {
            return;
        }
        let begins = !state.has(Flags::CLOSING);
        state.set(Flags::CLOSING);
        // Without output nothing can stall; lingering sets its own limit.
        if limit.is_some() || state.has(Flags::UNSENT) {
            state.limit_closing(limit);
        }
        match state.has(Flags::UNSENT) {
            true => state.sync_interest(), // Closing ends reading.
            false if begins => state.finish_output(),
            false => {}
        }
    }

    /// Limits the time without a transfer in either direction. After `limit` the connection ends
    /// with the error [`TimedOut`](crate::Error::TimedOut). `None` lifts the limit.
    ///
    /// A transfer costs no timer operation: when the timer expires, it is re-armed for the time
    /// that is left since the latest transfer. A connection with paused reading counts as idle,
    /// too. [`close`](Transport::close) replaces this limit by its own.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let conn = el.attach(ours, |_, _, _, _| Ok(()))?;
    /// conn.set_idle_limit(Some(Duration::from_secs(30)));
    /// assert_eq!(conn.idle_limit(), Some(Duration::from_secs(30)));
    /// el.run()?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(30));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_idle_limit(&self, limit: Option<Duration>) {
        self.state.limit_idleness(limit);
    }

    /// Returns the limit on the time without a transfer; `None` without a limit, or if the
    /// connection is closing.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.state.idle_limit()
    }

    /// Closes the connection at once, and drops the queue.
    ///
    /// This is close(2) without an explicit reset: bytes that the kernel has accepted are still
    /// sent, followed by end of file. But the kernel resets a TCP connection that is closed with
    /// unread input, or that receives more afterwards. [`reset`](Transport::reset) always resets.
    pub fn abort(&self) {
        if !self.state.has(Flags::DONE) {
            self.state.end();
        }
    }

    /// Shuts down writing after the queue is sent: the peer then reads end of file. Reading
    /// continues. The connection ends when the peer has ended its side, too.
    pub fn shutdown_write(&self) {
        let state = &*self.state;
        if !state.has(Flags::NO_WRITE) {
            state.set(Flags::SHUTDOWN_DUE);
            state.finish_output();
        }
    }

    /// Returns true if the connection is closing or over.
    pub fn is_closing(&self) -> bool {
        self.state.has(Flags::CLOSING | Flags::FAILING | Flags::DONE)
    }

    /// Returns the handle of the connection in its loop, to [name](crate::LoopHandle::set_name) it
    /// or to [put it in the background](crate::LoopHandle::set_background). Cancelling the handle
    /// closes the connection and drops the protocol without `connection_lost`.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::os::unix::net::UnixStream;
    ///
    /// let el = EventLoop::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let conn = el.attach(ours, |_, _, _, _| Ok(()))?;
    /// assert!(el.set_name(conn.handle(), "upstream"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn handle(&self) -> Handle {
        Handle { key: self.state.key, loop_id: self.state.core.loop_id }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.state.flags.get();
        write!(f, "Transport(fd {}, {} queued, {flags:?})", self.state.fd, self.queued())
    }
}
