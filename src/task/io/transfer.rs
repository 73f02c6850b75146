//! Calls that move bytes, and what their results say about the source.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll, ready};

use mainspring_sys::{Interest, Readiness};

use super::{Io, ReadChunk};
use crate::task::budget;

/// Size of a transfer that succeeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) bytes: usize,
    /// The call moved less than it was asked to, so the next one would block.
    pub(super) is_short: bool,
}

impl Moved {
    /// A call whose result says nothing of bytes.
    pub(super) const UNKNOWN: Moved = Moved { bytes: 0, is_short: false };

    /// A transfer that may stop short anywhere.
    #[inline]
    pub(super) fn bytes(bytes: usize) -> Moved {
        Moved { bytes, is_short: false }
    }

    /// A transfer that stops short only if the next one would block. Zero bytes are the end of the
    /// stream, and so is the next call.
    #[inline]
    pub(super) fn of(bytes: usize, wanted: usize) -> Moved {
        Moved { bytes, is_short: 0 < bytes && bytes < wanted }
    }
}

impl<T> Io<T> {
    /// Makes a call that moves bytes of a stream. If it moved fewer than `wanted`, the next one is
    /// known to block; unless it moved none, which is the end of file, and is so the next time.
    #[inline]
    pub(crate) fn transfer(
        &self,
        interest: Interest,
        wanted: usize,
        call: impl FnMut(&T) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<usize>> {
        self.call_with(interest, call, move |bytes| Moved::of(*bytes, wanted))
    }

    /// [`transfer`](Io::transfer) into a buffer of the loop.
    #[inline]
    pub(crate) fn transfer_chunk(
        &self,
        read: impl Fn(&T, &mut [u8]) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<ReadChunk>> {
        let call = move |source: &T| ReadChunk::read(|buffer| read(source, buffer));
        self.call_with(Interest::READABLE, call, ReadChunk::moved)
    }

    /// Writes all of `bytes` with a call that writes a part.
    #[inline]
    pub(crate) fn transfer_all(
        &self,
        mut bytes: &[u8],
        write: impl Fn(&T, &[u8]) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<()>> {
        let waiter = self.registration.waiter(Interest::WRITABLE);
        poll_fn(move |cx| {
            if bytes.is_empty() {
                return budget::metered(cx, |_| Poll::Ready(Ok(())));
            }
            while !bytes.is_empty() {
                let moved = |count: &usize| Moved::of(*count, bytes.len());
                let write = || write(&self.source, bytes);
                match ready!(waiter.poll_call(cx, write, moved))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => bytes = &bytes[count..],
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// [`transfer`](Io::transfer) for poll functions.
    #[inline]
    pub(crate) fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        wanted: usize,
        call: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_call_with(interest, cx, call, |bytes| Moved::of(*bytes, wanted))
    }
}

impl<T> Io<T> {
    /// [`ready`](Io::ready) for those who write futures by hand. The latest caller is woken, one for
    /// each direction: callers for [`Interest::WRITABLE`] are apart from all others.
    ///
    /// The readiness stays until a call through [`try_io`](Io::try_io) has met `WouldBlock`.
    ///
    /// ```
    /// use mainspring::{EventLoop, Interest, Io};
    /// use std::future::poll_fn;
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// let (reader, writer) = (Io::new(reader)?, Io::new(writer)?);
    /// let ready = EventLoop::new()?.run_until_complete(async {
    ///     let ready = poll_fn(|cx| writer.poll_ready(cx, Interest::WRITABLE)).await?;
    ///     writer.write(b"x").await?;
    ///     poll_fn(|cx| reader.poll_ready(cx, Interest::READABLE)).await?;
    ///     std::io::Result::Ok(ready)
    /// })??;
    /// assert!(ready.contains(mainspring::Readiness::WRITABLE));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ready`](Io::ready).
    pub fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<Readiness>> {
        self.registration.check(interest)?;
        self.registration.poll_ready(self.registration.poller(interest), interest, cx)
    }
}
