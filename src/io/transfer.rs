//! Transfers of bytes for the sockets of `net`. A short transfer means that the next one would
//! block.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};

use mainspring_sys::Interest;

use super::read_chunk::ReadChunk;
use super::source::Io;
use super::transferred::Transferred;
use super::waiter::Waiter;
use crate::awaits::await_fn;
use crate::task::budget;

impl<T> Io<T> {
    /// Makes a call that moves bytes of a stream. If it moves fewer than `requested`, the next one
    /// would block; except for zero bytes, the end of the file, which the next call reports again.
    #[inline]
    pub(crate) fn transfer(
        &self,
        name: impl Fn() -> &'static str,
        interest: Interest,
        requested: usize,
        call: impl FnMut(&T) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<usize>> {
        self.call_with(name, interest, call, move |bytes| Transferred::of(*bytes, requested))
    }

    /// Like [`transfer`](Io::transfer), but reads into a buffer of the loop.
    #[inline]
    pub(crate) fn transfer_chunk(
        &self,
        read: impl Fn(&T, &mut [u8]) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<ReadChunk>> {
        let call = move |source: &T| ReadChunk::read(|buffer| read(source, buffer));
        self.call_with(|| "read_chunk", Interest::READABLE, call, ReadChunk::transferred)
    }

    /// Writes all of `bytes` by calls that each write a part.
    #[inline]
    pub(crate) fn transfer_all(
        &self,
        mut bytes: &[u8],
        write: impl Fn(&T, &[u8]) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<()>> {
        let waiter = Waiter::new(&self.registration, Interest::WRITABLE);
        await_fn(
            || "write_all",
            move |cx| {
                // An empty write makes no call, but still takes a step of the budget.
                if bytes.is_empty() {
                    return budget::metered(cx, |_| Poll::Ready(Ok(())));
                }
                while !bytes.is_empty() {
                    let transferred = |count: &usize| Transferred::of(*count, bytes.len());
                    let write = || write(&self.source, bytes);
                    match ready!(waiter.poll_call(cx, write, transferred))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        count => bytes = &bytes[count..],
                    }
                }
                Poll::Ready(Ok(()))
            },
        )
    }

    /// Makes a call that moves an unknown number of bytes. A task waits for `name`.
    #[inline]
    pub(crate) fn call<R>(
        &self,
        name: impl Fn() -> &'static str,
        interest: Interest,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.call_with(name, interest, call, |_| Transferred::UNKNOWN)
    }

    /// Makes a call that moves bytes and may stop short for any reason.
    pub(crate) fn transfer_part(
        &self,
        name: impl Fn() -> &'static str,
        interest: Interest,
        call: impl FnMut(&T) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<usize>> {
        self.call_with(name, interest, call, |bytes| Transferred::bytes(*bytes))
    }

    /// Makes a call that moves datagrams. `length` returns the number of their bytes.
    #[inline]
    pub(crate) fn transfer_datagrams<R>(
        &self,
        name: impl Fn() -> &'static str,
        interest: Interest,
        call: impl FnMut(&T) -> io::Result<R>,
        length: impl Fn(&R) -> usize,
    ) -> impl Future<Output = io::Result<R>> {
        self.call_with(name, interest, call, move |moved| Transferred::datagrams(length(moved)))
    }

    /// Makes a call that moves bytes of a stream and something else. It may stop short for any
    /// reason.
    pub(crate) fn transfer_with<R>(
        &self,
        interest: Interest,
        call: impl FnMut(&T) -> io::Result<(usize, R)>,
    ) -> impl Future<Output = io::Result<(usize, R)>> {
        self.call_with(|| "recv_fds", interest, call, |(bytes, _)| Transferred::bytes(*bytes))
    }

    /// Like [`transfer`](Io::transfer), for poll functions.
    #[inline]
    #[track_caller]
    pub(crate) fn poll_transfer(
        &self,
        name: impl Fn() -> &'static str,
        cx: &mut Context<'_>,
        interest: Interest,
        requested: usize,
        call: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_call_with(name, interest, cx, call, |bytes| Transferred::of(*bytes, requested))
    }

    /// Like [`transfer_part`](Io::transfer_part), for poll functions.
    #[inline]
    #[track_caller]
    pub(crate) fn poll_transfer_part(
        &self,
        name: impl Fn() -> &'static str,
        cx: &mut Context<'_>,
        interest: Interest,
        call: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_call_with(name, interest, cx, call, |bytes| Transferred::bytes(*bytes))
    }
}
