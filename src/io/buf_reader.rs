//! A reader with a buffer: lines, and parts that end with a delimiter.

use std::future::Future;
use std::io;
use std::str;

use super::async_io::{AsyncRead, AsyncWrite};
use super::read_chunk::ReadChunk;
use crate::awaits::located;
use crate::task::budget;

/// Default limit of a line in bytes.
const LIMIT: usize = 64 * 1024;
/// Capacity that an empty buffer keeps, in bytes.
const KEPT_CAPACITY: usize = 4 * 1024;

/// A reader that buffers its input, to read lines and other delimited parts.
///
/// It wraps any [`AsyncRead`]: a stream of [`net`](crate::net), an [`Io`](crate::Io), or a
/// reference to one. Only unread input is held, so an idle reader needs almost no memory.
///
/// A part is at most as long as the [limit](BufReader::set_limit), so a peer that sends no
/// delimiter cannot fill the memory. The default is 64 KiB.
///
/// # Cancel safety
///
/// A future that is dropped, for example by a [`timeout`](crate::timeout), loses no input: the
/// bytes read of an incomplete part stay in the buffer.
///
/// ```
/// use mainspring::{EventLoop, io::BufReader, net::UnixStream};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// EventLoop::new()?.run_until_complete(async {
///     theirs.write_all(b"GET / HTTP/1.0\r\nHost: example\r\n\r\nbody").await?;
///     drop(theirs);
///     let mut lines = BufReader::new(&ours).lines();
///     while let Some(line) = lines.next_line().await? {
///         if line.is_empty() {
///             break;
///         }
///     }
///     assert_eq!(lines.into_inner().buffer(), b"body");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct BufReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Number of bytes at the start of `buffer` that were read by the user.
    consumed: usize,
    limit: usize,
}

impl<R> BufReader<R> {
    /// Creates a reader with the default limit.
    pub fn new(source: R) -> BufReader<R> {
        BufReader::with_limit(LIMIT, source)
    }

    /// Creates a reader for parts of at most `limit` bytes, without their delimiter.
    pub fn with_limit(limit: usize, source: R) -> BufReader<R> {
        BufReader { source, buffer: Vec::new(), consumed: 0, limit }
    }

