//! The callback of a watched source, and replacing it.

use std::any::Any;

use mainspring_sys::Readiness;

use super::callback::{Callback, Flow, REMOVE, Repeat, failed};
use super::{LoopHandle, Watched};
use crate::error::Result;
use crate::handle::Key;

/// The callback of a watched source.
///
/// `repr(C)`: in this order an event reads only the first 40 bytes of the allocation, usually one
/// cache line. Reference counts and a small capture are included.
#[repr(C)]
pub(crate) struct Watching<T, F> {
    pub(crate) callback: F,
    /// The source. `None` after a replacement has taken it.
    pub(crate) watched: Option<Watched<T>>,
}

impl<S, T, F> Repeat<S> for Watching<T, F>
where
    T: 'static,
    F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()>,
{
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, readiness: Readiness) -> Flow {
        let Some(watched) = &mut self.watched else { return REMOVE };
        if let Err(error) = watched.begin(readiness) {
            return failed(error);
        }
        match (self.callback)(el, state, watched) {
            Ok(()) => watched.flow(),
            Err(error) if error.is_retry() => {
                watched.clear_readiness();
                watched.flow()
            }
            Err(error) => failed(error),
        }
    }

    fn take_watched(&mut self) -> Option<Box<dyn Any>> {
        self.watched.take().map(|watched| Box::new(watched) as Box<dyn Any>)
    }
}

/// Creates the callback `key` for a source that another callback has given up.
pub(super) fn adopt<S, T, F>(
    el: &LoopHandle<S>,
    key: Key,
    watched: Box<dyn Any>,
    callback: F,
) -> Option<Callback<S>>
where
    T: 'static,
    F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
{
    let mut watched = watched.downcast::<Watched<T>>().ok()?;
    if watched.is_removed() {
        // Before the source and the callback are dropped, which may use the handle.
        el.remove(key);
        return None;
    }
    watched.rename(key);
    Some(Callback::repeat(Watching { watched: Some(*watched), callback }))
}
