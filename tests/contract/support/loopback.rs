//! Support for loopbacks that deliver after send(2) has returned, as on the BSDs, macOS and, under
//! load, Linux before 6.5.
//!
//! The tests count ticks, and expect that an event sent before a tick is seen in that tick. On a
//! system with such a loopback, each wait of the loop under test first waits for everything sent
//! before. The loopback keeps the order of packets. So a datagram that a socket sends to itself
//! arrives after all of them.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::sync::OnceLock;
use std::time::Duration;

use mainspring::SelectorKind;
use mainspring::selector::{Events, Selector, SelectorChoice};

use crate::support::selector::{Wrapped, Wrapper};

/// Number of round trips. A packet may cause another one: three open a connection, and a reset may
/// answer the last.
const HOPS: usize = 5;

/// Timeout; far longer than any machine needs for one datagram.
const BOUND: Duration = Duration::from_secs(60);

/// Returns a selector of this kind. Before each wait, everything that was sent has arrived.
pub fn selector(kind: SelectorKind) -> SelectorChoice {
    match is_immediate() {
        true => kind.into(),
        false => open(kind).into(),
    }
}

/// Like [`selector`], but returns the opened selector.
pub fn open(kind: SelectorKind) -> Box<dyn Selector> {
    let real = kind.open().expect("a selector");
    deliver(); // Opens the socket now; later there may be no free descriptor.
    if is_immediate() { real } else { Box::new(Wrapped(Delivered(real))) }
}

/// Waits until everything sent over the loopback has arrived, and what was sent in response.
pub fn deliver() {
    thread_local! {
        static SOCKET: OnceCell<UdpSocket> = const { OnceCell::new() };
    }
    if is_immediate() {
        return;
    }
    SOCKET.with(|socket| {
        let socket = socket.get_or_init(to_itself);
        for _ in 0..HOPS {
            socket.send(b"x").expect("a datagram is sent");
            while let Err(error) = socket.recv(&mut [0; 2]) {
                // A stopped process that continues.
                assert_eq!(error.kind(), io::ErrorKind::Interrupted, "a datagram arrives");
            }
        }
    });
}

fn to_itself() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket
}

/// Returns true if a datagram has arrived when its send(2) returns. The test uses no accept(2),
/// because some tests count and inject those calls.
fn is_immediate() -> bool {
    static MEASURED: OnceLock<bool> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let socket = to_itself();
        socket.set_nonblocking(true).unwrap();
        let has_arrived = |_| {
            socket.send(b"x").expect("a datagram is sent");
            socket.recv(&mut [0; 2]).is_ok()
        };
        (0..64).all(has_arrived) && !is_late_under_load()
    })
}

/// Returns true on Linux before 6.5. There a busy processor leaves packets to the thread ksoftirqd,
/// which no measurement on an idle machine shows.
fn is_late_under_load() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version < (6, 5))
}

/// Selector that waits for everything sent before it waits for events.
#[derive(Debug)]
struct Delivered(Box<dyn Selector>);

impl Wrapper for Delivered {
    fn real(&self) -> &dyn Selector {
        &*self.0
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.0
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        deliver();
        self.0.select(events, timeout)
    }
}
