//! The traits [`AsyncRead`] and [`AsyncWrite`] for the streams and their halves.

use std::future::Future;
use std::io;

use super::connected::ConnectedSocket;
use super::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::tcp_stream::TcpStream;
use super::unix_stream::UnixStream;
use crate::io::{AsyncRead, AsyncWrite, ReadChunk};

/// Implements a trait for types that deref to [`ConnectedSocket`], owned or shared.
macro_rules! implement {
    (AsyncRead: $($type:ty),*) => {
        $(impl AsyncRead for $type {
            fn read_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                ConnectedSocket::read(self, buffer)
            }

            fn next_chunk(&mut self) -> impl Future<Output = io::Result<ReadChunk>> {
                ConnectedSocket::read_chunk(self)
            }
        })*
    };
    (AsyncWrite: $($type:ty),*) => {
        $(impl AsyncWrite for $type {
            fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
                ConnectedSocket::write(self, bytes)
            }

            async fn finish(&mut self) -> io::Result<()> {
                ConnectedSocket::shutdown_write(self)
            }
        })*
    };
}

implement!(AsyncRead: ConnectedSocket, TcpStream, UnixStream, OwnedReadHalf, ReadHalf<'_>);
implement!(AsyncRead: &ConnectedSocket, &TcpStream, &UnixStream, &OwnedReadHalf, &ReadHalf<'_>);
implement!(AsyncWrite: ConnectedSocket, TcpStream, UnixStream, OwnedWriteHalf, WriteHalf<'_>);
implement!(AsyncWrite: &ConnectedSocket, &TcpStream, &UnixStream, &OwnedWriteHalf, &WriteHalf<'_>);
