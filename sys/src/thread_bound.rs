//! [`ThreadBound`]: values of one thread, in types that must be `Send`.

use std::any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::thread::{self, Thread};

/// A value that only the thread of its creation can use, in a wrapper that is `Send` and `Sync`.
///
/// It is for libraries that require `Send` futures, sockets or timers although everything stays on
/// the loop's thread. The wrapper can move to other threads. The value cannot be reached there:
/// each access compares the threads, and panics with the type of the value and both threads.
///
/// A `ThreadBound` future is a future, so it can be boxed as `dyn Future + Send`:
///
/// ```
/// use mainspring_sys::ThreadBound;
/// use std::future::Future;
/// use std::pin::Pin;
/// use std::rc::Rc;
///
/// fn spawn_for_library(future: Pin<Box<dyn Future<Output = u32> + Send>>) { /* .. */ }
///
/// let local = Rc::new(42);
/// spawn_for_library(Box::pin(ThreadBound::new(async move { *local })));
/// ```
///
/// # Drop
///
/// The value is dropped on its own thread. If the wrapper is dropped on another thread, the value
/// is leaked with its memory, and the drop panics. It does not panic while its thread already
/// unwinds. A value that needs no drop, such as an integer, is freed on any thread.
///
/// The value is boxed, so creating a wrapper allocates. A pinned future must keep its
/// memory until it is dropped, so memory of a leaked future must not be freed with its wrapper.
pub struct ThreadBound<T> {
    /// Never freed if it is dropped on the wrong thread.
    value: ManuallyDrop<Box<T>>,
    owner: Owner,
    /// `Unpin` only if the value is: `poll` pins the value with its wrapper.
    pins: PhantomData<T>,
}

/// The thread of a value.
#[derive(Debug)]
struct Owner {
    number: u64,
    /// For messages.
    thread: Thread,
}

// SAFETY: a wrapper that moves carries a pointer and the identity of a thread. Each access to the
// value, its drop too, first checks that it happens on the thread that created the value.
unsafe impl<T> Send for ThreadBound<T> {}

// SAFETY: as above: a shared wrapper gives access to the value on one thread only.
unsafe impl<T> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    /// Binds `value` to this thread.
    pub fn new(value: T) -> ThreadBound<T> {
        let owner = Owner { number: thread_number(), thread: thread::current() };
        ThreadBound { value: ManuallyDrop::new(Box::new(value)), owner, pins: PhantomData }
    }

    /// Returns true on the thread of the value.
    ///
    /// ```
    /// use mainspring_sys::ThreadBound;
    ///
    /// let bound = ThreadBound::new(1);
    /// assert!(bound.is_here());
    /// assert!(!std::thread::spawn(move || bound.is_here()).join().unwrap());
    /// ```
    #[inline]
    pub fn is_here(&self) -> bool {
        self.owner.number == thread_number()
    }

    /// Returns the value.
    ///
    /// # Panics
    ///
    /// Panics on another thread. The message names the type of the value and both threads.
    ///
    /// ```
    /// use mainspring_sys::ThreadBound;
    ///
    /// let bound = ThreadBound::new(7);
    /// assert_eq!(*bound.get(), 7);
    /// let used = std::thread::spawn(move || *bound.get()).join().unwrap_err();
    /// let message = used.downcast::<String>().unwrap();
    /// assert!(message.starts_with("ThreadBound<i32> of thread"));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self) -> &T {
        self.check("used");
        &self.value
    }

    /// Returns the value, mutably.
    ///
    /// # Panics
    ///
    /// Like [`get`](ThreadBound::get).
    #[inline]
    #[track_caller]
    pub fn get_mut(&mut self) -> &mut T {
        self.check("used");
        &mut self.value
    }

    /// Returns the value, pinned like its wrapper.
    ///
    /// # Panics
    ///
    /// Like [`get`](ThreadBound::get).
    #[inline]
    #[track_caller]
    pub fn get_pinned(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.check("used");
        // SAFETY: nothing moves out of the reference here.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the value stays at its address until it is dropped: its box is only moved out of
        // a wrapper that is not pinned, and is leaked if it cannot be dropped. The wrapper is
        // `Unpin` only if the value is.
        unsafe { Pin::new_unchecked(&mut **this.value) }
    }

    /// Takes the value out of the wrapper.
    ///
    /// # Panics
    ///
    /// Like [`get`](ThreadBound::get). The value is then leaked.
    #[track_caller]
    pub fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        this.check("used");
        let ThreadBound { value, owner, .. } = &mut *this;
        // SAFETY: the wrapper is neither used nor dropped after this.
        let value = unsafe { ManuallyDrop::take(value) };
        // SAFETY: as above, and nothing else drops the owner.
        unsafe { std::ptr::drop_in_place(owner) };
        *value
    }

    #[inline]
    #[track_caller]
    fn check(&self, verb: &str) {
        if !self.is_here() {
            panic!("{}", self.misuse(verb));
        }
    }

    #[cold]
    fn misuse(&self, verb: &str) -> String {
        let (owner, here) = (&self.owner.thread, thread::current());
        let type_name = any::type_name::<T>();
        format!(
            "ThreadBound<{type_name}> of thread {} {verb} on thread {}",
            Named(owner),
            Named(&here)
        )
    }
}

