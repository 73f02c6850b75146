//! Static values that each process has separately.
//!
//! A forked child inherits the memory of its parent, but only the thread that called fork(2). A
//! lock that another thread held at that time stays locked in the child forever, and what it
//! protects may be half-changed. So a child gets its own value.
//!
//! # Invariants
//!
//! * The owner of a value is zero until a process uses it, and never changes afterwards.
//! * The value of a child is created by the thread that has written the number of its process into
//!   `creator`. Other threads of that process wait for it. A number of another process means that
//!   the thread does not exist here, so a standard lock or cell would wait for it forever.

use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, AtomicU32};
use std::thread;

use crate::process::Process;

/// A value of a process, and, after fork(2), a value of its child.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    /// Number of the process that uses the value; 0 if none does yet.
    owner: AtomicU32,
    value: T,
    /// The value of a child. Null until a child uses it, and never changed afterwards.
    of_child: AtomicPtr<PerProcess<T>>,
    /// Number of the last process in which a thread began to create `of_child`.
    creator: AtomicU32,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new(value: T) -> PerProcess<T> {
        let (owner, creator) = (AtomicU32::new(0), AtomicU32::new(0));
        PerProcess { owner, value, of_child: AtomicPtr::new(ptr::null_mut()), creator }
    }
}

impl<T: Send + Sync> PerProcess<T> {
    /// Returns the value of this process. In a forked child, the first call creates it by `inherit`
    /// from the value of the parent. `inherit` does not panic.
    ///
    /// Only `inherit` uses a parent's value in the child, and only once. So if a `try_lock` fails
    /// there, the lock belongs to a thread that does not exist in the child.
    pub(crate) fn get(&self, inherit: impl Fn(&T) -> T) -> &T {
        let current = Process::current().number();
        let mut one = self;
        loop {
            let mut owner = one.owner.load(SeqCst);
            if owner == 0 {
                // Two threads of one process may race: both write the same number.
                one.owner.store(current, SeqCst);
                owner = current;
            }
            if owner == current {
                return &one.value;
            }
            one = one.of_child(current, &inherit);
        }
    }

    fn of_child(&self, current: u32, inherit: impl Fn(&T) -> T) -> &PerProcess<T> {
        loop {
            // SAFETY: the pointer is null or refers to a value that is freed with `self`.
            if let Some(child) = unsafe { self.of_child.load(SeqCst).as_ref() } {
                return child;
            }
            let creator = self.creator.load(SeqCst);
            if creator == current {
                thread::yield_now(); // Another thread of this process creates it.
            } else if self.creator.compare_exchange(creator, current, SeqCst, SeqCst).is_ok() {
                let fresh = Box::new(PerProcess::new(inherit(&self.value)));
                self.of_child.store(Box::into_raw(fresh), SeqCst);
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let child = *self.of_child.get_mut();
        if !child.is_null() {
            // SAFETY: the pointer came from a box, and nothing refers to the value any more.
            drop(unsafe { Box::from_raw(child) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, TryLockError};

    use super::*;

    fn inherit(parent: &Mutex<u32>) -> Mutex<u32> {
        match parent.try_lock() {
            Ok(value) => Mutex::new(*value),
            Err(TryLockError::WouldBlock) => Mutex::new(0),
            Err(TryLockError::Poisoned(_)) => unreachable!("no test panics under the lock"),
        }
    }

    #[test]
    fn a_process_always_gets_the_same_value() {
        let values = PerProcess::new(Mutex::new(1));
        *values.get(inherit).lock().unwrap() = 2;
        assert_eq!(*values.get(inherit).lock().unwrap(), 2);
    }

    /// The owner is another process, as in a forked child.
    #[test]
    fn x7_a_child_inherits_the_value() {
        let values = PerProcess::new(Mutex::new(1));
        values.owner.store(u32::MAX, SeqCst);
        *values.get(inherit).lock().unwrap() += 1;
        assert_eq!(*values.get(inherit).lock().unwrap(), 2);
        assert_eq!(*values.value.lock().unwrap(), 1);
    }

    /// A thread of the parent, itself a forked child, was creating the value during fork(2).
    #[test]
    fn x7_a_child_does_not_wait_for_a_creator_that_does_not_exist() {
        let values = PerProcess::new(Mutex::new(1));
        values.owner.store(u32::MAX - 1, SeqCst);
        values.creator.store(u32::MAX, SeqCst);
        *values.get(inherit).lock().unwrap() += 1;
        assert_eq!(*values.get(inherit).lock().unwrap(), 2);
    }

    #[test]
    fn x7_threads_of_a_child_share_one_value() {
        for _ in 0..100 {
            let values = PerProcess::new(Mutex::new(0));
            values.owner.store(u32::MAX, SeqCst);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| *values.get(inherit).lock().unwrap() += 1);
                }
            });
            assert_eq!(*values.get(inherit).lock().unwrap(), 4);
        }
    }

    #[test]
    fn x7_a_child_starts_empty_if_a_thread_of_its_parent_held_the_lock() {
        let values = PerProcess::new(Mutex::new(1));
        values.owner.store(u32::MAX, SeqCst);
        let _held = values.value.lock().unwrap();
        assert_eq!(*values.get(inherit).lock().unwrap(), 0);
    }
}
