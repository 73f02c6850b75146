//! Random scripts (P16): after any sequence of steps, a selector reports what poll(2) reports.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use mainspring_sys::{Interest, Readiness, Token, TriggerMode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Subject, alone, dup_from, oracle, pair, subjects};

const CHANNELS: usize = 8;

/// A step that affects one of the channels.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add(Interest, TriggerMode),
    Modify(Interest, TriggerMode),
    Remove,
    Write,
    Read,
    Copy,
    ShutDown(Shutdown),
    ClosePeer,
    Replace,
}

/// Scripts with interests that are parts of `everything`.
fn steps(everything: Interest) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let interest = move || (1..=everything.bits()).prop_map(Interest::from_bits_truncate);
    let mode = || prop_oneof![3 => Just(TriggerMode::Level), 1 => Just(TriggerMode::Oneshot)];
    let how = prop_oneof![Just(Shutdown::Read), Just(Shutdown::Write), Just(Shutdown::Both)];
    let step = prop_oneof![
        6 => (interest(), mode()).prop_map(|(interest, mode)| Step::Add(interest, mode)),
        4 => (interest(), mode()).prop_map(|(interest, mode)| Step::Modify(interest, mode)),
        3 => Just(Step::Remove),
        4 => Just(Step::Write),
        4 => Just(Step::Read),
        1 => Just(Step::Copy),
        1 => how.prop_map(Step::ShutDown),
        1 => Just(Step::ClosePeer),
        1 => Just(Step::Replace),
    ];
    prop::collection::vec((0..CHANNELS, step), 1..200)
}

/// Two ends of a socket pair, or of a pipe in either direction. The first end is watched.
struct Channel {
    watched: OwnedFd,
    peer: Option<OwnedFd>,
    copies: Vec<OwnedFd>,
}

impl Channel {
    fn new(index: usize) -> Channel {
        let (watched, peer): (OwnedFd, OwnedFd) = match index % 4 {
            0 | 1 => {
                let (ours, theirs) = pair();
                (ours.into(), theirs.into())
            }
            2 => mainspring_sys::fd::pipe().unwrap(),
            _ => {
                let (reader, writer) = mainspring_sys::fd::pipe().unwrap();
                (writer, reader)
            }
        };
        Channel { watched, peer: Some(peer), copies: Vec::new() }
    }

    fn number(&self) -> RawFd {
        self.watched.as_raw_fd()
    }

    /// Writing may fail: a pipe has one direction, a closed peer is an error. Only the result of
    /// poll(2) afterwards matters.
    fn write(&self) {
        for end in [Some(&self.watched), self.peer.as_ref()].into_iter().flatten() {
            let _refused = file(end).write(&[0; 40_000]);
        }
    }

    fn read(&self) {
        for end in [Some(&self.watched), self.peer.as_ref()].into_iter().flatten() {
            let _refused = file(end).read(&mut [0; 50_000]);
        }
    }
}

fn file(end: &OwnedFd) -> std::fs::File {
    end.try_clone().unwrap().into()
}

/// Expected state of the selector.
struct Model {
    channels: Vec<Channel>,
    registrations: BTreeMap<usize, Registration>,
}

struct Registration {
    interest: Interest,
    mode: TriggerMode,
    armed: bool,
}

impl Model {
    fn new() -> Model {
        let channels = (0..CHANNELS).map(Channel::new).collect();
        Model { channels, registrations: BTreeMap::new() }
    }

    fn apply(&mut self, subject: &mut Subject, index: usize, step: Step) {
        let (number, token) = (self.channels[index].number(), Token::new(index as u32, 0));
        let known = self.registrations.contains_key(&index);
        match step {
            Step::Add(interest, mode) => {
                let added = subject.selector.register(number, token, interest, mode);
                let expected = if known { Err(ErrorKind::AlreadyExists) } else { Ok(()) };
                assert_eq!(kind(added), expected, "{}", subject.name);
                self.registrations.entry(index).or_insert(Registration {
                    interest,
                    mode,
                    armed: true,
                });
            }
            Step::Modify(interest, mode) => {
                let changed = subject.selector.reregister(number, token, interest, mode);
                assert_eq!(kind(changed), found(known), "{}", subject.name);
                if known {
                    let armed = true;
                    self.registrations.insert(index, Registration { interest, mode, armed });
                }
            }
            Step::Remove => self.remove(subject, index),
            Step::Replace => {
                self.remove(subject, index);
                self.channels[index] = Channel::new(index);
            }
            _ => self.disturb(index, step),
        }
    }

    fn remove(&mut self, subject: &mut Subject, index: usize) {
        let removed = subject.selector.deregister(self.channels[index].number());
        let known = self.registrations.remove(&index).is_some();
        assert_eq!(kind(removed), found(known), "{}", subject.name);
    }

    /// Makes changes that the selector can only get from the kernel.
    fn disturb(&mut self, index: usize, step: Step) {
        let channel = &mut self.channels[index];
        match step {
            Step::Write => channel.write(),
            Step::Read => channel.read(),
            Step::Copy => channel.copies.push(dup_from(&channel.watched, 0)),
            Step::ClosePeer => channel.peer = None,
            Step::ShutDown(how) => {
                let end = channel.peer.as_ref().unwrap_or(&channel.watched);
                let socket = std::net::TcpStream::from(end.try_clone().unwrap());
                let _not_a_socket = socket.shutdown(how);
            }
            _ => unreachable!("`apply` handles the other steps"),
        }
    }

    /// Returns the expected reports, and marks them as reported.
    fn report(&mut self, subject: &Subject) -> Vec<(u32, Readiness)> {
        let mut ready = Vec::new();
        for (index, registration) in &mut self.registrations {
            let number = self.channels[*index].number();
            if !registration.armed {
                continue;
            }
            if let Some(readiness) = oracle(number, registration.interest) {
                ready.push((*index as u32, subject.must_say(readiness, registration.interest)));
                registration.armed = registration.mode == TriggerMode::Level;
            }
        }
        ready
    }

    /// Returns what the selector reports, restricted to what its kind must report.
    fn required_reports(&self, subject: &mut Subject) -> Vec<(u32, Readiness)> {
        let asked = |slot| self.registrations[&(slot as usize)].interest;
        let seen = subject.now();
        seen.into_iter()
            .map(|(slot, readiness)| (slot, subject.must_say(readiness, asked(slot))))
            .collect()
    }
}

fn kind(result: io::Result<()>) -> Result<(), ErrorKind> {
    result.map_err(|error| error.kind())
}

fn found(known: bool) -> Result<(), ErrorKind> {
    if known { Ok(()) } else { Err(ErrorKind::NotFound) }
}

#[test]
fn w10_any_script_is_reported_like_poll() {
    let _alone = alone();
    for (index, everything) in subjects().iter().map(Subject::everything).enumerate() {
        let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&steps(everything), |script| {
            let mut subject = subjects().swap_remove(index);
            let mut model = Model::new();
            for (at, (channel, step)) in script.into_iter().enumerate() {
                model.apply(&mut subject, channel, step);
                let expected = model.report(&subject);
                let seen = model.required_reports(&mut subject);
                prop_assert_eq!(seen, expected, "{} after step {}: {:?}", subject.name, at, step);
            }
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    }
}
