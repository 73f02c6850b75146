//! The world that chaos plays in: what is registered, what is dropped, and the script of what
//! happens next.

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

/// The model, which is the state of the loop and is shared with everything that is dropped.
pub type World = Rc<Model>;
type El = LoopHandle<World>;
type Act = fn(&El, &World);

/// A step of the script.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub kind: u8,
    pub a: u8,
    pub b: u8,
}

/// What a registration is called.
#[derive(Debug, Clone, Copy)]
pub enum Thing {
    Other(Handle),
    Timer(TimerHandle),
    Watcher(Watcher<Source>),
}

impl From<Thing> for Handle {
    fn from(thing: Thing) -> Handle {
        match thing {
            Thing::Other(handle) => handle,
            Thing::Timer(timer) => timer.into(),
            Thing::Watcher(watcher) => watcher.into(),
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
    /// Being registered.
    #[default]
    Pending,
    Alive,
    /// On its way out: it must not run again, and the loop may still know its name.
    Leaving,
    Gone,
}

#[derive(Debug, Default)]
struct Entry {
    life: Life,
    thing: Option<Thing>,
    runs: bool,
    dropped: bool,
    /// The stream that it watches, as what, and what its source calls its owner.
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
    /// One for each closure that was sent and not dropped.
    sent: Arc<()>,
}

/// Part of a callback: counts that it is dropped, and then does a step.
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

/// A watched stream that does a step when it is dropped.
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

    /// Whose callback this is the source of: after a replacement no longer that of the callback
    /// that runs.
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

/// A loop, and its world with a script.
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
    world.remote.set(el.remote().background()).expect("it was empty");
    (el, world)
}

fn stream(serial: usize) -> (usize, Rc<UnixStream>, UnixStream) {
    let (stream, peer) = UnixStream::pair().expect("a pair of sockets");
    peer.set_nonblocking(true).expect("a flag");
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

    /// A signal that harms nobody who does not wait for it.
    pub fn signal(&self) -> Signal {
        Signal::URG
    }

    fn with<T>(&self, id: usize, look: impl FnOnce(&mut Entry) -> T) -> T {
        look(&mut self.entries.borrow_mut()[id])
    }

    /// Numbers a callback.
    pub fn enter(&self) -> usize {
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry::default());
        entries.len() - 1
    }

    /// A number for a closure of another thread, and what the closure is to own.
    pub fn enter_sent(&self) -> (usize, Arc<()>) {
        let id = self.enter();
        // Its end is seen from the count of what it owns.
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

    /// Whether nobody who lives stands in the way of a watcher; then it has the place.
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

    /// Notes how a registration ended. On a closed loop the callback must have been dropped.
    pub fn added(&self, id: usize, el: &El, added: Result<Thing>) {
        self.with(id, |entry| match added {
            Ok(thing) if !el.is_closed() => {
                entry.thing = Some(thing);
                if entry.life == Life::Pending {
                    entry.life = Life::Alive;
                }
            }
            _ => assert!(entry.dropped, "a refused callback was kept: {entry:?}"),
        });
    }

    pub fn handles_exceptions(&self, id: usize) {
        if self.with(id, |entry| entry.life != Life::Pending) {
            return; // Dropped, since the loop is closed or by a handler that was set even later.
        }
        self.with(id, |entry| entry.life = Life::Alive);
        if let Some(former) = self.handler.replace(Some(id)) {
            self.leaves(former);
        }
    }

    /// A callback begins to run.
    pub fn begins(&self, id: usize, once: bool) {
        self.with(id, |entry| {
            assert_eq!(entry.life, Life::Alive, "it was removed, and runs: {entry:?}");
            assert!(!entry.runs, "it runs within itself: {entry:?}");
            entry.runs = true;
            if once {
                entry.life = Life::Gone;
            }
        });
    }

    pub fn returns(&self, id: usize) {
        self.with(id, |entry| entry.runs = false);
    }

    /// It must not be called again.
    pub fn leaves(&self, id: usize) {
        self.with(id, |entry| {
            if entry.life != Life::Gone {
                entry.life = Life::Leaving;
            }
        });
    }

    fn dropped(&self, id: usize) {
        self.with(id, |entry| {
            assert!(!entry.dropped, "it was dropped twice: {entry:?}");
            assert!(!entry.runs || entry.life == Life::Gone, "dropped while it runs: {entry:?}");
            entry.dropped = true;
            entry.life = Life::Gone;
        });
    }

    /// A thing that was registered at some time.
    pub fn pick(&self, at: u8) -> Option<(usize, Thing)> {
        let entries = self.entries.borrow();
        let things = entries.iter().enumerate().filter_map(|(id, it)| Some((id, it.thing?)));
        let things: Vec<_> = things.collect();
        // The latest are the most likely to live.
        things.iter().rev().nth(usize::from(at) % things.len().clamp(1, 16)).copied()
    }

    /// The answer of a call that tells whether the registration is still there.
    pub fn expect(&self, id: usize, answer: bool) {
        self.with(id, |entry| match entry.life {
            Life::Alive => assert!(answer, "it is there: {entry:?}"),
            Life::Gone => assert!(!answer, "it is not there: {entry:?}"),
            Life::Leaving | Life::Pending => {}
        });
    }

    /// Notes that a callback is about to be cancelled.
    pub fn cancels(&self, id: usize) -> Option<bool> {
        self.with(id, |entry| match std::mem::replace(&mut entry.life, Life::Gone) {
            Life::Alive => Some(true),
            Life::Gone => Some(false),
            Life::Leaving | Life::Pending => None,
        })
    }

    pub fn cancelled(&self, id: usize, lived: Option<bool>, answer: bool) {
        assert!(lived.is_none_or(|lived| lived == answer), "cancel gave {answer}");
        self.with(id, |entry| {
            assert!(!answer || entry.dropped || entry.runs, "its captures live: {entry:?}");
        });
    }

    /// Gives the source of one callback to another, and tells whether it had one to give.
    pub fn inherits(&self, from: usize, heir: usize) -> bool {
        let (life, watches, owner) = self.with(from, |entry| {
            let life = std::mem::replace(&mut entry.life, Life::Gone);
            (life, entry.watches, entry.owner.clone())
        });
        if life == Life::Gone {
            return false;
        }
        owner.set(heir);
        self.with(heir, |entry| (entry.watches, entry.owner) = (watches, owner));
        if life == Life::Leaving {
            self.leaves(heir);
        }
        true
    }

    /// Makes a stream readable.
    pub fn write(&self, which: u8) {
        let streams = self.streams.borrow();
        let (_, _, peer) = &streams[usize::from(which) % streams.len()];
        let _ = (&*peer).write(b"chaos"); // Full or closed will do as well.
    }

    /// Puts a new stream in the place of an old one, whose peer hangs up.
    pub fn renew(&self, which: u8) {
        let mut streams = self.streams.borrow_mut();
        let serial = streams.iter().map(|(serial, ..)| serial + 1).max().unwrap_or(0);
        let place = usize::from(which) % streams.len();
        streams[place] = stream(serial);
    }

    /// After the end: everything was dropped.
    pub fn verify(&self) {
        for (id, entry) in self.entries.borrow().iter().enumerate() {
            assert!(entry.dropped, "{id} was kept: {entry:?}");
        }
        assert_eq!(Arc::strong_count(&self.sent), 1, "a closure of another thread was kept");
    }
}
