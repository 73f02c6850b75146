//! The traits `AsyncRead` and `AsyncWrite` of the crate `futures-io` for the sockets of tasks.
//!
//! Only the latest caller of each direction is woken, as these traits require. Tasks that read the
//! same socket together use its methods instead.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::connected::ConnectedSocket;
use super::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::tcp_stream::TcpStream;
use super::unix_stream::UnixStream;

macro_rules! read {
    ($($type:ty),*) => {$(
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                ConnectedSocket::poll_read(&self, cx, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                ConnectedSocket::poll_read_vectored(&self, cx, buffers)
            }
        }
    )*};
}

macro_rules! write {
    ($($type:ty),*) => {$(
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                ConnectedSocket::poll_write(&self, cx, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                ConnectedSocket::poll_write_vectored(&self, cx, slices)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown_write())
            }
        }
    )*};
}

read!(TcpStream, &TcpStream, UnixStream, &UnixStream, ReadHalf<'_>, OwnedReadHalf);
write!(TcpStream, &TcpStream, UnixStream, &UnixStream, WriteHalf<'_>, OwnedWriteHalf);
