//! Crates of the ecosystem on this loop. Each program in `src/bin` uses one of them.
//!
//! They share [`Connection`], the stream of a client, and [`main`].

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use mainspring::net::{Address, TcpStream, UnixStream};
use mainspring::{EventLoop, ThreadBound};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// Result of the programs, which have errors of several crates.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A connected stream with tokio's traits.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl Stream for Compat<TcpStream> {}
impl Stream for Compat<UnixStream> {}

/// The connection of a client, with tokio's traits. A library may require that it is `Send`.
pub struct Connection(ThreadBound<Box<dyn Stream>>);

impl Connection {
    /// Connects to an address such as `127.0.0.1:6379` or `/run/postgresql/.s.PGSQL.5432`.
    ///
    /// # Errors
    ///
    /// Those of parsing the address and of connecting.
    pub async fn open(address: &str) -> mainspring::Result<Connection> {
        let stream: Box<dyn Stream> = match address.parse()? {
            Address::Inet(address) => Box::new(TcpStream::connect(address).await?.compat()),
            Address::Unix(address) => Box::new(UnixStream::connect(address).await?.compat()),
        };
        Ok(Connection(ThreadBound::new(stream)))
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        Pin::new(&mut **self.0.get_mut())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Runs a program on a new loop. Prints its error, with all causes.
pub fn main(program: &str, future: impl Future<Output = Result<()>>) -> ExitCode {
    let ended = EventLoop::new().and_then(|mut el| el.run_until_complete(future));
    match ended.unwrap_or_else(|error| Err(error.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {}", mainspring::Error::other(error).chain());
            ExitCode::FAILURE
        }
    }
}
