//! Callbacks that run in the next tick, or at a deadline.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainspring_sys::closure::CallOnce;

use super::LoopHandle;
use super::callback::{Callback, Once, Plain, once_result};
use super::callback_result::CallbackResult;
use super::interval::Periodic;
use super::source::Source;
use crate::clock::IntervalGrid;
use crate::error::{Error, Result};
use crate::handle::{Handle, Key, TimerHandle};
use crate::timers::TimerSlot;

/// # Callbacks and timers
impl<S> LoopHandle<S> {
    /// Calls `callback` in the next tick. Callbacks run in the order of these calls. A closure that
    /// captures at most one word allocates nothing.
    ///
    /// A closed loop drops the closure at once.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(Vec::new())?;
    /// el.call_soon(|el, order| {
    ///     order.push("first");
    ///     el.call_soon(|_, order| order.push("in the tick after"));
    /// });
    /// el.call_soon(|_, order| order.push("second"));
    /// el.run()?;
    /// assert_eq!(*el.state(), ["first", "second", "in the tick after"]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn call_soon<F, R>(&self, callback: F) -> Handle
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let once = CallOnce::new(|el, state| once_result(callback(el, state)));
        let key = self.insert_soon(once, Location::caller());
        self.handle(key)
    }

    /// Queues a closure and feeds its key. A closed loop drops it.
    #[inline]
    pub(crate) fn insert_soon(&self, once: Once<S>, location: &'static Location<'static>) -> Key {
        if self.core().closed.get() {
            return Key::NONE;
        }
        let key = self.shared.soon.borrow_mut().push(once, location);
        self.core().feed(key);
        key
    }

    /// Calls `callback` when `delay` is over, counted from this call. It never runs early, not even
    /// by a nanosecond.
    ///
    /// With a delay of zero it runs in the next tick. A deadline beyond the clock's range, such as
    /// [`Duration::MAX`], never comes; it keeps [`run`](crate::EventLoop::run) going like any other
    /// timer, and like a task that sleeps that long. Equal deadlines run in the order of their
    /// registration.
    ///
    /// Memory is proportional to the number of live timers, see
    /// [`EventLoop`](crate::EventLoop#memory).
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// el.call_later(Duration::from_secs(3600), |_, _| {});
    /// el.run()?; // takes no time
    /// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn call_later<F, R>(&self, delay: Duration, callback: F) -> TimerHandle
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let once = CallOnce::new(|el, state| once_result(callback(el, state)));
        let deadline = self.core().timeline.nanos_after(delay);
        self.insert_timer(Some(deadline), Callback::Once(once), Location::caller())
    }

    /// Like [`call_later`](LoopHandle::call_later), but calls `callback` at `deadline`, or in the
    /// next tick if the deadline has passed.
    #[track_caller]
    pub fn call_at<F, R>(&self, deadline: Instant, callback: F) -> TimerHandle
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let once = CallOnce::new(|el, state| once_result(callback(el, state)));
        let deadline = self.core().timeline.nanos_of(deadline);
        self.insert_timer(Some(deadline), Callback::Once(once), Location::caller())
    }

    /// Calls `callback` every `period`, on the grid now + k * `period`.
    ///
    /// If the loop is too busy for a tick, the tick is skipped.
    /// [`missed_ticks`](LoopHandle::missed_ticks) returns the number of skipped ticks, and
    /// [`set_missed_tick_behavior`](LoopHandle::set_missed_tick_behavior) sets another policy. An
    /// error that the callback returns ends the interval.
    ///
    /// [`reset_after`](LoopHandle::reset_after) and [`reset_at`](LoopHandle::reset_at) move the
    /// whole grid: the next tick is at the new deadline, and the following ticks are whole periods
    /// later.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(Vec::new())?;
    /// let at = clock.clone();
    /// let ticks = el.call_every(Duration::from_secs(1), move |el, seen: &mut Vec<u128>| {
    ///     seen.push(at.elapsed().as_millis());
    ///     if seen.len() == 3 {
    ///         el.stop();
    ///     }
    /// })?;
    /// el.reset_after(ticks, Duration::from_millis(500));
    /// el.run()?;
    /// assert_eq!(*el.state(), [500, 1500, 2500]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ZeroInterval`];
    /// [`Error::Closed`].
    #[track_caller]
    pub fn call_every<F, R>(&self, period: Duration, callback: F) -> Result<TimerHandle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.core().check_open()?;
        let core = self.core().clone();
        let grid =
            IntervalGrid::new(core.timeline.now_nanos(), period).ok_or(Error::ZeroInterval)?;
        let callback = RefCell::new(callback);
        Ok(self.insert_interval(grid.next(), Location::caller(), |timer| {
            Callback::repeating(Rc::new(Periodic { core, timer, grid, callback }))
        }))
    }

    /// Adds a timer without a deadline, which can be armed many times. `callback` is called at each
    /// deadline that [`reset_after`](LoopHandle::reset_after) or [`reset_at`](LoopHandle::reset_at)
    /// sets.
    ///
    /// This is the timer for a deadline that recurs without a fixed period, such as an idle limit.
    /// It allocates memory only here.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(0)?;
    /// let limit = el.add_timer(|_, calls| *calls += 1)?;
    /// for _ in 0..3 {
    ///     el.reset_after(limit, Duration::from_secs(5));
    ///     el.run()?; // without a deadline the timer does not keep the loop running
    /// }
    /// assert_eq!((*el.state(), clock.elapsed()), (3, Duration::from_secs(15)));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// An idle limit for a watched descriptor. The reader and the timer need each other: the reader
    /// captures the timer, and the timer finds the watcher in the state.
    ///
    /// ```
    /// use mainspring::{EventLoop, Watcher, testing::SimClock};
    /// use std::io::{PipeReader, Read, Write};
    /// use std::time::Duration;
    ///
    /// #[derive(Default)]
    /// struct Client {
    ///     input: Vec<u8>,
    ///     watcher: Option<Watcher<PipeReader>>,
    /// }
    /// const IDLE: Duration = Duration::from_secs(30);
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(Client::default())?;
    /// let limit = el.add_timer(|el, client: &mut Client| {
    ///     if let Some(watcher) = client.watcher.take() {
    ///         el.cancel(watcher); // closes the descriptor
    ///     }
    /// })?;
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let watcher = el.add_reader(reader, move |el, client, reader| {
    ///     let mut buffer = [0; 1024];
    ///     let count = reader.read(&mut buffer)?;
    ///     client.input.extend_from_slice(&buffer[..count]);
    ///     if count == 0 {
    ///         reader.cancel();
    ///         el.cancel(limit);
    ///     } else {
    ///         el.reset_after(limit, IDLE);
    ///     }
    ///     Ok(())
    /// })?;
    /// el.state_mut().watcher = Some(watcher);
    /// el.reset_after(limit, IDLE);
    ///
    /// let mut again = writer.try_clone()?;
    /// writer.write_all(b"hello")?;
    /// el.call_later(Duration::from_secs(20), move |_, _| again.write_all(b" again").unwrap());
    /// el.run()?; // returns when the client has been silent for the limit
    /// assert_eq!((&el.state().input[..], clock.elapsed().as_secs()), (&b"hello again"[..], 50));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    #[track_caller]
    pub fn add_timer<F, R>(&self, callback: F) -> Result<TimerHandle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.core().check_open()?;
        let callback = Callback::repeat(Plain(callback));
        Ok(self.insert_timer(None, callback, Location::caller()))
    }

    fn insert_timer(
        &self,
        deadline: Option<u64>,
        callback: Callback<S>,
        location: &'static Location<'static>,
    ) -> TimerHandle {
        if self.core().closed.get() {
            return TimerHandle(self.handle(Key::NONE));
        }
        let mut callbacks = self.shared.callbacks.borrow_mut();
        let mut timers = self.core().timers.borrow_mut();
        let key = callbacks.insert_with(location, self.core().tick(), Some(callback), |key| {
            Source::Timer(match deadline {
                Some(deadline) => timers.insert(deadline, key),
                None => timers.insert_idle(key),
            })
        });
        TimerHandle(self.handle(key))
    }

    fn insert_interval(
        &self,
        deadline: u64,
        location: &'static Location<'static>,
        make: impl FnOnce(TimerSlot) -> Callback<S>,
    ) -> TimerHandle {
        let mut callbacks = self.shared.callbacks.borrow_mut();
        let key = callbacks.insert(Source::Soon, location, self.core().tick(), None);
        let timer = self.core().timers.borrow_mut().insert(deadline, key);
        if let Some(entry) = callbacks.get(key) {
            entry.source = Source::Interval(timer);
            entry.callback = Some(make(timer));
        }
        TimerHandle(self.handle(key))
    }

    /// Moves a timer's deadline to `delay` from now. Returns false if the timer has ended. The grid
    /// of an interval moves too, see [`call_every`](LoopHandle::call_every).
    ///
    /// A later deadline costs O(1) and allocates nothing, so an idle limit can be moved with each
    /// packet. Among equal deadlines the timer counts as registered now. If it is already due in
    /// this tick but has not run, it does not run.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let limit = el.call_later(Duration::from_secs(5), |_, _| {});
    /// el.call_later(Duration::from_secs(4), move |el, _| {
    ///     assert!(el.reset_after(limit, Duration::from_secs(5)));
    /// });
    /// el.run()?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(9));
    /// assert!(!el.reset_after(limit, Duration::ZERO)); // it has run
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn reset_after(&self, timer: TimerHandle, delay: Duration) -> bool {
        self.reset(timer, self.core().timeline.nanos_after(delay))
    }

    /// Like [`reset_after`](LoopHandle::reset_after), but moves the deadline to `deadline`.
    pub fn reset_at(&self, timer: TimerHandle, deadline: Instant) -> bool {
        self.reset(timer, self.core().timeline.nanos_of(deadline))
    }

    fn reset(&self, timer: TimerHandle, deadline: u64) -> bool {
        let reset = |slot| self.core().timers.borrow_mut().reset(slot, deadline);
        self.with_timer(timer, |slot, grid| {
            if let Some(grid) = grid {
                grid.move_to(deadline);
            }
            reset(slot);
        })
        .is_some()
    }

    /// Calls `use_timer` with the timer, and the grid of an interval. Returns `None` if the timer
    /// has ended.
    #[inline]
    pub(super) fn with_timer<T>(
        &self,
        TimerHandle(Handle { key, loop_id }): TimerHandle,
        use_timer: impl FnOnce(TimerSlot, Option<&IntervalGrid>) -> T,
    ) -> Option<T> {
        if loop_id != self.core().loop_id {
            return None;
        }
        let mut callbacks = self.shared.callbacks.borrow_mut();
        let entry = callbacks.get(key)?;
        match entry.source {
            Source::Timer(slot) => Some(use_timer(slot, None)),
            Source::Interval(slot) => {
                Some(use_timer(slot, entry.callback.as_ref().and_then(Callback::grid)))
            }
            _ => None,
        }
    }

    /// Removes a timer's deadline without ending the timer. Returns false if the timer has ended.
    ///
    /// A new deadline arms it again. Without a deadline it does not keep
    /// [`run`](crate::EventLoop::run) going.
    pub fn disarm(&self, timer: TimerHandle) -> bool {
        let disarm = |slot, _: Option<&IntervalGrid>| self.core().timers.borrow_mut().disarm(slot);
        self.with_timer(timer, disarm).is_some()
    }

    /// Returns the number of ticks that the running interval has skipped since its last tick.
    /// Returns 0 outside of the callback of an interval.
    pub fn missed_ticks(&self) -> u64 {
        self.core().skipped_ticks.get()
    }
}
