//! Copying from readers to writers, in one direction and in both.

use std::future::Future;
use std::io;
use std::pin::pin;

use super::async_io::{AsyncRead, AsyncWrite};
use super::both::both;
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::task::budget;

/// Copies everything from `reader` to `writer`, until end of file. Returns the number of bytes.
///
/// The arguments may be references: shared ones for streams and [`Io`](crate::Io), `&mut` for other
/// types. A writer that is passed by value is dropped at the end, which closes a pipe. Otherwise
/// the output is not shut down, so another copy may follow.
///
/// While there is no input, the copy holds no buffer. While the writer is slow, it holds one [read
/// buffer](crate::EventLoopBuilder::read_buffer), and reads nothing more.
///
/// In one tick it begins no read after 256 KiB, so other tasks and callbacks run in between.
///
/// # Cancel safety
///
/// Dropping the future may lose bytes that were read but not written yet, so end the conversation.
/// The same holds after an error of the writer.
///
/// # Errors
///
/// [`Error::Copy`] with the operation that failed, and the number of bytes written until then. Its
/// kind is `InvalidData` if a reader or a writer reports more bytes than it was given.
///
/// ```
/// use mainspring::{EventLoop, Io, io::copy, net::UnixStream};
/// use std::io::Write;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// writer.write_all(b"from a pipe")?;
/// drop(writer);
/// let (ours, theirs) = UnixStream::pair()?;
/// EventLoop::new()?.run_until_complete(async {
///     assert_eq!(copy(Io::new(reader)?, &ours).await?, 11);
///     assert_eq!(&theirs.read_chunk().await?[..], b"from a pipe");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn copy<R: AsyncRead, W: AsyncWrite>(
    mut reader: R,
    mut writer: W,
) -> impl Future<Output = Result<u64>> {
    located(|| "copy", async move { copy_all(&mut reader, &mut writer).await })
}

async fn copy_all<R: AsyncRead, W: AsyncWrite>(reader: &mut R, writer: &mut W) -> Result<u64> {
    let mut copied = 0;
    let failed = |operation, copied| move |source| Error::Copy { operation, copied, source };
    loop {
        budget::step().await; // A user-defined reader and writer may take none.
        let chunk = reader.next_chunk().await.map_err(failed("read", copied))?;
        if chunk.is_empty() {
            return Ok(copied);
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let written = writer.write_some(rest).await.and_then(|count| after(rest, count));
            let left = written.map_err(failed("write", copied))?;
            copied += (rest.len() - left.len()) as u64;
            rest = left;
        }
        writer.flush().await.map_err(failed("write", copied))?;
    }
}

/// Returns the bytes after the first `count`, which a writer has accepted.
fn after(bytes: &[u8], count: usize) -> io::Result<&[u8]> {
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    bytes.get(count..).ok_or_else(|| {
        let message = format!("the writer reports {count} bytes written of {}", bytes.len());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Copies in both directions between two streams, until both have ended. Returns the number of
/// bytes from `a` to `b`, and from `b` to `a`.
///
/// The end of one direction is propagated by shutting down the other stream's output (half-close),
/// while the other direction continues. Each direction holds a buffer only while its writer is
/// slow.
///
/// The streams stay open at the end, but both of their outputs are shut down.
///
/// # Cancel safety
///
/// Like [`copy`], for each direction. To limit the time, put the call into a
/// [`timeout`](crate::timeout), and drop both streams after it.
///
/// # Errors
///
/// [`Error::Copy`], at the first error of either direction. The other direction ends at once: a
/// peer that has reset its connection accepts nothing further. Drop both streams then.
///
/// ```
/// use mainspring::io::copy_bidirectional;
/// use mainspring::{EventLoop, net::UnixStream, spawn};
///
/// let mut el = EventLoop::new()?;
/// let counts = el.run_until_complete(async {
///     let (client, front) = UnixStream::pair()?;
///     let (back, server) = UnixStream::pair()?;
///     let proxy = spawn(async move { copy_bidirectional(&front, &back).await });
///     client.write_all(b"question").await?;
///     client.shutdown_write()?;
///     let mut question = Vec::new();
///     server.read_to_end(&mut question).await?;
///     server.write_all(b"answer").await?;
///     drop(server);
///     let mut answer = Vec::new();
///     client.read_to_end(&mut answer).await?;
///     assert_eq!((&question[..], &answer[..]), (&b"question"[..], &b"answer"[..]));
///     proxy.await?
/// })??;
/// assert_eq!(counts, (8, 6));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> impl Future<Output = Result<(u64, u64)>>
where
    for<'a> &'a A: AsyncRead + AsyncWrite,
    for<'b> &'b B: AsyncRead + AsyncWrite,
{
    located(|| "copy_bidirectional", async move {
        both(pin!(copy_to_end(a, b)), pin!(copy_to_end(b, a))).await
    })
}

/// Copies everything, and then shuts down the writer.
async fn copy_to_end<R: AsyncRead, W: AsyncWrite>(mut reader: R, mut writer: W) -> Result<u64> {
    let copied = copy_all(&mut reader, &mut writer).await?;
    match writer.finish().await {
        // The other peer has ended the whole connection. Its direction gets the reason.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(copied),
        Err(source) => Err(Error::Copy { operation: "shut down", copied, source }),
        Ok(()) => Ok(copied),
    }
}
