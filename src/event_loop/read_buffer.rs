//! The read buffer: one for the whole loop, so that an idle connection has none.

use std::ops::{Deref, DerefMut};

use super::core::Core;

/// The read buffer, while somebody uses it.
pub(crate) struct ReadBuffer<'a> {
    core: &'a Core,
    bytes: Vec<u8>,
}

impl Deref for ReadBuffer<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for ReadBuffer<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for ReadBuffer<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.read_buffer.set(std::mem::take(&mut self.bytes));
    }
}

impl ReadBuffer<'_> {
    #[inline]
    pub(crate) fn of(core: &Core) -> ReadBuffer<'_> {
        let mut bytes = core.read_buffer.take();
        if bytes.len() != core.limits.read_buffer {
            bytes = vec![0; core.limits.read_buffer]; // The first of this loop.
        }
        ReadBuffer { core, bytes }
    }
}
