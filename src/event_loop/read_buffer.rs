//! The read buffer: one for the whole loop, so that an idle connection has none.

use std::any::TypeId;
use std::fs::File;
use std::io::PipeReader;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;

use super::loop_core::LoopCore;

/// The read buffer, while somebody uses it.
pub(crate) struct ReadBuffer<'a> {
    core: &'a LoopCore,
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
    pub(crate) fn of(core: &LoopCore) -> ReadBuffer<'_> {
        let mut bytes = core.read_buffer.take();
        if bytes.len() != core.limits.read_buffer {
            bytes = vec![0; core.limits.read_buffer]; // The first of this loop.
        }
        ReadBuffer { core, bytes }
    }
}

/// True for types of std whose reads are one system call: they hold no bytes, and write all that
/// they claim. A buffer that others have used is cleared before any other type reads into it.
pub(crate) fn is_plain_source<T: 'static>() -> bool {
    let types = [
        TypeId::of::<TcpStream>(),
        TypeId::of::<UnixStream>(),
        TypeId::of::<File>(),
        TypeId::of::<PipeReader>(),
    ];
    types.contains(&TypeId::of::<T>())
}
