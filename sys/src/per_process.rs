//! Static values that each process has separately.
//!
//! A forked child inherits the memory of its parent, but only the thread that called fork(2). A
//! lock that another thread held at that time stays locked in the child forever, and what it
//! protects may be half-changed. So a child gets its own value.
//!
//! # Invariant
//!
//! The owner of a value is zero until a process uses it, and never changes afterwards.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use crate::process::Process;

/// A value of a process, and, after fork(2), a value of its child.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    /// Number of the process that uses the value; 0 if none does yet.
    owner: AtomicU32,
    value: T,
    of_child: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new(value: T) -> PerProcess<T> {
        PerProcess { owner: AtomicU32::new(0), value, of_child: OnceLock::new() }
    }

    /// Returns the value of this process. In a forked child, the first call creates it by `inherit`
    /// from the value of the parent.
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
            one = one.of_child(&inherit);
        }
    }

    fn of_child(&self, inherit: impl Fn(&T) -> T) -> &PerProcess<T> {
        self.of_child.get_or_init(|| Box::new(PerProcess::new(inherit(&self.value))))
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

    #[test]
    fn x7_a_child_starts_empty_if_a_thread_of_its_parent_held_the_lock() {
        let values = PerProcess::new(Mutex::new(1));
        values.owner.store(u32::MAX, SeqCst);
        let _held = values.value.lock().unwrap();
        assert_eq!(*values.get(inherit).lock().unwrap(), 0);
    }
}