    /// Sets the limit of a part in bytes, without its delimiter. `usize::MAX` means no limit.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns the limit of a part in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the input that was read from the source but not consumed yet.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Marks the first `count` bytes of the [buffer](BufReader::buffer) as read.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[track_caller]
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.buffer().len(), "{count} bytes are more than the buffer has");
        self.consumed += count;
        if self.consumed == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_CAPACITY);
            self.consumed = 0;
        }
    }

    /// Returns the source. Input in the buffer has already been read from it.
    pub fn get_ref(&self) -> &R {
        &self.source
    }

    /// Returns the source. Input in the [buffer](BufReader::buffer) is dropped.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// Returns a reader of lines.
    pub fn lines(self) -> Lines<R> {
        Lines { reader: self }
    }

    /// Moves the input to the front of the buffer, and appends `bytes`.
    fn append(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    fn too_long(&self) -> io::Error {
        let message = format!("no delimiter within the limit of {} bytes", self.limit);
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

impl<R: AsyncRead> BufReader<R> {
    /// Reads once: from the buffer, or if it is empty, from the source. Returns the number of
    /// bytes; 0 is end of file.
    ///
    /// # Errors
    ///
    /// The errors of the source.
    pub fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        located(|| "read", async move {
            if self.buffer().is_empty() {
                return self.source.read_some(buffer).await;
            }
            budget::step().await;
            let buffered = self.buffer();
            let count = buffered.len().min(buffer.len());
            buffer[..count].copy_from_slice(&buffered[..count]);
            self.consume(count);
            Ok(count)
        })
    }

    /// Reads up to the next `delimiter`, and appends the bytes with the delimiter to `buffer`.
    /// Returns their number. Only the last part may have no delimiter; 0 is end of file.
    ///
    /// ```
    /// use mainspring::{EventLoop, Io, io::BufReader};
    /// use std::io::Write;
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// writer.write_all(b"key=value")?;
    /// drop(writer);
    /// let mut reader = BufReader::new(Io::new(reader)?);
    /// EventLoop::new()?.run_until_complete(async {
    ///     let mut part = Vec::new();
    ///     assert_eq!(reader.read_until(b'=', &mut part).await?, 4);
    ///     assert_eq!(reader.read_until(b'=', &mut part).await?, 5);
    ///     assert_eq!(reader.read_until(b'=', &mut part).await?, 0);
    ///     assert_eq!(part, b"key=value");
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidData` if the part is longer than the limit. It stays in the buffer, and the next
    /// call returns the same error, unless the limit is raised or the bytes are
    /// [consumed](BufReader::consume). Otherwise the errors of the source.
    pub fn read_until(
        &mut self,
        delimiter: u8,
        buffer: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> {
        located(|| "read_until", async move {
            let length = self.find(delimiter).await?;
            buffer.extend_from_slice(&self.buffer()[..length]);
            self.consume(length);
            Ok(length)
        })
    }

    /// Reads a line, and appends it with its `\n` to `line`. Returns its length in bytes; 0 is end
    /// of file.
    ///
    /// # Errors
    ///
    /// Same as [`read_until`](BufReader::read_until), and `InvalidData` for a line that is not
    /// UTF-8. That line stays in the buffer, where `read_until` can read it.
    pub fn read_line(&mut self, line: &mut String) -> impl Future<Output = io::Result<usize>> {
        located(|| "read_line", async move {
            let length = self.find(b'\n').await?;
            line.push_str(text(&self.buffer()[..length])?);
            self.consume(length);
            Ok(length)
        })
    }

    /// Reads until the buffer begins with a whole part. Returns its length with the delimiter.
    async fn find(&mut self, delimiter: u8) -> io::Result<usize> {
        budget::step().await; // For parts that are in the buffer already.
        let mut searched = 0;
        loop {
            let fresh = &self.buffer()[searched..];
            if let Some(at) = fresh.iter().position(|byte| *byte == delimiter) {
                let before = searched + at;
                return if before > self.limit { Err(self.too_long()) } else { Ok(before + 1) };
            }
            searched += fresh.len();
            if searched > self.limit {
                return Err(self.too_long());
            }
            let chunk = self.source.next_chunk().await?;
            if chunk.is_empty() {
                return Ok(searched); // The last part.
            }
            self.append(&chunk);
        }
    }
}

fn text(line: &[u8]) -> io::Result<&str> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    str::from_utf8(line).map_err(invalid)
}

/// Reads from the buffer first, and then from the source.
impl<R: AsyncRead> AsyncRead for BufReader<R> {
    fn read_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.read(buffer)
    }

    async fn next_chunk(&mut self) -> io::Result<ReadChunk> {
        if self.buffer().is_empty() {
            return self.source.next_chunk().await;
        }
        let mut chunk = ReadChunk::cleared();
        let count = self.read(chunk.room()).await?;
        chunk.with_length(count)
    }
}

/// Writes directly to the source.
impl<W: AsyncWrite> AsyncWrite for BufReader<W> {
    fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.source.write_some(bytes)
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        self.source.flush()
    }

    fn finish(&mut self) -> impl Future<Output = io::Result<()>> {
        self.source.finish()
    }
}

/// The lines of a [`BufReader`], returned by [`BufReader::lines`].
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
}

impl<R: AsyncRead> Lines<R> {
    /// Returns the next line, without its `\n` or `\r\n`; `None` at end of file. The last line may
    /// have no `\n`.
    ///
    /// Cancel safe: a dropped future loses no input.
    ///
    /// # Errors
    ///
    /// Same as [`BufReader::read_line`].
    pub fn next_line(&mut self) -> impl Future<Output = io::Result<Option<String>>> {
        located(|| "next_line", async move {
            let reader = &mut self.reader;
            let length = reader.find(b'\n').await?;
            if length == 0 {
                return Ok(None);
            }
            let line = text(&reader.buffer()[..length])?;
            let line = match line.strip_suffix('\n') {
                Some(line) => line.strip_suffix('\r').unwrap_or(line),
                None => line,
            };
            let line = line.to_owned();
            reader.consume(length);
            Ok(Some(line))
        })
    }

    /// Returns the reader, with the input that was not read yet.
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b5_an_empty_buffer_gives_its_memory_back() {
        let mut reader = BufReader::new(());
        reader.append(&[b'x'; 60_000]);
        reader.consume(50_000);
        reader.append(&[b'y'; 60_000]);
        assert_eq!(reader.buffer().len(), 70_000, "read input makes room");
        reader.consume(70_000);
        assert!(reader.buffer.capacity() <= KEPT_CAPACITY);
    }
}
