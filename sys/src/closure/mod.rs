//! Closures that are called once, stored without a box if they are small.
//!
//! Most closures that a program queues capture a number and a pointer or two. Allocating memory for
//! them takes longer than queueing and calling them.
//!
//! # Invariants
//!
//! * The storage of a closure holds a value of the type that its `take` function was made for,
//!   until that function takes it out. That happens once, in `call` or in `drop`.
//! * Storage has no padding, so moving it moves every byte of the closure.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

/// Storage of one word. The closure and its function are passed in two registers.
pub type Inline1 = MaybeUninit<usize>;

/// Storage of three words, for a few captures.
pub type Inline3 = [MaybeUninit<usize>; 3];

mod sealed {
    pub trait Storage {
        const EMPTY: Self;
    }
}

/// Size of the storage of a closure before it needs a box: [`Inline1`] or [`Inline3`].
pub trait Storage: sealed::Storage {}

impl sealed::Storage for Inline1 {
    const EMPTY: Inline1 = MaybeUninit::uninit();
}

impl sealed::Storage for Inline3 {
    const EMPTY: Inline3 = [MaybeUninit::uninit(); 3];
}

impl Storage for Inline1 {}
impl Storage for Inline3 {}

/// Takes the closure out of its storage. Calls it if there are arguments, otherwise drops it.
///
/// One function for both keeps a closure at its storage and one pointer; a vtable costs another
/// load.
type Take<P, A, B, R> = unsafe fn(*mut P, Option<(&A, &mut B)>) -> Option<R>;

/// A closure that is called once, with an `&A` and a `&mut B`.
///
/// If its captures fit into the storage `P`, they are stored inline, otherwise in a box.
///
/// ```
/// use mainspring_sys::closure::{CallOnce, Inline1};
///
/// let add = 2;
/// let add_to = move |number: &i32, sum: &mut i32| *sum += number + add;
/// let closure = CallOnce::<Inline1, _, _, _>::new(add_to);
/// let mut sum = 1;
/// closure.call(&3, &mut sum);
/// assert_eq!(sum, 6);
/// ```
pub struct CallOnce<P: Storage, A, B, R> {
    take: Take<P, A, B, R>,
    storage: P,
    /// Makes the type `!Send`: the captures may be bound to this thread.
    not_send: PhantomData<*mut ()>,
}

impl<P: Storage, A, B, R> CallOnce<P, A, B, R> {
    /// Stores `closure`, inline if it fits.
    #[inline]
    pub fn new<F>(closure: F) -> CallOnce<P, A, B, R>
    where
        F: FnOnce(&A, &mut B) -> R + 'static,
    {
        if fits::<F, P>() {
            CallOnce::inline(closure)
        } else {
            let boxed = Box::new(closure);
            CallOnce::inline(move |a: &A, b: &mut B| boxed(a, b))
        }
    }

    #[inline]
    fn inline<F>(closure: F) -> CallOnce<P, A, B, R>
    where
        F: FnOnce(&A, &mut B) -> R + 'static,
    {
        assert!(fits::<F, P>(), "the caller checked that the closure fits");
        let mut storage = P::EMPTY;
        // SAFETY: the storage is ours, and `fits` has checked its size and alignment.
        unsafe { (&raw mut storage).cast::<F>().write(closure) };
        CallOnce { take: take::<F, P, A, B, R>, storage, not_send: PhantomData }
    }

    /// Calls the closure.
    #[inline]
    pub fn call(self, a: &A, b: &mut B) -> R {
        let mut this = ManuallyDrop::new(self);
        let storage = &raw mut this.storage;
        // SAFETY: the storage still holds the closure: only `call` and `drop` take it out, and
        // `ManuallyDrop` prevents the drop.
        let result = unsafe { (this.take)(storage, Some((a, b))) };
        result.expect("a closure that was given arguments returns a result")
    }
}

impl<P: Storage, A, B, R> Drop for CallOnce<P, A, B, R> {
    #[inline]
    fn drop(&mut self) {
        let storage = &raw mut self.storage;
        // SAFETY: the storage still holds the closure: only `call` and `drop` take it out, and
        // `call` prevents this drop.
        unsafe { (self.take)(storage, None) };
    }
}

impl<P: Storage, A, B, R> fmt::Debug for CallOnce<P, A, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOnce").finish_non_exhaustive()
    }
}

/// A [`CallOnce`] that can be sent to another thread.
///
/// ```
/// use mainspring_sys::closure::{Inline3, SendOnce};
///
/// let text = String::from("sent");
/// let closure = SendOnce::<Inline3, (), usize, ()>::new(move |_, length| *length = text.len());
/// let thread = std::thread::spawn(move || {
///     let mut length = 0;
///     closure.into_call_once().call(&(), &mut length);
///     length
/// });
/// assert_eq!(thread.join().unwrap(), 4);
/// ```
pub struct SendOnce<P: Storage, A, B, R>(CallOnce<P, A, B, R>);

// SAFETY: `new` accepts only closures that are `Send`; arguments and result are not stored.
unsafe impl<P: Storage, A, B, R> Send for SendOnce<P, A, B, R> {}

impl<P: Storage, A, B, R> SendOnce<P, A, B, R> {
    /// Stores `closure`, inline if it fits.
    #[inline]
    pub fn new<F>(closure: F) -> SendOnce<P, A, B, R>
    where
        F: FnOnce(&A, &mut B) -> R + Send + 'static,
    {
        SendOnce(CallOnce::new(closure))
    }

    /// Returns the closure, to be called on the present thread.
    #[inline]
    pub fn into_call_once(self) -> CallOnce<P, A, B, R> {
        self.0
    }
}

impl<P: Storage, A, B, R> fmt::Debug for SendOnce<P, A, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendOnce").finish_non_exhaustive()
    }
}

/// Returns true if a closure of type `F` fits into the storage `P`.
const fn fits<F, P>() -> bool {
    size_of::<F>() <= size_of::<P>() && align_of::<F>() <= align_of::<P>()
}

/// Takes a closure of type `F` out of `storage`. Calls it if there are arguments, otherwise drops
/// it.
///
/// # Safety
///
/// `storage` holds an `F`, which must not be used afterwards.
#[inline]
unsafe fn take<F, P, A, B, R>(storage: *mut P, arguments: Option<(&A, &mut B)>) -> Option<R>
where
    F: FnOnce(&A, &mut B) -> R,
{
    // SAFETY: by this function's contract, `storage` holds an `F` that is never used again.
    let closure = unsafe { storage.cast::<F>().read() };
    let (a, b) = arguments?;
    Some(closure(a, b))
}

#[cfg(test)]
mod tests;
