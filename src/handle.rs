//! Keys, which identify registrations inside the loop, and handles, which users keep.
//!
//! # Invariant
//!
//! A key identifies one entry of one slot, and never another one. A slot gets no entry after its
//! last generation, so an old key finds nothing.

use std::fmt;
use std::marker::PhantomData;

/// A slot of an arena, and the generation of the entry in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// The null key: no slot has this number.
    pub(crate) const NONE: Key = Key { slot: u32::MAX, generation: 0 };

    /// Stands in the ready deque for the next message from another thread, which has no key.
    pub(crate) const INBOX: Key = Key { slot: u32::MAX, generation: 1 };

    /// Key of the timer that writes the number of suppressed reports. It never enters the ready
    /// deque.
    pub(crate) const REPORTS: Key = Key { slot: u32::MAX, generation: 2 };

    /// Key of the timer of the watched processes. It never enters the ready deque.
    pub(crate) const CHILDREN: Key = Key { slot: u32::MAX, generation: 3 };

    /// Key of the timer that compares the clocks. It never enters the ready deque.
    pub(crate) const TIMEBASES: Key = Key { slot: u32::MAX, generation: 4 };

    /// First slot above the arena of callbacks. Slots from here to [`TASK_BASE`](Key::TASK_BASE)
    /// contain the upper bits of a `call_soon` callback's sequence number.
    pub(crate) const SOON_BASE: u32 = 1 << 30;

    /// First slot of the task layer's keys.
    pub(crate) const TASK_BASE: u32 = 1 << 31;

    /// Returns the key of the `call_soon` callback with this sequence number.
    #[inline]
    pub(crate) fn soon(number: u64) -> Key {
        Key { slot: Key::SOON_BASE | (number >> 32) as u32, generation: number as u32 }
    }

    /// Returns the sequence number in a key made by [`soon`](Key::soon).
    #[inline]
    pub(crate) fn soon_number(self) -> Option<u64> {
        let high = u64::from(self.slot & !Key::SOON_BASE) << 32;
        self.is_soon().then_some(high | u64::from(self.generation))
    }

    /// Returns true for the key of a `call_soon` callback.
    #[inline]
    pub(crate) fn is_soon(self) -> bool {
        (Key::SOON_BASE..Key::TASK_BASE).contains(&self.slot)
    }

    /// Returns true for the key of a callback in the arena.
    #[inline]
    pub(crate) fn is_callback(self) -> bool {
        self.slot < Key::SOON_BASE
    }

    /// Returns true for the keys above that name no slot: of the loop's own timers, for example.
    #[inline]
    pub(crate) fn is_internal(self) -> bool {
        self.slot == Key::NONE.slot
    }

    /// Returns true for a key of the task layer: of a task or a waker, for example.
    #[inline]
    pub(crate) fn is_task_layer(self) -> bool {
        self.slot >= Key::TASK_BASE
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.generation)
    }
}

/// Identifies a registered callback, for example to [cancel](crate::LoopHandle::cancel) it.
///
/// A handle does not own its callback: it is `Copy`, and dropping it does nothing. After its
/// callback has ended, and in another loop, a handle identifies nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) key: Key,
    /// Number of the loop that the key belongs to, unique in this process.
    pub(crate) loop_id: u32,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?} of loop {})", self.key, self.loop_id)
    }
}

/// Identifies a callback with a deadline, to cancel it or to move its deadline.
///
/// [`call_later`], [`call_at`], [`call_every`] and [`add_timer`] return it. [`reset_after`],
/// [`reset_at`] and [`disarm`] change the timer, [`deadline`] and [`is_armed`] return its state,
/// [`cancel`] ends it. [The guide](crate::guide::task_lifecycle#a-callback) shows its states.
///
/// [`add_timer`]: crate::LoopHandle::add_timer
/// [`call_at`]: crate::LoopHandle::call_at
/// [`call_every`]: crate::LoopHandle::call_every
/// [`call_later`]: crate::LoopHandle::call_later
/// [`cancel`]: crate::LoopHandle::cancel
/// [`deadline`]: crate::LoopHandle::deadline
/// [`disarm`]: crate::LoopHandle::disarm
/// [`is_armed`]: crate::LoopHandle::is_armed
/// [`reset_after`]: crate::LoopHandle::reset_after
/// [`reset_at`]: crate::LoopHandle::reset_at
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerHandle(pub(crate) Handle);

impl From<TimerHandle> for Handle {
    fn from(timer: TimerHandle) -> Handle {
        timer.0
    }
}

/// Identifies a watched source of type `T` and its callback, to change or cancel them.
///
/// [`add_reader`], [`add_writer`] and [`watch`] return it. [`set_interest`] pauses and resumes it,
/// [`replace`] gives the source another callback, [`cancel`] ends both. [The
/// guide](crate::guide::task_lifecycle#a-watcher) shows its states.
///
/// [`add_reader`]: crate::LoopHandle::add_reader
/// [`add_writer`]: crate::LoopHandle::add_writer
/// [`cancel`]: crate::LoopHandle::cancel
/// [`replace`]: crate::LoopHandle::replace
/// [`set_interest`]: crate::LoopHandle::set_interest
/// [`watch`]: crate::LoopHandle::watch
pub struct Watcher<T> {
    pub(crate) handle: Handle,
    pub(crate) source: PhantomData<fn() -> T>,
}

impl<T> Watcher<T> {
    pub(crate) fn new(handle: Handle) -> Watcher<T> {
        Watcher { handle, source: PhantomData }
    }
}

impl<T> Clone for Watcher<T> {
    fn clone(&self) -> Watcher<T> {
        *self
    }
}

impl<T> Copy for Watcher<T> {}

impl<T> PartialEq for Watcher<T> {
    fn eq(&self, other: &Watcher<T>) -> bool {
        self.handle == other.handle
    }
}

impl<T> Eq for Watcher<T> {}

impl<T> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({:?} of loop {})", self.handle.key, self.handle.loop_id)
    }
}

impl<T> From<Watcher<T>> for Handle {
    fn from(watcher: Watcher<T>) -> Handle {
        watcher.handle
    }
}
