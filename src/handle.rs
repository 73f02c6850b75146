//! Keys and handles: how everything that is registered is called, inside the loop and out.
//!
//! # Invariant
//!
//! A key names one tenant of one slot for ever. A slot whose generations are used up is never given
//! out again, so an old key misses; it never hits a stranger.

use std::fmt;
use std::marker::PhantomData;

/// A slot and the generation of its tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// The key that names nothing: no slot has this number.
    pub(crate) const NONE: Key = Key { slot: u32::MAX, generation: 0 };

    /// The turn of what another thread has sent, which nobody calls by name. No slot has this number
    /// either.
    pub(crate) const INBOX: Key = Key { slot: u32::MAX, generation: 1 };

    /// Key of the timer that ends in a line about reports that were left out. It never enters the
    /// ready deque.
    pub(crate) const REPORTS: Key = Key { slot: u32::MAX, generation: 2 };

    /// Slots from here on are not in the arena of callbacks: what waits for its turn only is in a
    /// row, by a number that begins in the slot.
    pub(crate) const SOON_BASE: u32 = 1 << 30;

    /// Slots from here on are the guest's.
    pub(crate) const TASK_BASE: u32 = 1 << 31;

    /// The key of the `number`-th callback that was queued for the next tick.
    #[inline]
    pub(crate) fn soon(number: u64) -> Key {
        Key { slot: Key::SOON_BASE | (number >> 32) as u32, generation: number as u32 }
    }

    /// The number of [`soon`](Key::soon), if it is a key of that kind.
    #[inline]
    pub(crate) fn soon_number(self) -> Option<u64> {
        let high = u64::from(self.slot & !Key::SOON_BASE) << 32;
        self.is_soon().then_some(high | u64::from(self.generation))
    }

    /// Whether the key names a callback that waits for nothing but its turn.
    #[inline]
    pub(crate) fn is_soon(self) -> bool {
        (Key::SOON_BASE..Key::TASK_BASE).contains(&self.slot)
    }

    /// Whether the key names a callback in the arena.
    #[inline]
    pub(crate) fn is_callback(self) -> bool {
        self.slot < Key::SOON_BASE
    }

    /// Whether the key names something of the guest, a task for example.
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

/// A scheduled callback, to [cancel](crate::LoopHandle::cancel) it by.
///
/// A handle is a name, not an owner: it is `Copy`, dropping it does nothing, and one that outlives
/// its callback (or is used at another loop) names nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) key: Key,
    /// Which loop of this process the key belongs to.
    pub(crate) loop_id: u32,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?} of loop {})", self.key, self.loop_id)
    }
}

/// A callback with a deadline, to cancel it or to move its deadline by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerHandle(pub(crate) Handle);

impl From<TimerHandle> for Handle {
    fn from(timer: TimerHandle) -> Handle {
        timer.0
    }
}

/// A watched source of type `T` and its callback, to change or remove them by.
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
