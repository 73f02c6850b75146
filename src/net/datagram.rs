//! The parts that datagram sockets share: common methods, and sending, which waits for readiness
//! or, where the kernel does not report room, pauses.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use mainspring_sys::Interest;
use mainspring_sys::error_class::{ErrorClass, Operation, classify};
use mainspring_sys::socket::{
    self, Address, BindOptions, DatagramBatch, DatagramFeatures, Outgoing, SendBatch, SendProgress,
};

use crate::error::{Error, Result};
use crate::io::Io;
use crate::task::{budget, current, sleep};

/// The first pause. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_millis(64);

/// Opens a datagram socket that is bound to `address`.
pub(super) fn bind(address: &Address, options: &BindOptions) -> Result<OwnedFd> {
    socket::bind_datagram(address, options)
        .map_err(|source| Error::Bind { address: address.to_string(), source })
}

/// Returns the pause that follows one of `pause`; zero precedes the first one.
pub(super) fn next_pause(pause: Duration) -> Duration {
    (2 * pause).clamp(FIRST_PAUSE, LAST_PAUSE)
}

/// Waits for the pause that follows one of `pause`.
async fn pause_longer(pause: &mut Duration) {
    *pause = next_pause(*pause);
    sleep(*pause).await;
}

/// Sends once, as soon as there is room. Pauses after ENOBUFS: BSDs return it while the queue of a
/// Unix receiver or of a network interface is full, and readiness does not report when there is
/// room again.
pub(super) async fn send<T>(
    io: &Io<T>,
    send: impl Fn(&T) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut pause = Duration::ZERO;
    loop {
        match io.transfer_datagrams(|| "send", Interest::WRITABLE, &send, |sent| *sent).await {
            Err(error) if classify(Operation::SendDatagram, &error) == ErrorClass::Backoff => {
                pause_longer(&mut pause).await;
            }
            result => return result,
        }
    }
}

/// Sends once, as soon as the receiver has room, which no kernel reports to a sender that is not
/// connected to it.
pub(super) async fn send_with_pauses(send: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    budget::step().await;
    let mut pause = Duration::ZERO;
    loop {
        match send().inspect(|sent| count_sent(*sent)) {
            Err(error)
                if matches!(
                    classify(Operation::SendDatagram, &error),
                    ErrorClass::WouldBlock | ErrorClass::Backoff
                ) =>
            {
                pause_longer(&mut pause).await;
            }
            result => return result,
        }
    }
}

/// Adds to the bytes that the running loop has sent.
pub(super) fn count_sent(bytes: usize) {
    current::with_running(|tasks| tasks.count_bytes(Interest::WRITABLE, bytes));
}

/// Batch state of a datagram socket for tasks: its features, and memory for sending.
#[derive(Debug, Default)]
pub(super) struct Batching {
    pub(super) features: Cell<DatagramFeatures>,
    pub(super) sending: RefCell<SendBatch>,
}