/// Polls the future.
///
/// # Panics
///
/// Panics on another thread than that of the future.
impl<F: Future> Future for ThreadBound<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.get_pinned().poll(cx)
    }
}

impl<T> Drop for ThreadBound<T> {
    #[track_caller]
    fn drop(&mut self) {
        if !mem::needs_drop::<T>() || self.is_here() {
            // SAFETY: the value is dropped once, by its wrapper. It has no drop code, or this is
            // its thread.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        } else if !thread::panicking() {
            panic!("{}; the value is leaked", self.misuse("dropped"));
        }
    }
}

/// Prints the value only on its thread.
impl<T: fmt::Debug> fmt::Debug for ThreadBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = f.debug_struct("ThreadBound");
        printed.field("thread", &self.owner.thread.id());
        if self.is_here() {
            printed.field("value", &**self.value).finish()
        } else {
            printed.finish_non_exhaustive()
        }
    }
}

/// Name of a thread, or its number if it has none.
struct Named<'a>(&'a Thread);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => write!(f, "`{name}`"),
            None => write!(f, "{:?}", self.0.id()),
        }
    }
}

/// Returns the number of this thread, which no other thread of the process ever has.
#[inline]
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::sync::Arc;

    fn message_of(panicked: thread::Result<()>) -> String {
        *panicked.unwrap_err().downcast::<String>().unwrap()
    }

    fn elsewhere(run: impl FnOnce() + Send) -> thread::Result<()> {
        thread::scope(|scope| {
            thread::Builder::new().name("elsewhere".into()).spawn_scoped(scope, run).unwrap().join()
        })
    }

    #[test]
    fn a_value_is_used_and_dropped_at_home() {
        let counted = Rc::new(1);
        let mut bound = ThreadBound::new(counted.clone());
        assert_eq!(**bound.get(), 1);
        *bound.get_mut() = counted.clone();
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(bound);
        assert_eq!(Rc::strong_count(&counted), 1);
        assert_eq!(*ThreadBound::new(counted.clone()).into_inner(), 1);
        assert_eq!(Rc::strong_count(&counted), 1);
    }

    #[test]
    fn use_on_another_thread_names_the_type_and_both_threads() {
        let owner = thread::current().name().unwrap().to_owned();
        let mut bound = ThreadBound::new(Rc::new(1));
        let name = std::any::type_name::<Rc<i32>>(); // Other versions of Rust have other paths.
        let expected =
            format!("ThreadBound<{name}> of thread `{owner}` used on thread `elsewhere`");
        assert_eq!(message_of(elsewhere(|| _ = bound.get())), expected);
        assert_eq!(message_of(elsewhere(|| _ = bound.get_mut())), expected);
        assert_eq!(**bound.get(), 1);
        assert_eq!(message_of(elsewhere(|| drop(bound.into_inner()))), expected);
    }

    #[test]
    fn a_drop_on_another_thread_leaks_the_value() {
        let alive = Arc::new(());
        let bound = ThreadBound::new((alive.clone(), Rc::new(1)));
        let message = message_of(elsewhere(|| drop(bound)));
        assert!(
            message.ends_with("dropped on thread `elsewhere`; the value is leaked"),
            "{message}"
        );
        assert_eq!(Arc::strong_count(&alive), 2);
    }

    #[test]
    fn a_drop_on_an_unwinding_thread_does_not_abort() {
        let bound = ThreadBound::new(Rc::new(1));
        let panicked = elsewhere(|| {
            let _bound = bound;
            panic!("first");
        });
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "first");
    }

    #[test]
    fn a_plain_value_is_freed_on_any_thread() {
        let bound = ThreadBound::new([1_u8; 9]);
        elsewhere(|| drop(bound)).unwrap();
    }

    #[test]
    fn a_future_is_polled_at_home_only() {
        let mut future = Box::pin(ThreadBound::new(async { Rc::new(5) }));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let message = message_of(elsewhere(|| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = future.as_mut().poll(&mut cx).is_ready();
        }));
        assert!(message.contains("used on thread `elsewhere`"), "{message}");
        assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(Rc::new(5)));
    }

    #[test]
    fn debug_prints_the_value_at_home_only() {
        let bound = ThreadBound::new(Rc::new(31));
        assert!(format!("{bound:?}").contains("31"));
        let printed = catch_unwind(AssertUnwindSafe(|| {
            elsewhere(|| assert!(!format!("{bound:?}").contains("31"))).unwrap();
        }));
        assert!(printed.is_ok());
    }
}
