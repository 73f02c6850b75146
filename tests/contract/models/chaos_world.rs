//! Model of the chaos test: registrations, drops, and the script of steps.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use mainspring::testing::SimClock;
use mainspring::{
    EventLoop, Handle, LoopHandle, Remote, Result, SelectorKind, Signal, TimerHandle, Watcher,
};

use crate::support::loopback;

/// Model of the loop. It is the loop's state, and everything that gets dropped shares it.
pub type World = Rc<Model>;
type El = LoopHandle<World>;
type Act = fn(&El, &World);

/// One step of the script.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub kind: u8,
    pub a: u8,
    pub b: u8,
}

/// Handle of a registration.
#[derive(Debug, Clone, Copy)]
pub enum AnyHandle {
    Other(Handle),
    Timer(TimerHandle),
    Watcher(Watcher<Source>),
}

impl From<AnyHandle> for Handle {
    fn from(handle: AnyHandle) -> Handle {
        match handle {
            AnyHandle::Other(handle) => handle,
            AnyHandle::Timer(timer) => timer.into(),
            AnyHandle::Watcher(watcher) => watcher.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    Reader,
    Writer,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Life {
    /// Registration has not returned yet.
    #[default]
    Pending,
    Alive,
    /// Being removed: the callback must not run again, but its handle may still be valid.
    Leaving,
    Gone,
}

#[derive(Debug, Default)]
struct Entry {
    life: Life,
    handle: Option<AnyHandle>,
    runs: bool,
    dropped: bool,
    /// Watched stream, by serial number, with the role of the watcher. `owner` is shared with the
    /// source.
    watches: Option<(usize, Role)>,
    owner: Rc<Cell<usize>>,
}

#[derive(Debug)]
pub struct Model {
    pub clock: SimClock,
    pub remote: OnceCell<Remote<World>>,
    script: RefCell<VecDeque<Step>>,
    entries: RefCell<Vec<Entry>>,
    streams: RefCell<Vec<(usize, Rc<UnixStream>, UnixStream)>>,
    handler: Cell<Option<usize>>,
    /// One clone for each sent closure that was not dropped yet.
    sent: Arc<()>,
}

/// Part of a callback. Its drop is recorded, and then does a step.
#[derive(Debug)]
pub struct Probe {
    id: usize,
    el: El,
    world: World,
    act: Act,
}

impl Probe {
    pub fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.world.dropped(self.id);
            (self.act)(&self.el, &self.world);
        }
    }
}

/// Watched stream that does a step when dropped.
#[derive(Debug)]
pub struct Source {
    stream: Rc<UnixStream>,
    serial: usize,
    owner: Rc<Cell<usize>>,
    el: El,
    world: World,
    act: Act,
}

impl Source {
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Returns the id of the callback that owns this source. After a replacement it differs from
    /// the callback that runs.
    pub fn owner(&self) -> usize {
        self.owner.get()
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.world.leaves(self.owner.get());
            (self.act)(&self.el, &self.world);
        }
    }
}

/// Returns a loop, and its model with the script.
pub fn world(kind: SelectorKind, script: &[Step]) -> (EventLoop<World>, World) {
    let clock = SimClock::new();
    let model = Model {
        clock: clock.clone(),
        remote: OnceCell::new(),
        script: RefCell::new(script.iter().copied().collect()),
        entries: RefCell::default(),
        streams: RefCell::default(),
        handler: Cell::new(None),
        sent: Arc::new(()),
    };
    (0..3).for_each(|i| model.streams.borrow_mut().push(stream(i)));
    let world = Rc::new(model);
    let builder = EventLoop::builder().selector(loopback::selector(kind)).clock(clock);
    let el: EventLoop<World> = builder.build_with(world.clone()).expect("a loop");
    world.remote.set(el.remote().background()).expect("the cell is empty");
    (el, world)
}

