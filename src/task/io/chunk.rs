//! Bytes that were read, in a buffer that the loop lends out.
//!
//! A task that waits has no buffer: it gets one when there is something to put into it, and gives it
//! back when it has done with that. So most loops have one, which all tasks and transports use in
//! turn, and which stays in the cache.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::rc::Rc;

use super::transfer::Moved;
use crate::task::current;
use crate::task::tasks::Tasks;

/// Where no loop runs that would say how large a buffer is.
const SIZE: usize = 64 * 1024;

/// What was read at once; nothing is the end of file. It is in a buffer of the loop, which gets that
/// back when this is dropped.
///
/// Whoever keeps it for long keeps a whole [read buffer](crate::EventLoopBuilder::read_buffer), and another
/// one is made for the others meanwhile; copy what is to stay.
///
/// ```
/// use mainspring::{EventLoop, Io};
///
/// let (reader, mut writer) = std::io::pipe()?;
/// let reader = Io::new(reader)?;
/// std::io::Write::write_all(&mut writer, b"hello")?;
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async move {
///     let chunk = reader.read_chunk().await?;
///     assert_eq!(&chunk[..], b"hello");
///     drop(writer);
///     assert!(reader.read_chunk().await?.is_empty());
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct ReadChunk {
    buffer: Vec<u8>,
    length: usize,
    /// Its loop is one of this thread.
    local: PhantomData<Rc<Tasks>>,
}

impl ReadChunk {
    /// What `read` puts into a buffer.
    #[inline]
    pub(super) fn read(read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<ReadChunk> {
        let lend = |tasks: &Tasks| (tasks.core.read_buffer.take(), tasks.core.limits.read_buffer);
        let (buffer, size) = current::ask(lend).unwrap_or((Vec::new(), SIZE));
        let mut chunk = ReadChunk { buffer, length: 0, local: PhantomData };
        if chunk.buffer.len() != size {
            chunk.buffer = vec![0; size]; // Somebody else has it, or nobody had one yet.
        }
        let length = read(&mut chunk.buffer)?;
        if length > size {
            let message = format!("the source claims {length} bytes in a buffer of {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        chunk.length = length;
        Ok(chunk)
    }

    #[inline]
    pub(super) fn moved(&self) -> Moved {
        Moved::of(self.length, self.buffer.len())
    }
}

impl Drop for ReadChunk {
    #[inline]
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.buffer);
        current::ask(|tasks| tasks.core.read_buffer.set(buffer));
    }
}

impl Deref for ReadChunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl AsRef<[u8]> for ReadChunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ReadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chunk").field(&&**self).finish()
    }
}
