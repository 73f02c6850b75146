//! Hosts that drive a loop exactly as the documentation of `PollFd` demands (docs/contract.md, Q7).

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mainspring::selector::{Events, Selector, Token};
use mainspring::{EventLoop, Interest, PollFd, SelectorKind, TriggerMode};

use crate::support::{on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Returns a loop that reads one byte in each tick, with 100 bytes waiting.
fn embedded_loop(kind: SelectorKind) -> (EventLoop<u32>, UnixStream) {
    let (el, _) = simulated(kind, 0);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    el.add_reader(ours, |_, bytes, stream| {
        stream.read_exact(&mut [0])?;
        *bytes += 1;
        Ok(())
    })
    .unwrap();
    theirs.write_all(&[0; 100]).unwrap();
    (el, theirs)
}

/// Host loop with a selector that reports the descriptor of the embedded loop in the given mode.
struct Host {
    selector: Box<dyn Selector>,
    events: Events,
}

impl Host {
    fn new(kind: SelectorKind, fd: &PollFd, mode: TriggerMode) -> Host {
        let mut selector = kind.open().unwrap();
        let token = Token::new(1, 1);
        selector.register(fd.as_raw_fd(), token, Interest::READABLE, mode).unwrap();
        Host { selector, events: Events::with_capacity(8) }
    }

    /// Drives the embedded loop as documented until the host would sleep: one tick whenever the
    /// descriptor is readable or a deadline is due. In edge mode it ticks until a tick returns 0.
    fn drive(&mut self, embedded: &mut EventLoop<u32>, mode: TriggerMode) -> usize {
        let mut turns = 0;
        let mut is_readable = false;
        loop {
            self.selector.select(&mut self.events, NOW).unwrap();
            is_readable |= !self.events.is_empty();
            let is_due =
                embedded.next_deadline().is_some_and(|deadline| deadline <= embedded.now());
            if !is_readable && !is_due {
                return turns;
            }
            let ran = embedded.tick(NOW).unwrap();
            is_readable &= mode == TriggerMode::Edge && ran > 0;
            turns += 1;
            assert!(turns < 1000, "the host spins");
        }
    }
}

#[test]
fn q7_a_host_that_follows_the_documentation_misses_nothing() {
    on_every_selector(|kind| {
        for mode in [TriggerMode::Level, TriggerMode::Edge] {
            let (mut el, mut peer) = embedded_loop(kind);
            let Some(fd) = el.poll_fd() else { return };
            let mut host = Host::new(kind, &fd, mode);
            let turns = host.drive(&mut el, mode);
            assert_eq!(*el.state(), 100, "{mode:?}");
            assert!((100..=101).contains(&turns), "{mode:?}: {turns} turns");
            // The host sleeps, and new input wakes it.
            peer.write_all(&[0; 3]).unwrap();
            host.drive(&mut el, mode);
            let remote = el.remote();
            let post = move || remote.call_soon(|_, bytes| *bytes += 1);
            std::thread::spawn(post).join().unwrap().unwrap();
            host.drive(&mut el, mode);
            assert_eq!(*el.state(), 104, "{mode:?}");
        }
    });
}

#[test]
fn q7_ticks_until_one_returns_zero_serve_everything() {
    on_every_selector(|kind| {
        let (mut el, _peer) = embedded_loop(kind);
        while el.tick(NOW).unwrap() > 0 {}
        assert_eq!(*el.state(), 100);
    });
}

/// One tick takes a message from another thread. No second tick is needed.
#[test]
fn q7_a_message_takes_one_tick() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        let remote = el.remote();
        remote.call_soon(|_, ran| *ran += 1).unwrap();
        assert_eq!(el.tick(NOW).unwrap(), 1);
        assert_eq!(el.next_deadline(), None);
    });
}

#[test]
fn q8_the_descriptor_outlives_its_loop_and_stays_unreadable() {
    on_every_selector(|kind| {
        let (el, _peer) = embedded_loop(kind);
        let Some(fd) = el.poll_fd() else { return };
        let mut host = Host::new(kind, &fd, TriggerMode::Level);
        drop(el);
        host.selector.select(&mut host.events, NOW).unwrap();
        assert!(host.events.is_empty());
        let (mut closed, _peer) = embedded_loop(kind);
        closed.close();
        assert!(closed.poll_fd().is_none() && closed.next_deadline().is_none());
    });
}
