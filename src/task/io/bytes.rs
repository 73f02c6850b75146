//! Sources that can be read and written through a shared reference.

use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use mainspring_sys::Interest;
use mainspring_sys::everyday::end_of_terminal;
use mainspring_sys::socket::{self, PeerCredentials};

use super::transfer::Moved;
use super::{Io, ReadChunk};
use crate::event_loop::read_buffer::is_plain_source;
use crate::task::budget;

impl<T: AsFd> Io<T>
where
    for<'a> &'a T: Read,
{
    /// Reads once, as soon as there is something; 0 is end of file. So is the end of a pseudo
    /// terminal, for which Linux has the error EIO.
    ///
    /// # Errors
    ///
    /// Those of the source, and of [`readable`](Io::readable).
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |source: &T| read(source, buffer);
        self.call_with(Interest::READABLE, read, |bytes| Moved::bytes(*bytes)).await
    }

    /// Reads once, as soon as there is something, into a buffer that the loop lends for that; what
    /// is empty is end of file. A task that waits has no buffer, so a million of them are cheap.
    ///
    /// # Errors
    ///
    /// As [`read`](Io::read).
    pub fn read_chunk(&self) -> impl Future<Output = io::Result<ReadChunk>>
    where
        T: 'static,
    {
        let read = |source: &T| {
            ReadChunk::read(|buffer| {
                if !is_plain_source::<T>() {
                    buffer.fill(0); // It may claim more than it writes.
                }
                read(source, buffer)
            })
        };
        self.call_with(Interest::READABLE, read, |chunk| Moved::bytes(chunk.len()))
    }
}

/// Reads once; the end of a terminal is an end.
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
    /// Writes once, as soon as there is room; the answer may be less than `bytes.len()`.
    ///
    /// # Errors
    ///
    /// Those of the source, and of [`readable`](Io::readable).
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = |mut source: &T| source.write(bytes);
        self.call_with(Interest::WRITABLE, write, |bytes| Moved::bytes(*bytes)).await
    }

    /// Writes all of `bytes`. If the future is dropped, a part of them may have been written.
    ///
    /// # Errors
    ///
    /// Those of the source, `WriteZero` if it takes nothing more, and those of
    /// [`readable`](Io::readable).
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        budget::step().await;
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }
}

impl<T: AsFd> Io<T> {
    /// Returns the user and the process of the peer of a Unix socket, as the kernel wrote them down
    /// when it connected or listened.
    ///
    /// # Errors
    ///
    /// `Unsupported` for other sources, and where the system has no such call; `NotConnected`.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        socket::peer_credentials(self)
    }
}
