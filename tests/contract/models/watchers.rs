//! Random programs over eight sockets, against poll(2) (P16; docs/contract.md, W10). In each tick
//! exactly the callbacks of the fds that poll(2) reports as ready run.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::{Error, EventLoop, Interest, SelectorKind, Watched, Watcher};
use proptest::prelude::*;
use rustix::event::PollFlags;

use crate::support::descriptors::{pair, poll};
use crate::support::ticks::tick;
use crate::support::{cases, loopback, on_every_selector};

const PLACES: usize = 8;
const READER: usize = 0;
const WRITER: usize = 1;

#[derive(Debug, Clone, Copy)]
enum Op {
    Open,
    /// Duplicate of the next place's socket.
    Dup,
    Add(usize),
    Replace(usize),
    Remove(usize),
    RemoveByItself(usize),
    Pause(usize),
    Resume(usize),
    /// The peer writes one byte; the watched end writes until its buffer is full.
    Write,
    Fill,
    /// The watched end reads everything; the peer reads everything.
    Read,
    Drain,
    ClosePeer,
    ShutDown,
    PeerShutsDown,
}

fn op() -> impl Strategy<Value = Op> {
    let role = || prop_oneof![Just(READER), Just(WRITER)];
    prop_oneof![
        2 => Just(Op::Open),
        1 => Just(Op::Dup),
        6 => role().prop_map(Op::Add),
        2 => role().prop_map(Op::Replace),
        2 => role().prop_map(Op::Remove),
        1 => role().prop_map(Op::RemoveByItself),
        2 => role().prop_map(Op::Pause),
        2 => role().prop_map(Op::Resume),
        2 => Just(Op::Write),
        3 => Just(Op::Fill),
        2 => Just(Op::Read),
        2 => Just(Op::Drain),
        1 => Just(Op::ClosePeer),
        1 => Just(Op::ShutDown),
        1 => Just(Op::PeerShutsDown),
    ]
}

/// Call of a callback: place, role, and version of the callback.
type Call = (usize, usize, u32);

#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    /// Call in which the callback removes itself.
    leaves: Option<Call>,
}

struct Registered {
    watcher: Watcher<Rc<UnixStream>>,
    version: u32,
    paused: bool,
}

#[derive(Default)]
struct Place {
    socket: Option<Rc<UnixStream>>,
    peer: Option<UnixStream>,
    roles: [Option<Registered>; 2],
}

struct World {
    el: EventLoop<Seen>,
    places: [Place; PLACES],
    versions: u32,
}

fn callback(
    call: Call,
) -> impl FnMut(
    &mainspring::LoopHandle<Seen>,
    &mut Seen,
    &mut Watched<Rc<UnixStream>>,
) -> mainspring::Result<()> {
    move |_, seen, socket| {
        seen.calls.push(call);
        if seen.leaves == Some(call) {
            socket.cancel();
        }
        Ok(())
    }
}

impl World {
    fn new(kind: SelectorKind) -> World {
        let el = EventLoop::builder()
            .selector(loopback::selector(kind))
            .build_with(Seen::default())
            .unwrap();
        World { el, places: Default::default(), versions: 0 }
    }

    fn apply(&mut self, at: usize, op: Op) {
        match op {
            Op::Open => {
                let (socket, peer) = pair();
                peer.set_nonblocking(true).unwrap();
                socket.set_nonblocking(true).unwrap();
                self.put(at, socket, Some(peer));
            }
            Op::Dup => {
                if let Some(other) = &self.places[(at + 1) % PLACES].socket {
                    let twin = other.try_clone().unwrap();
                    self.put(at, twin, None);
                }
            }
            Op::Add(role) => self.add(at, role),
            Op::Replace(role) => self.replace(at, role),
            Op::Remove(role) => self.remove(at, role),
            Op::RemoveByItself(role) => {
                let there = self.places[at].roles[role].as_ref();
                self.el.state_mut().leaves = there.map(|it| (at, role, it.version));
            }
            Op::Pause(role) => self.set_paused(at, role, true),
            Op::Resume(role) => self.set_paused(at, role, false),
            _ => self.places[at].transfer(op),
        }
    }

    fn put(&mut self, at: usize, socket: UnixStream, peer: Option<UnixStream>) {
        self.remove(at, READER);
        self.remove(at, WRITER);
        self.places[at] = Place { socket: Some(Rc::new(socket)), peer, roles: [None, None] };
    }

