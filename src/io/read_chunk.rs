//! [`ReadChunk`]: bytes in a buffer that the loop lends.
//!
//! A waiting task has no buffer: it borrows the loop's buffer when there is something to read, and
//! returns it when the chunk is dropped. So most loops have one buffer, which all tasks and
//! transports use in turn, and which stays in the CPU cache.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::rc::Rc;

use super::transferred::Transferred;
use crate::task::{Tasks, current};

/// Size of the buffer outside a running loop.
const SIZE: usize = 64 * 1024;

/// Bytes of one read, in a buffer of the loop; empty at end of file.
///
/// Dropping the chunk returns the buffer to the loop. A chunk that is kept holds a whole [read
/// buffer](crate::EventLoopBuilder::read_buffer), and the loop allocates another one, so copy bytes
/// that are needed for longer.
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
    buffer: Box<[u8]>,
    length: usize,
    /// Not `Send`: the buffer goes back to a loop of this thread.
    local: PhantomData<Rc<Tasks>>,
}

impl ReadChunk {
    /// Takes a buffer of the running loop.
    #[inline]
    fn lend() -> ReadChunk {
        let lend = |tasks: &Tasks| (tasks.core.read_buffer.take(), tasks.core.settings.read_buffer);
        let (buffer, size) = current::with_running(lend).unwrap_or((Box::default(), SIZE));
        let mut chunk = ReadChunk { buffer, length: 0, local: PhantomData };
        if chunk.buffer.len() != size {
            chunk.buffer = vec![0; size].into(); // Another chunk has the buffer, or there was none yet.
        }
        chunk
    }

    /// Calls `read` with a buffer of the running loop.
    #[inline]
    pub(super) fn read(read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<ReadChunk> {
        let mut chunk = ReadChunk::lend();
        let length = read(&mut chunk.buffer)?;
        chunk.with_length(length)
    }

    /// Takes a buffer of the running loop for a user-defined reader. The buffer is cleared, so that
    /// a wrong count reveals no bytes of another connection.
    pub(super) fn cleared() -> ReadChunk {
        let mut chunk = ReadChunk::lend();
        chunk.buffer.fill(0);
        chunk
    }

    /// Returns the buffer, to read into it.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Returns the chunk with the first `length` bytes of its buffer.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the buffer has fewer.
    #[inline]
    pub(super) fn with_length(mut self, length: usize) -> io::Result<ReadChunk> {
        let size = self.buffer.len();
        if length > size {
            let message =
                format!("the source reports {length} bytes read into a buffer of {size} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.length = length;
        Ok(self)
    }

    #[inline]
    pub(super) fn transferred(&self) -> Transferred {
        Transferred::of(self.length, self.buffer.len())
    }
}

impl Drop for ReadChunk {
    #[inline]
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.buffer);
        current::with_running(|tasks| tasks.core.read_buffer.set(buffer));
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
        f.debug_tuple("ReadChunk").field(&&**self).finish()
    }
}
