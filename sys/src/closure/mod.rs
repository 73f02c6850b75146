//! Closures that are called once, and need no box if they are small.
//!
//! Most of what a program queues has captured a number and a pointer or two. To allocate memory for
//! that takes longer than to queue it and to call it.
//!
//! # Invariants
//!
//! * The room of a closure holds a value of the type that its function was made for, until the
//!   function takes it out: once, by the call or by the drop.
//! * To move a room is to move all of its bytes: it has no padding.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

/// Room for what fits into a register. With it a closure is passed on in two registers.
pub type Inline1 = MaybeUninit<usize>;

/// Room for a few captures.
pub type Inline3 = [MaybeUninit<usize>; 3];

mod sealed {
    pub trait Storage {
        const EMPTY: Self;
    }
}

/// How much room a closure has before it needs a box: [`Inline1`] or [`Inline3`].
pub trait Storage: sealed::Storage {}

impl sealed::Storage for Inline1 {
    const EMPTY: Inline1 = MaybeUninit::uninit();
}

impl sealed::Storage for Inline3 {
    const EMPTY: Inline3 = [MaybeUninit::uninit(); 3];
}

impl Storage for Inline1 {}
impl Storage for Inline3 {}

/// Takes the closure out of its room; calls it if there are arguments, and drops it if not.
type Take<P, A, B, R> = unsafe fn(*mut P, Option<(&A, &mut B)>) -> Option<R>;

/// A closure that is called once, with an `&A` and a `&mut B`.
///
/// If its captures fit into the room `P` it lies in here; else in a box.
///
/// ```
/// use mainspring_sys::closure::{CallOnce, Inline1};
///
/// let add = 2;
/// let closure = CallOnce::<Inline1, _, _, _>::new(move |to: &i32, sum: &mut i32| *sum += to + add);
/// let mut sum = 1;
/// closure.call(&3, &mut sum);
/// assert_eq!(sum, 6);
/// ```
pub struct CallOnce<P: Storage, A, B, R> {
    take: Take<P, A, B, R>,
    storage: P,
    /// It may hold what must stay on its thread.
    not_send: PhantomData<*mut ()>,
}

impl<P: Storage, A, B, R> CallOnce<P, A, B, R> {
    /// Takes a closure in.
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
        assert!(fits::<F, P>(), "whoever calls has looked");
        let mut storage = P::EMPTY;
        // SAFETY: the room is ours, large enough for the closure and as aligned as it has to be.
        unsafe { (&raw mut storage).cast::<F>().write(closure) };
        CallOnce { take: take::<F, P, A, B, R>, storage, not_send: PhantomData }
    }

    /// Calls it.
    #[inline]
    pub fn call(self, a: &A, b: &mut B) -> R {
        let mut this = ManuallyDrop::new(self);
        let storage = &raw mut this.storage;
        // SAFETY: the closure is in its room, since nothing but this and the drop takes it out,
        // and after this there is no drop.
        let result = unsafe { (this.take)(storage, Some((a, b))) };
        result.expect("a closure that is called has a result")
    }
}

impl<P: Storage, A, B, R> Drop for CallOnce<P, A, B, R> {
    #[inline]
    fn drop(&mut self) {
        let storage = &raw mut self.storage;
        // SAFETY: the closure is in its room, since nothing but this and the call takes it out, and
        // a call prevents the drop.
        unsafe { (self.take)(storage, None) };
    }
}

impl<P: Storage, A, B, R> fmt::Debug for CallOnce<P, A, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOnce").finish_non_exhaustive()
    }
}

/// A [`CallOnce`] that may be sent to another thread.
pub struct SendOnce<P: Storage, A, B, R>(CallOnce<P, A, B, R>);

// SAFETY: `new` takes in what is `Send` only; the arguments and the result are not in here.
unsafe impl<P: Storage, A, B, R> Send for SendOnce<P, A, B, R> {}

impl<P: Storage, A, B, R> SendOnce<P, A, B, R> {
    /// Takes a closure in.
    #[inline]
    pub fn new<F>(closure: F) -> SendOnce<P, A, B, R>
    where
        F: FnOnce(&A, &mut B) -> R + Send + 'static,
    {
        SendOnce(CallOnce::new(closure))
    }

    /// The closure, to be called on this thread.
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

/// Whether a closure of type `F` fits into the room `P`.
const fn fits<F, P>() -> bool {
    size_of::<F>() <= size_of::<P>() && align_of::<F>() <= align_of::<P>()
}

/// The function of closures of type `F`.
///
/// # Safety
///
/// There is an `F` in `storage`, which nobody uses after this.
#[inline]
unsafe fn take<F, P, A, B, R>(storage: *mut P, arguments: Option<(&A, &mut B)>) -> Option<R>
where
    F: FnOnce(&A, &mut B) -> R,
{
    // SAFETY: the caller says that it is there, and takes it for gone from now on.
    let closure = unsafe { storage.cast::<F>().read() };
    let (a, b) = arguments?;
    Some(closure(a, b))
}

#[cfg(test)]
mod tests;
