//! The parts that datagram sockets share: sending, with readiness if the kernel reports room and
//! otherwise with pauses, and common methods.

use std::io;
use std::time::Duration;

use mainspring_sys::error_class::{ErrorClass, Operation, classify};

use crate::io::Io;
use crate::task::{budget, sleep};

/// The first pause. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(64);

/// Sends once, as soon as there is room. Pauses after ENOBUFS: BSDs return it while the queue of a
/// Unix receiver or of a network interface is full, and no readiness reports the end of that.
pub(super) async fn send<T>(
    io: &Io<T>,
    send: impl Fn(&T) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut pause = PAUSE;
    loop {
        match io.write_with(&send).await {
            Err(error) if classify(Operation::SendDatagram, &error) == ErrorClass::Backoff => {
                sleep(pause).await;
            }
            result => return result,
        }
        pause = LONGEST.min(2 * pause);
    }
}

/// Sends once, as soon as the receiver has room, which no kernel reports to a sender that is not
/// connected to it.
pub(super) async fn send_with_pauses(send: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    budget::step().await;
    let mut pause = PAUSE;
    loop {
        match send() {
            Err(error)
                if matches!(
                    classify(Operation::SendDatagram, &error),
                    ErrorClass::WouldBlock | ErrorClass::Backoff
                ) =>
            {
                sleep(pause).await;
            }
            result => return result,
        }
        pause = LONGEST.min(2 * pause);
    }
}

/// Adds the methods and conversions that all datagram sockets have to a type with a field `io`.
macro_rules! methods {
    ($type:ident, $std:ident) => {
        impl $type {
            /// Sends a datagram to the connected peer.
            ///
            /// # Errors
            ///
            /// Those of send(2) and of [`Io::writable`].
            pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
                datagram::send(&self.io, |socket| socket.send(bytes)).await
            }

            /// Receives a datagram from the connected peer, and returns its length.
            ///
            /// # Errors
            ///
            /// Those of recv(2) and of [`Io::readable`].
            pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.io.read_with(|socket| socket.recv(buffer)).await
            }

            /// Receives a datagram like [`recv`](Self::recv), and leaves it in the socket.
            ///
            /// # Errors
            ///
            /// Those of [`recv`](Self::recv).
            pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.io.read_with(|socket| socket::peek(socket, buffer)).await
            }

            /// Completes when a datagram can be received. See [`Io::readable`].
            ///
            /// # Errors
            ///
            /// Those of [`Io::readable`].
            pub async fn readable(&self) -> io::Result<()> {
                self.io.readable().await
            }

            /// Completes when a datagram can be sent. See [`Io::writable`].
            ///
            /// # Errors
            ///
            /// Those of [`Io::writable`].
            pub async fn writable(&self) -> io::Result<()> {
                self.io.writable().await
            }

            /// Completes when the socket is ready for a part of `interest`. See [`Io::ready`].
            ///
            /// # Errors
            ///
            /// Those of [`Io::ready`].
            pub async fn ready(&self, interest: Interest) -> io::Result<Readiness> {
                self.io.ready(interest).await
            }

            /// Calls `call` with the socket, without waiting. See [`Io::try_io`].
            ///
            /// # Errors
            ///
            /// Those of [`Io::try_io`].
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

        impl TryFrom<$std> for $type {
            type Error = Error;

            fn try_from(socket: $std) -> Result<$type> {
                $type::from_std(socket)
            }
        }

        impl From<$type> for $std {
            fn from(socket: $type) -> $std {
                socket.into_std()
            }
        }

        impl From<$type> for OwnedFd {
            fn from(socket: $type) -> OwnedFd {
                socket.into_std().into()
            }
        }
    };
}

pub(super) use methods;