impl Batching {
    /// Sends once. Returns the progress.
    pub(super) fn send(
        &self,
        socket: impl AsFd,
        datagrams: &[Outgoing<'_>],
    ) -> io::Result<SendProgress> {
        self.sending.borrow_mut().send(socket, datagrams.iter().copied())
    }
}

/// Receives what is available into `batch`. Returns the number of datagrams.
pub(super) async fn recv_batch<T: AsFd>(
    io: &Io<T>,
    batching: &Batching,
    batch: &mut DatagramBatch,
) -> io::Result<usize> {
    let features = batching.features.get();
    let receive = |socket: &T| {
        let count = batch.recv(socket, features)?;
        Ok((count, batch.total_length()))
    };
    let length = |(_, length): &(usize, usize)| *length;
    let received = io.transfer_datagrams(|| "recv_batch", Interest::READABLE, receive, length);
    Ok(received.await?.0)
}

/// Sends all of `datagrams`, each time as many as there is room for.
pub(super) async fn send_batch<T: AsFd>(
    io: &Io<T>,
    batching: &Batching,
    mut datagrams: &[Outgoing<'_>],
) -> io::Result<()> {
    let (mut pause, mut sent) = (Duration::ZERO, 0);
    while let [first, rest @ ..] = datagrams {
        let batch = || std::iter::once(first.after(sent)).chain(rest.iter().copied());
        let send = |socket: &T| batching.sending.borrow_mut().send(socket, batch());
        let total = |progress: &SendProgress| progress.total_bytes;
        match io.transfer_datagrams(|| "send_batch", Interest::WRITABLE, send, total).await {
            Ok(progress) => {
                sent = progress.bytes + if progress.datagrams == 0 { sent } else { 0 };
                datagrams = &datagrams[progress.datagrams..];
                pause = Duration::ZERO;
            }
            Err(error) if classify(Operation::SendDatagram, &error) == ErrorClass::Backoff => {
                pause_longer(&mut pause).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Adds the methods and conversions that all datagram sockets have to a type with a field `io`.
macro_rules! methods {
    ($type:ident, $std:ident) => {
        impl $type {
            /// Sends a datagram to the connected peer.
            ///
            /// # Errors
            ///
            /// The errors of send(2) and [`Io::writable`].
            pub fn send(
                &self,
                bytes: &[u8],
            ) -> impl ::std::future::Future<Output = io::Result<usize>> {
                $crate::awaits::located(|| "send", async move {
                    datagram::send(&self.io, |socket| socket.send(bytes)).await
                })
            }

            /// Receives a datagram from the connected peer, and returns its length.
            ///
            /// # Errors
            ///
            /// The errors of recv(2) and [`Io::readable`].
            pub fn recv(
                &self,
                buffer: &mut [u8],
            ) -> impl ::std::future::Future<Output = io::Result<usize>> {
                self.io.transfer_datagrams(
                    || "recv",
                    Interest::READABLE,
                    move |socket| socket.recv(buffer),
                    |length| *length,
                )
            }

            /// Receives a datagram like [`recv`](Self::recv), and leaves it in the socket.
            ///
            /// # Errors
            ///
            /// Same as [`recv`](Self::recv).
            pub fn peek(
                &self,
                buffer: &mut [u8],
            ) -> impl ::std::future::Future<Output = io::Result<usize>> {
                self.io.call(
                    || "peek",
                    Interest::READABLE,
                    move |socket| socket::peek(socket, buffer),
                )
            }

            /// Enables the features of `options` that the kernel supports for this socket. Returns
            /// all enabled features. See [`DatagramOptions`](crate::net::DatagramOptions).
            ///
            /// # Errors
            ///
            /// The errors of getsockname(2).
            pub fn enable(
                &self,
                options: &socket::DatagramOptions,
            ) -> io::Result<socket::DatagramFeatures> {
                let enabled = socket::enable_datagram_features(self, options)?;
                let features = self.batching.features.get().union(enabled);
                self.batching.features.set(features);
                Ok(features)
            }

            /// Returns the enabled features.
            pub fn features(&self) -> socket::DatagramFeatures {
                self.batching.features.get()
            }

            /// Receives the datagrams that are available into `batch`, with one system call where
            /// the kernel has recvmmsg(2), as soon as there is one. Returns their number.
            ///
            /// Cancel safe: if the future is dropped, no datagram was received.
            ///
            /// # Errors
            ///
            /// The errors of recvmsg(2) and [`Io::readable`].
            pub fn recv_batch(
                &self,
                batch: &mut socket::DatagramBatch,
            ) -> impl ::std::future::Future<Output = io::Result<usize>> {
                $crate::awaits::located(|| "recv_batch", async move {
                    datagram::recv_batch(&self.io, &self.batching, batch).await
                })
            }

            /// Sends `datagrams` in their order, with one system call for up to 64 of them where
            /// the kernel has sendmmsg(2), and waits for room.
            ///
            /// # Errors
            ///
            /// The errors of sendmsg(2) and [`Io::writable`]. The datagrams after the one that has
            /// failed are not sent.
            pub fn send_batch(
                &self,
                datagrams: &[socket::Outgoing<'_>],
            ) -> impl ::std::future::Future<Output = io::Result<()>> {
                $crate::awaits::located(|| "send_batch", async move {
                    datagram::send_batch(&self.io, &self.batching, datagrams).await
                })
            }

            /// Sends as many of `datagrams` as there is room for, in one call and without waiting.
            ///
            /// # Errors
            ///
            /// The errors of sendmsg(2) for the first one: `WouldBlock` if there is no room.
            pub fn try_send_batch(
                &self,
                datagrams: &[socket::Outgoing<'_>],
            ) -> io::Result<socket::SendProgress> {
                let send = |socket: &$std| self.batching.send(socket, datagrams);
                let sent = self.io.try_io(Interest::WRITABLE, send);
                sent.inspect(|progress| datagram::count_sent(progress.total_bytes))
            }

            /// Returns the number of datagrams into which the kernel splits the bytes of one
            /// [`Outgoing`](crate::net::Outgoing); 1 if it cannot.
            pub fn max_segments(&self) -> usize {
                self.batching.sending.borrow_mut().segments(self)
            }

            /// Completes when a datagram can be received. See [`Io::readable`].
            ///
            /// # Errors
            ///
            /// Same as [`Io::readable`].
            pub fn readable(&self) -> impl ::std::future::Future<Output = io::Result<()>> {
                self.io.readable()
            }

            /// Completes when a datagram can be sent. See [`Io::writable`].
            ///
            /// # Errors
            ///
            /// Same as [`Io::writable`].
            pub fn writable(&self) -> impl ::std::future::Future<Output = io::Result<()>> {
                self.io.writable()
            }

            /// Completes when the socket is ready for a part of `interest`. See [`Io::ready`].
            ///
            /// # Errors
            ///
            /// Same as [`Io::ready`].
            pub fn ready(
                &self,
                interest: Interest,
            ) -> impl ::std::future::Future<Output = io::Result<Readiness>> {
                self.io.ready(interest)
            }

            /// Calls `call` with the socket, without waiting. See [`Io::try_io`].
            ///
            /// # Errors
            ///
            /// Same as [`Io::try_io`].
            pub fn try_io<R>(
                &self,
                interest: Interest,
                call: impl FnOnce(&$std) -> io::Result<R>,
            ) -> io::Result<R> {
                self.io.try_io(interest, call)
            }

            /// Returns the socket with its readiness, for everything else: options, multicast, and
            /// futures written by hand.
            pub fn io(&self) -> &Io<$std> {
                &self.io
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.io.as_fd()
            }
        }

        $crate::net::std_conversions::std_conversions!($type, $std);
    };
}

pub(super) use methods;
