//! The read buffer: one per loop, because one per connection would take 400 MB for 8,000 idle
//! connections.

use std::any::TypeId;
use std::fs::File;
use std::io::PipeReader;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;

use super::loop_core::LoopCore;

/// The read buffer while it is in use. The drop gives it back.
pub(crate) struct ReadBuffer<'a> {
    core: &'a LoopCore,
    bytes: Box<[u8]>,
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
    /// Takes the read buffer of the loop. A nested call gets a fresh one.
    #[inline]
    pub(crate) fn of(core: &LoopCore) -> ReadBuffer<'_> {
        let mut bytes = core.read_buffer.take();
        if bytes.len() != core.settings.read_buffer {
            // The first use in this loop, or a nested one.
            bytes = vec![0; core.settings.read_buffer].into();
        }
        ReadBuffer { core, bytes }
    }
}

/// Returns true for types of std with a read that is one system call: they hold no bytes, and fill
/// all bytes that they report. For any other type a used buffer is cleared before the read, so that
/// a wrong count does not reveal bytes of another connection.
pub(crate) fn is_plain_source<T: 'static>() -> bool {
    let types = [
        TypeId::of::<TcpStream>(),
        TypeId::of::<UnixStream>(),
        TypeId::of::<File>(),
        TypeId::of::<PipeReader>(),
    ];
    types.contains(&TypeId::of::<T>())
}
