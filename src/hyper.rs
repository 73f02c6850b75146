//! hyper on this loop: clients and servers with the streams, tasks and timers of this crate.
//!
//! With the feature `hyper`, [`TcpStream`] and [`UnixStream`] implement hyper's traits for
//! transports. [`LoopExecutor`] is its executor, and [`LoopTimer`] its timer.
//!
//! ```
//! use std::time::Duration;
//!
//! use hyper::rt::Timer;
//! use mainspring::EventLoop;
//! use mainspring::hyper::LoopTimer;
//!
//! let mut el = EventLoop::new()?;
//! let began = el.now();
//! let wait = Duration::from_millis(2);
//! el.run_until_complete(async move { LoopTimer.sleep(wait).await })?;
//! assert!(el.now() - began >= wait);
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! A server passes an accepted stream to hyper as it is, and so does a client after connecting:
//!
//! ```text
//! let mut server = hyper::server::conn::http1::Builder::new();
//! server.timer(LoopTimer).serve_connection(stream, service).await?;
//!
//! let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
//! mainspring::spawn(connection).detach();
//! let response = sender.send_request(request).await?;
//! ```
//!
//! `examples/hyper_server` in the source repository is a complete server.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};

use crate::awaits::pending;
use crate::net::{TcpStream, UnixStream};
use crate::task::{TimerFuture, current_loop, spawn};

/// An executor for hyper, which spawns tasks on the running loop.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoopExecutor;

impl<F> Executor<F> for LoopExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        spawn(future).detach_discarding();
    }
}

/// A timer for hyper, with the time of the running loop.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoopTimer;

impl LoopTimer {
    fn now() -> Instant {
        current_loop().map_or_else(|_| Instant::now(), |el| el.now())
    }
}

impl Timer for LoopTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(TimerFuture::after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(TimerFuture::at(deadline)))
    }

    fn now(&self) -> Instant {
        LoopTimer::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleeping>() {
            Some(sleeping) => sleeping.get_mut().0.reset_at(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A [`Sleep`](crate::Sleep) that is `Send`, because hyper requires it. Its connections stay on the
/// thread of their loop nevertheless.
struct Sleeping(TimerFuture);

impl Future for Sleeping {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        pending(|| "sleep", self.0.poll(cx.waker()))
    }
}

impl Sleep for Sleeping {}

/// Implements hyper's traits for a type of stream.
macro_rules! transport {
    ($stream:ty) => {
        impl Read for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buffer: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                self.poll_read_shared(cx, buffer.remaining(), |bytes| buffer.put_slice(bytes))
            }
        }

        impl Write for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                (**self).poll_write(cx, bytes)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown_write())
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_slices(cx, slices)
            }
        }
    };
}

transport!(TcpStream);
transport!(UnixStream);