    fn add(&mut self, at: usize, role: usize) {
        let Some(socket) = self.places[at].socket.clone() else { return };
        self.versions += 1;
        let callback = callback((at, role, self.versions));
        let added = match role {
            READER => self.el.add_reader(socket, callback),
            _ => self.el.add_writer(socket, callback),
        };
        let place = &mut self.places[at].roles[role];
        match added {
            Ok(watcher) if place.is_none() => {
                *place = Some(Registered { watcher, version: self.versions, paused: false });
            }
            Err(Error::AlreadyWatched { .. }) if place.is_some() => {}
            other => panic!("{other:?}"),
        }
    }

    fn replace(&mut self, at: usize, role: usize) {
        if let Some(there) = &mut self.places[at].roles[role] {
            self.versions += 1;
            there.version = self.versions;
            let callback = callback((at, role, self.versions));
            there.watcher = self.el.replace(there.watcher, callback).unwrap();
        }
    }

    fn remove(&mut self, at: usize, role: usize) {
        if let Some(there) = self.places[at].roles[role].take() {
            assert!(self.el.cancel(there.watcher));
            assert!(!self.el.cancel(there.watcher));
        }
    }

    fn set_paused(&mut self, at: usize, role: usize, paused: bool) {
        let Some(there) = &mut self.places[at].roles[role] else { return };
        there.paused = paused;
        let interest = match (paused, role) {
            (true, _) => Interest::empty(),
            (false, READER) => Interest::READABLE,
            (false, _) => Interest::WRITABLE,
        };
        self.el.set_interest(there.watcher, interest).unwrap();
    }

    /// Returns the calls that poll(2) predicts.
    fn expected(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            for (role, flags) in [PollFlags::IN, PollFlags::OUT].into_iter().enumerate() {
                let Some(there) = &place.roles[role] else { continue };
                let socket = place.socket.as_ref().unwrap();
                if !there.paused && !poll(&socket.as_fd(), flags).is_empty() {
                    calls.push((at, role, there.version));
                }
            }
        }
        calls
    }

    /// Runs one tick and compares it with the model.
    fn check(&mut self) {
        let expected = self.expected();
        assert_eq!(tick(&mut self.el), expected.len(), "{expected:?}");
        let Seen { mut calls, leaves } = std::mem::take(self.el.state_mut());
        for (at, call) in calls.iter().enumerate() {
            let (place, role, _) = *call;
            let reader_after = |other: &Call| role == WRITER && other.0 == place;
            assert!(!calls[at + 1..].iter().any(reader_after), "the writer ran first: {calls:?}");
        }
        calls.sort_unstable();
        assert_eq!(calls, expected);
        if let Some((at, role, _)) = leaves.filter(|call| calls.contains(call)) {
            let gone = self.places[at].roles[role].take().unwrap();
            assert!(!self.el.cancel(gone.watcher), "it had already removed itself");
        }
    }
}

impl Place {
    fn transfer(&mut self, op: Op) {
        use mainspring_sys::fd::{read, write};
        let (socket, peer) = (self.socket.as_deref(), self.peer.as_ref());
        let mut buffer = [0; 65536];
        let all = |fd: Option<&UnixStream>, call: &mut dyn FnMut(&UnixStream) -> usize| {
            while fd.is_some_and(|fd| call(fd) > 0) {}
        };
        match op {
            Op::Write => _ = peer.map(|fd| write(fd.as_fd(), b"x")),
            // The kernel raises SIGPIPE too; Rust's runtime ignores that signal.
            Op::Fill => all(socket, &mut |fd| write(fd.as_fd(), &[0; 4096]).unwrap_or(0)),
            Op::Read => all(socket, &mut |fd| read(fd.as_fd(), &mut buffer).unwrap_or(0)),
            Op::Drain => all(peer, &mut |fd| read(fd.as_fd(), &mut buffer).unwrap_or(0)),
            Op::ClosePeer => self.peer = None,
            Op::ShutDown => _ = socket.map(|fd| fd.shutdown(Shutdown::Write)),
            Op::PeerShutsDown => _ = peer.map(|fd| fd.shutdown(Shutdown::Write)),
            _ => unreachable!("this operation transfers nothing"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(64),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn w10_random_watchers_match_poll(
        script in prop::collection::vec((0..PLACES, op()), 1..200)
    ) {
        on_every_selector(|kind| {
            let mut world = World::new(kind);
            for (at, op) in &script {
                world.apply(*at, *op);
                world.check();
            }
        });
    }
}
