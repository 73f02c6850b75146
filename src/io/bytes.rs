//! Reading and writing of sources that implement `Read` and `Write` for a shared reference.

use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use mainspring_sys::Interest;
use mainspring_sys::error_class::end_of_terminal;
use mainspring_sys::socket::{self, PeerCredentials};

use super::read_chunk::ReadChunk;
use super::source::Io;
use super::transferred::Transferred;
use crate::awaits::located;
use crate::event_loop::read_buffer::is_plain_source;
use crate::task::budget;

impl<T: AsFd> Io<T>
where
    for<'a> &'a T: Read,
{
    /// Reads once, as soon as there is something to read. Returns 0 at end of file, and at the end
    /// of a pseudo terminal, for which Linux returns the error EIO.
    ///
    /// Cancel safe: if the future is dropped, nothing was read.
    ///
    /// # Errors
    ///
    /// The errors of the source, and of [`readable`](Io::readable).
    ///
    /// ```
    /// use mainspring::{EventLoop, Io};
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// let (reader, writer) = (Io::new(reader)?, Io::new(writer)?);
    /// let count = EventLoop::new()?.run_until_complete(async {
    ///     writer.write_all(b"hello").await?;
    ///     reader.read(&mut [0; 16]).await
    /// })??;
    /// assert_eq!(count, 5);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let read = move |source: &T| read(source, buffer);
        self.call_with(|| "read", Interest::READABLE, read, |bytes| Transferred::bytes(*bytes))
    }

    /// Reads once, as soon as there is something to read, into a buffer of the loop. An empty chunk
    /// means end of file.
    ///
    /// A waiting task has no buffer, so a million waiting tasks need little memory.
    ///
    /// Cancel safe: if the future is dropped, nothing was read.
    ///
    /// # Errors
    ///
    /// Same as [`read`](Io::read).
    pub fn read_chunk(&self) -> impl Future<Output = io::Result<ReadChunk>>
    where
        T: 'static,
    {
        let read = |source: &T| {
            ReadChunk::read(|buffer| {
                if !is_plain_source::<T>() {
                    // A user-defined source may report more bytes than it has written.
                    buffer.fill(0);
                }
                read(source, buffer)
            })
        };
        self.call_with(
            || "read_chunk",
            Interest::READABLE,
            read,
            |chunk| Transferred::bytes(chunk.len()),
        )
    }
}

/// Reads once. The error at the end of a terminal becomes 0.
pub(super) fn read<T: AsFd>(mut source: &T, buffer: &mut [u8]) -> io::Result<usize>
where
    for<'a> &'a T: Read,
{
    let read = source.read(buffer);
    end_of_terminal(source, read)
}

impl<T> Io<T>
where
    for<'a> &'a T: Write,
{
    /// Writes once, as soon as there is room. Returns the number of bytes written, which may be
    /// less than `bytes.len()`.
    ///
    /// Cancel safe: if the future is dropped, nothing was written.
    ///
    /// # Errors
    ///
    /// The errors of the source, and of [`writable`](Io::writable).
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        let write = move |mut source: &T| source.write(bytes);
        self.call_with(|| "write", Interest::WRITABLE, write, |bytes| Transferred::bytes(*bytes))
    }

    /// Writes all of `bytes`.
    ///
    /// Not cancel safe: if the future is dropped, a part of `bytes` may have been written.
    ///
    /// # Errors
    ///
    /// The errors of the source, `WriteZero` if the source accepts nothing, and the errors of
    /// [`writable`](Io::writable).
    pub fn write_all(&self, mut bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        located(|| "write_all", async move {
            // A step for an empty buffer, which makes no call.
            budget::step().await;
            while !bytes.is_empty() {
                match self.write(bytes).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => bytes = &bytes[count..],
                }
            }
            Ok(())
        })
    }
}

impl<T: AsFd> Io<T> {
    /// Returns the user and process ids of a Unix socket's peer, as of the time when it connected
    /// or listened.
    ///
    /// # Errors
    ///
    /// `Unsupported` for other sources, and on systems without such a call; `NotConnected`.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        socket::peer_credentials(self)
    }
}
