//! Calls that move bytes of a stream, of which a short one is known to be the last.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll, ready};

use mainspring_sys::Interest;

use super::{Chunk, Io};

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
        self.call_with(interest, call, move |moved| 0 < *moved && *moved < wanted)
    }

    /// [`transfer`](Io::transfer) into a buffer of the loop.
    #[inline]
    pub(crate) fn transfer_chunk(
        &self,
        read: impl Fn(&T, &mut [u8]) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<Chunk>> {
        let call = move |source: &T| Chunk::read(|buffer| read(source, buffer));
        self.call_with(Interest::READABLE, call, Chunk::is_short)
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
            while !bytes.is_empty() {
                let is_short = |moved: &usize| 0 < *moved && *moved < bytes.len();
                let write = || write(&self.source, bytes);
                match ready!(waiter.poll_call(cx, write, is_short))? {
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
        self.poll_call_with(interest, cx, call, |moved| 0 < *moved && *moved < wanted)
    }
}
