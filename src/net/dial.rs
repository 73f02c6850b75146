//! Connecting, as a future: to one address, or to the first of several that answers.
//!
//! With several addresses the attempts overlap, as RFC 8305 ("happy eyeballs") has it: the families
//! take turns, and the next attempt begins when one has failed or after a quarter of a second.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mainspring_sys::socket::{self, Address, Connecting};

use super::socket::Socket;
use super::stream_socket::ConnectedSocket;
use crate::error::{Error, Result};
use crate::task::{Sleep, budget, sleep, timeout};
use crate::text;

/// How long an attempt is alone.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to `address`. Dropping the future gives up, and closes the socket.
pub(super) async fn dial(address: &Address) -> Result<ConnectedSocket> {
    connected(address).await.map_err(|source| failed(address, source))
}

/// [`dial`], from the address `local`.
pub(super) async fn dial_from(local: &Address, address: &Address) -> Result<ConnectedSocket> {
    let connected = established(Some(local), address).await;
    connected.map_err(|source| failed(format_args!("{address} from {local}"), source))
}

async fn connected(address: &Address) -> io::Result<ConnectedSocket> {
    established(None, address).await
}

async fn established(local: Option<&Address>, address: &Address) -> io::Result<ConnectedSocket> {
    let wrap = match address {
        Address::Inet(_) => ConnectedSocket::tcp,
        Address::Unix(_) => ConnectedSocket::unix,
    };
    budget::step().await; // A Unix socket connects at once, and a refusal may come at once.
    let connecting = match local {
        Some(local) => socket::connect_from(address, local)?,
        None => socket::connect(address)?,
    };
    match connecting {
        Connecting::Done(fd) => Ok(wrap(Socket::new(fd))),
        Connecting::InProgress(fd) => {
            let stream = wrap(Socket::new(fd));
            stream.write_with(finish).await?;
            Ok(stream)
        }
    }
}

fn finish(socket: &Socket) -> io::Result<()> {
    match socket::finish_connect(socket)? {
        true => Ok(()),
        false => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Gives connecting to `address` until `limit` is over.
pub(super) async fn within<T>(
    limit: Duration,
    address: impl Display,
    connecting: impl Future<Output = Result<T>>,
) -> Result<T> {
    let in_time = timeout(limit, connecting).await;
    in_time.unwrap_or_else(|late| Err(failed(address, late.into())))
}

fn failed(address: impl Display, source: io::Error) -> Error {
    Error::Connect { address: address.to_string(), source }
}

/// Connects to the first of `addresses` that answers. The attempts that are still under way then
/// are given up.
pub(super) async fn race(addresses: &[SocketAddr]) -> Result<ConnectedSocket> {
    let mut race = Race {
        waiting: interleaved(addresses).into_iter(),
        attempts: Vec::new(),
        failures: Vec::new(),
        alone: sleep(Duration::ZERO),
    };
    let outcome = poll_fn(|cx| race.poll(cx)).await;
    outcome.map_err(|source| failed(listed(addresses), source))
}

/// Returns the first addresses and the number of the others, for a message.
pub(super) fn listed(addresses: &[SocketAddr]) -> String {
    text::listed(addresses.iter(), ", ")
}

/// The families take turns; the first address stays the first, and each family keeps its order.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let family = |is_v6| addresses.iter().filter(move |address| address.is_ipv6() == is_v6);
    let (mut preferred, mut other) = (family(first_is_v6), family(!first_is_v6));
    let mut all = Vec::with_capacity(addresses.len());
    while all.len() < addresses.len() {
        all.extend(preferred.next().into_iter().chain(other.next()));
    }
    all
}

struct Race {
    waiting: std::vec::IntoIter<SocketAddr>,
    attempts: Vec<Attempt>,
    failures: Vec<(SocketAddr, io::Error)>,
    /// Until when the latest attempt is alone.
    alone: Sleep,
}

struct Attempt {
    address: SocketAddr,
    connecting: Pin<Box<dyn Future<Output = io::Result<ConnectedSocket>>>>,
}

impl Attempt {
    fn new(address: SocketAddr) -> Attempt {
        let connecting = Box::pin(async move { connected(&address.into()).await });
        Attempt { address, connecting }
    }
}

impl Race {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ConnectedSocket>> {
        loop {
            let failures = self.failures.len();
            if let Some(winner) = self.poll_attempts(cx) {
                return Poll::Ready(Ok(winner));
            }
            if self.waiting.len() == 0 {
                return match self.attempts.is_empty() {
                    true => Poll::Ready(Err(self.verdict())),
                    false => Poll::Pending,
                };
            }
            let has_failed = self.failures.len() > failures;
            let is_idle = self.attempts.is_empty();
            if !has_failed && !is_idle && Pin::new(&mut self.alone).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.attempts.extend(self.waiting.next().map(Attempt::new));
            self.alone = sleep(STAGGER);
        }
    }

    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<ConnectedSocket> {
        let mut at = 0;
        while let Some(attempt) = self.attempts.get_mut(at) {
            match attempt.connecting.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(socket)) => return Some(socket),
                Poll::Ready(Err(error)) => {
                    let attempt = self.attempts.remove(at);
                    self.failures.push((attempt.address, error));
                }
            }
        }
        None
    }

    /// Nobody has answered.
    fn verdict(&mut self) -> io::Error {
        let Some((_, last)) = self.failures.last() else {
            let message = "there is no address to connect to";
            return io::Error::new(io::ErrorKind::InvalidInput, message);
        };
        if self.failures.len() == 1 {
            return self.failures.remove(0).1;
        }
        let kind = last.kind();
        let told = self.failures.iter().map(|(address, error)| format!("{address}: {error}"));
        io::Error::new(kind, text::listed(told, "; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_their_order() {
        let order = |text: &str| {
            let parse = |name: &str| match name.strip_prefix('6') {
                Some(port) => SocketAddr::from(([0_u16; 8], port.parse().unwrap())),
                None => SocketAddr::from(([0; 4], name[1..].parse().unwrap())),
            };
            let addresses: Vec<_> = text.split(' ').map(parse).collect();
            let name = |address: &SocketAddr| {
                format!("{}{}", if address.is_ipv6() { 6 } else { 4 }, address.port())
            };
            interleaved(&addresses).iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order("61 62 63 41 42"), "61 41 62 42 63");
        assert_eq!(order("41 42 61"), "41 61 42");
        assert_eq!(order("41"), "41");
        assert!(interleaved(&[]).is_empty());
    }
}
