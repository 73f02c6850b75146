//! Connecting for tasks: a race for the first of several addresses that answers.
//!
//! The attempts overlap as in RFC 8305 ("happy eyeballs"): the address families alternate, and the
//! next attempt begins when one has failed or after a quarter of a second.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connect::failed;
use super::connect_task::attempt;
use super::connected::ConnectedSocket;
use crate::error::Result;
use crate::log_text;
use crate::task::{Sleep, sleep};

/// Time after which the next attempt begins although none has failed: the "connection attempt
/// delay" of RFC 8305.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of `addresses` that answers, and ends the other attempts. The caller is at
/// `location`.
pub(super) async fn race(
    addresses: &[SocketAddr],
    location: &'static Location<'static>,
) -> Result<ConnectedSocket> {
    let mut race = Race {
        location,
        waiting: interleaved(addresses).into_iter(),
        attempts: Vec::new(),
        failures: Vec::new(),
        next_attempt: sleep(Duration::ZERO),
    };
    let outcome = poll_fn(|cx| race.poll(cx)).await;
    outcome.map_err(|source| failed(listed(addresses), source))
}

/// Returns the first addresses and the number of the others, for a message.
pub(super) fn listed(addresses: &[SocketAddr]) -> String {
    log_text::listed(addresses.iter(), ", ")
}

/// Returns the addresses with alternating families. The first address stays the first, and each
/// family keeps its order.
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

/// The state of a race.
struct Race {
    location: &'static Location<'static>,
    /// Addresses without an attempt so far.
    waiting: std::vec::IntoIter<SocketAddr>,
    attempts: Vec<Attempt>,
    failures: Vec<(SocketAddr, io::Error)>,
    /// Completes when the next attempt may begin although none has failed.
    next_attempt: Sleep,
}

/// An attempt in progress.
struct Attempt {
    address: SocketAddr,
    connecting: Pin<Box<dyn Future<Output = io::Result<ConnectedSocket>>>>,
}

impl Attempt {
    fn new(address: SocketAddr, location: &'static Location<'static>) -> Attempt {
        let connecting = Box::pin(async move { attempt(None, &address.into(), location).await });
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
                    true => Poll::Ready(Err(self.error())),
                    false => Poll::Pending,
                };
            }
            // A failure begins the next attempt at once, without the rest of the delay.
            let has_failed = self.failures.len() > failures;
            let is_idle = self.attempts.is_empty();
            if !has_failed && !is_idle && Pin::new(&mut self.next_attempt).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let next = self.waiting.next().map(|address| Attempt::new(address, self.location));
            self.attempts.extend(next);
            self.next_attempt = sleep(ATTEMPT_DELAY);
        }
    }

    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<ConnectedSocket> {
        let mut at = 0;
        while let Some(attempt) = self.attempts.get_mut(at) {
            match attempt.connecting.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(socket)) => return Some(socket),
                Poll::Ready(Err(error)) => {
                    let attempt = self.attempts.remove(at); // Few, and their order matters.
                    self.failures.push((attempt.address, error));
                }
            }
        }
        None
    }

    /// Returns the error of a race in which every attempt failed: the only failure, or a list of
    /// all with the kind of the last one.
    fn error(&mut self) -> io::Error {
        let Some((_, last)) = self.failures.last() else {
            let message = "there is no address to connect to";
            return io::Error::new(io::ErrorKind::InvalidInput, message);
        };
        if self.failures.len() == 1 {
            return self.failures.remove(0).1;
        }
        let kind = last.kind();
        let failures = self.failures.iter().map(|(address, error)| format!("{address}: {error}"));
        io::Error::new(kind, log_text::listed(failures, "; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_keep_their_order() {
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