fn stream(serial: usize) -> (usize, Rc<UnixStream>, UnixStream) {
    let (stream, peer) = UnixStream::pair().expect("a pair of sockets");
    peer.set_nonblocking(true).expect("the flag can be set");
    (serial, Rc::new(stream), peer)
}

impl Model {
    pub fn next_step(&self) -> Option<Step> {
        self.script.borrow_mut().pop_front()
    }

    pub fn more(&self, script: &[Step]) {
        self.script.borrow_mut().extend(script);
    }

    pub fn is_over(&self) -> bool {
        self.script.borrow().is_empty()
    }

    /// Returns the signal that the callbacks handle and raise. By default it is ignored.
    pub fn signal(&self) -> Signal {
        Signal::URG
    }

    fn with<T>(&self, id: usize, look: impl FnOnce(&mut Entry) -> T) -> T {
        look(&mut self.entries.borrow_mut()[id])
    }

    /// Returns the id of a new callback.
    pub fn enter(&self) -> usize {
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry::default());
        entries.len() - 1
    }

    /// Returns the id of a closure for another thread, and a token that the closure must own.
    pub fn enter_sent(&self) -> (usize, Arc<()>) {
        let id = self.enter();
        // The closure cannot record its drop; `verify` checks the count of `sent` instead.
        self.with(id, |entry| (entry.life, entry.dropped) = (Life::Alive, true));
        (id, self.sent.clone())
    }

    pub fn probe(self: &Rc<Model>, el: &El, act: Act) -> Probe {
        Probe { id: self.enter(), el: el.clone(), world: self.clone(), act }
    }

    pub fn source(self: &Rc<Model>, el: &El, which: u8, id: usize, act: Act) -> Source {
        let streams = self.streams.borrow();
        let (serial, stream, _) = &streams[usize::from(which) % streams.len()];
        let owner = Rc::new(Cell::new(id));
        self.with(id, |entry| entry.owner = owner.clone());
        let (el, world) = (el.clone(), self.clone());
        Source { stream: stream.clone(), serial: *serial, owner, el, world, act }
    }

    /// Returns true if no live watcher conflicts with the new one, and then records the new one.
    pub fn takes(&self, id: usize, source: &Source, role: Role) -> bool {
        let conflicts = |entry: &Entry| match entry.watches {
            Some((serial, other)) if serial == source.serial => {
                let lives = matches!(entry.life, Life::Pending | Life::Alive);
                lives && (role == Role::Both || other == Role::Both || role == other)
            }
            _ => false,
        };
        let free = !self.entries.borrow().iter().any(conflicts);
        if free {
            self.with(id, |entry| entry.watches = Some((source.serial, role)));
        }
        free
    }

    /// Records the result of a registration. If the loop is closed, the callback must have been
    /// dropped.
    pub fn added(&self, id: usize, el: &El, added: Result<AnyHandle>) {
        self.with(id, |entry| match added {
            Ok(handle) if !el.is_closed() => {
                entry.handle = Some(handle);
                if entry.life == Life::Pending {
                    entry.life = Life::Alive;
                }
            }
            _ => assert!(entry.dropped, "a refused callback was kept: {entry:?}"),
        });
    }

    pub fn handles_exceptions(&self, id: usize) {
        if self.with(id, |entry| entry.life != Life::Pending) {
            return; // Already dropped: the loop is closed, or another handler was set in between.
        }
        self.with(id, |entry| entry.life = Life::Alive);
        if let Some(former) = self.handler.replace(Some(id)) {
            self.leaves(former);
        }
    }

    /// Records that a callback begins to run.
    pub fn begins(&self, id: usize, once: bool) {
        self.with(id, |entry| {
            assert_eq!(entry.life, Life::Alive, "a removed callback runs: {entry:?}");
            assert!(!entry.runs, "a callback runs inside itself: {entry:?}");
            entry.runs = true;
            if once {
                entry.life = Life::Gone;
            }
        });
    }

    pub fn returns(&self, id: usize) {
        self.with(id, |entry| entry.runs = false);
    }

    /// Records that the callback must not run again.
    pub fn leaves(&self, id: usize) {
        self.with(id, |entry| {
            if entry.life != Life::Gone {
                entry.life = Life::Leaving;
            }
        });
    }

    fn dropped(&self, id: usize) {
        self.with(id, |entry| {
            assert!(!entry.dropped, "dropped twice: {entry:?}");
            assert!(!entry.runs || entry.life == Life::Gone, "dropped while it runs: {entry:?}");
            entry.dropped = true;
            entry.life = Life::Gone;
        });
    }

    /// Returns the id and handle of some registration, which may be over.
    pub fn pick(&self, at: u8) -> Option<(usize, AnyHandle)> {
        let entries = self.entries.borrow();
        let handles = entries.iter().enumerate().filter_map(|(id, it)| Some((id, it.handle?)));
        let handles: Vec<_> = handles.collect();
        // The latest are the most likely to be alive.
        handles.iter().rev().nth(usize::from(at) % handles.len().clamp(1, 16)).copied()
    }

    /// Checks the result of a call that returns whether the registration exists.
    pub fn expect(&self, id: usize, answer: bool) {
        self.with(id, |entry| match entry.life {
            Life::Alive => {
                assert!(answer, "returned false for a registration that exists: {entry:?}")
            }
            Life::Gone => {
                assert!(!answer, "returned true for a registration that is gone: {entry:?}")
            }
            Life::Leaving | Life::Pending => {}
        });
    }

    /// Records that the callback is going to be cancelled. Returns whether it must exist; `None` if
    /// either is allowed.
    pub fn cancels(&self, id: usize) -> Option<bool> {
        self.with(id, |entry| match std::mem::replace(&mut entry.life, Life::Gone) {
            Life::Alive => Some(true),
            Life::Gone => Some(false),
            Life::Leaving | Life::Pending => None,
        })
    }

    pub fn cancelled(&self, id: usize, lived: Option<bool>, answer: bool) {
        assert!(lived.is_none_or(|lived| lived == answer), "cancel returned {answer}");
        self.with(id, |entry| {
            assert!(
                !answer || entry.dropped || entry.runs,
                "cancel returned before its captures were dropped: {entry:?}"
            );
        });
    }

    /// Moves the source from one callback to its replacement. Returns true if it had a source.
    pub fn moves_source(&self, from: usize, replacement: usize) -> bool {
        let (life, watches, owner) = self.with(from, |entry| {
            let life = std::mem::replace(&mut entry.life, Life::Gone);
            (life, entry.watches, entry.owner.clone())
        });
        if life == Life::Gone {
            return false;
        }
        owner.set(replacement);
        self.with(replacement, |entry| (entry.watches, entry.owner) = (watches, owner));
        if life == Life::Leaving {
            self.leaves(replacement);
        }
        true
    }

    /// Makes a stream readable, or hits a full or closed one.
    pub fn write(&self, which: u8) {
        let streams = self.streams.borrow();
        let (_, _, peer) = &streams[usize::from(which) % streams.len()];
        let _ = (&*peer).write(b"chaos"); // `WouldBlock` and `EPIPE` are fine.
    }

    /// Replaces a stream by a new one. The peer of the old one is dropped.
    pub fn renew(&self, which: u8) {
        let mut streams = self.streams.borrow_mut();
        let serial = streams.iter().map(|(serial, ..)| serial + 1).max().unwrap_or(0);
        let place = usize::from(which) % streams.len();
        streams[place] = stream(serial);
    }

    /// Checks that everything was dropped. Called after the end of the loop.
    pub fn verify(&self) {
        for (id, entry) in self.entries.borrow().iter().enumerate() {
            assert!(entry.dropped, "{id} was never dropped: {entry:?}");
        }
        assert_eq!(Arc::strong_count(&self.sent), 1, "a sent closure was never dropped");
    }
}
