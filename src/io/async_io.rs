//! The traits of readers and writers that tasks can copy and buffer.

use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use mainspring_sys::socket;

use super::read_chunk::ReadChunk;
use super::source::Io;

/// A reader of bytes, for [`copy`](super::copy()) and [`BufReader`](super::BufReader).
///
/// The streams of [`net`](crate::net), their halves, [`Io`] and `BufReader` are readers. So are
/// references to streams and to `Io`, because these read through a shared reference: `copy(&a, &b)`
/// does not consume them. Import the trait only to implement it, or for generic code: the streams
/// have methods with other names for the same operations.
///
/// ```
/// use mainspring::io::{AsyncRead, BufReader};
/// use std::io;
///
/// /// Reads at most so many bytes.
/// struct Take<R>(R, usize);
///
/// impl<R: AsyncRead> AsyncRead for Take<R> {
///     async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
///         let room = buffer.len().min(self.1);
///         let count = self.0.read_some(&mut buffer[..room]).await?;
///         self.1 -= count;
///         Ok(count)
///     }
/// }
///
/// let (ours, theirs) = mainspring::net::UnixStream::pair()?;
/// let mut el = mainspring::EventLoop::new()?;
/// let line = el.run_until_complete(async {
///     theirs.write_all(b"one line\nand more").await?;
///     BufReader::new(Take(&ours, 12)).lines().next_line().await
/// })??;
/// assert_eq!(line.as_deref(), Some("one line"));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub trait AsyncRead {
    /// Reads once, as soon as there is input. Returns the number of bytes; 0 is end of file.
    ///
    /// Implementations must be cancel safe: a future that is dropped before it completes has read
    /// nothing.
    ///
    /// # Errors
    ///
    /// The errors of the reader.
    fn read_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>>;

    /// Reads once, as soon as there is input, into a buffer of the loop. An empty chunk is end of
    /// file.
    ///
    /// The default holds the buffer while it waits. The streams of this crate hold none.
    ///
    /// # Errors
    ///
    /// The errors of [`read_some`](AsyncRead::read_some); `InvalidData` if it returns more bytes
    /// than the buffer has.
    fn next_chunk(&mut self) -> impl Future<Output = io::Result<ReadChunk>> {
        async {
            let mut chunk = ReadChunk::cleared();
            let count = self.read_some(chunk.room()).await?;
            chunk.with_length(count)
        }
    }
}

/// A writer of bytes, for [`copy`](super::copy()). Implemented by the same types as [`AsyncRead`],
/// except read halves.
pub trait AsyncWrite {
    /// Writes once, as soon as there is room. Returns the number of bytes written.
    ///
    /// Implementations must be cancel safe: a future that is dropped before it completes has
    /// written nothing.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>>;

    /// Flushes the bytes that the writer has accepted and still holds. The default does nothing,
    /// for unbuffered writers.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        async { Ok(()) }
    }

    /// Ends the output: the peer reads end of file after the last byte. Reading continues.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>>;
}

impl<R: AsyncRead> AsyncRead for &mut R {
    fn read_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        R::read_some(self, buffer)
    }

    fn next_chunk(&mut self) -> impl Future<Output = io::Result<ReadChunk>> {
        R::next_chunk(self)
    }
}

impl<W: AsyncWrite> AsyncWrite for &mut W {
    fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        W::write_some(self, bytes)
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        W::flush(self)
    }

    fn finish(&mut self) -> impl Future<Output = io::Result<()>> {
        W::finish(self)
    }
}

/// Implements the traits for an [`Io`], owned or shared.
macro_rules! implement {
    ($type:ty) => {
        impl<T: AsFd + 'static> AsyncRead for $type
        where
            for<'a> &'a T: Read,
        {
            fn read_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                Io::read(self, buffer)
            }

            fn next_chunk(&mut self) -> impl Future<Output = io::Result<ReadChunk>> {
                Io::read_chunk(self)
            }
        }

        /// [`finish`](AsyncWrite::finish) shuts down sockets. The reader of a pipe
        /// gets end of file when the `Io` is dropped.
        impl<T: AsFd> AsyncWrite for $type
        where
            for<'a> &'a T: Write,
        {
            fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
                Io::write(self, bytes)
            }

            fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
                self.write_with(|mut source| source.flush())
            }

            async fn finish(&mut self) -> io::Result<()> {
                AsyncWrite::flush(self).await?;
                socket::shutdown_write_if_connected(self)
            }
        }
    };
}

implement!(Io<T>);
implement!(&Io<T>);
