//! The writer of a tape, on the loop's thread.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{SystemTime, UNIX_EPOCH};

use mainspring_sys::inherited::monotonic_micros;

use super::layout::{self, Record, TIME_BITS};
use super::reading::Tape;
use super::recorder::{Memory, Recorder};
use super::turn::{Cause, TurnKind};
use super::turn_id::TurnId;
use crate::handle::Key;

/// The beginning of a turn.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) kind: TurnKind,
    /// Key of the registration; [`Key::NONE`] for the loop.
    pub(crate) key: Key,
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) name: Option<Rc<str>>,
    pub(crate) cause: Cause,
    /// Deadline of a timer, in nanoseconds since the start of the loop.
    pub(crate) deadline: Option<u64>,
}

impl Start {
    /// Returns the beginning of a turn of the loop.
    pub(crate) fn of_loop(kind: TurnKind) -> Start {
        let (location, name, deadline) = (None, None, None);
        Start { kind, key: Key::NONE, location, name, cause: Cause::Loop, deadline }
    }
}

/// Number of places that are found without a map.
const CACHED: usize = 256;

type PlaceKey = (*const Location<'static>, Option<Rc<str>>);

/// A tape that is being written.
pub(crate) struct Recording {
    memory: Memory,
    /// Memory of a forked child, instead of its parent's.
    forked: OnceCell<Memory>,
    recorder: Recorder,
    capacity: usize,
    head: Cell<u64>,
    epoch: Cell<u64>,
    /// Time of the latest record, which no later one precedes.
    latest: Cell<u64>,
    is_off: Cell<bool>,
    places: RefCell<HashMap<PlaceKey, u16>>,
    /// Numbers of places without a name, by address.
    cache: Box<[Cell<(*const Location<'static>, u16)>]>,
    /// Turns that fed the ready deque: the length of the deque before the turn, and its number.
    fed: RefCell<Vec<(u32, u64)>>,
    /// The same for the batch that runs.
    fed_batch: RefCell<Vec<(u32, u64)>>,
    /// Deadlines of the timers in the ready deque, and of those in the batch.
    deadlines: RefCell<Deadlines>,
    batch_deadlines: RefCell<Deadlines>,
}

/// Deadlines of the timers that a tick has fed, in the order of the ready deque.
#[derive(Debug, Default)]
struct Deadlines {
    /// Position of the first one in the ready deque.
    from: usize,
    /// In nanoseconds since the start of the loop.
    nanos: Vec<u64>,
}

/// Stands in `fed` for the sources of a tick, instead of the number of a turn.
pub(crate) const BY_SOURCES: u64 = u64::MAX;
/// Stands in `fed` for other threads.
pub(crate) const BY_THREADS: u64 = u64::MAX - 1;
/// Stands in `fed` for the timers of other clocks.
pub(crate) const BY_CLOCKS: u64 = u64::MAX - 2;

impl Recording {
    /// Opens a tape for a loop that starts now.
    pub(crate) fn open(recorder: &Recorder) -> io::Result<Recording> {
        let memory = recorder.open()?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let words = memory.words();
        words[layout::STARTED].store(since_1970.as_nanos() as u64, Relaxed);
        words[layout::ORIGIN].store(monotonic_micros().unwrap_or(0), Relaxed);
        begin_header(words, recorder.capacity());
        Ok(Recording {
            memory,
            forked: OnceCell::new(),
            recorder: recorder.clone(),
            capacity: recorder.capacity(),
            head: Cell::new(0),
            epoch: Cell::new(0),
            latest: Cell::new(0),
            is_off: Cell::new(false),
            places: RefCell::default(),
            cache: vec![Cell::new((std::ptr::null(), 0)); CACHED].into(),
            fed: RefCell::default(),
            fed_batch: RefCell::default(),
            deadlines: RefCell::default(),
            batch_deadlines: RefCell::default(),
        })
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        self.forked.get().unwrap_or(&self.memory).words()
    }

    /// Returns what the tape holds now.
    pub(crate) fn tape(&self) -> Option<Tape> {
        Tape::of_words(self.words())
    }

    /// Stops recording in a forked child if it is in a file, because its parent continues to write
    /// this file. A ring in memory begins again, without the turns of the parent.
    pub(crate) fn after_fork(&self) {
        let is_new = self.begin_again().is_some_and(|memory| self.forked.set(memory).is_ok());
        self.is_off.set(!is_new);
    }

    fn begin_again(&self) -> Option<Memory> {
        if self.recorder.is_file() {
            return None;
        }
        let (memory, old) = (self.recorder.open().ok()?, self.words());
        let words = memory.words();
        let places = layout::PLACES_START..layout::RING_START;
        for at in [layout::PLACES, layout::STARTED, layout::ORIGIN].into_iter().chain(places) {
            words[at].store(old[at].load(Relaxed), Relaxed);
        }
        words[layout::EPOCH].store(self.epoch.get(), Relaxed);
        self.head.set(0);
        self.forget_causes();
        begin_header(words, self.capacity);
        Some(memory)
    }

    /// Records the beginning of a turn at `time`, in nanoseconds since the start of the loop.
    /// `queued` is the length of the ready deque.
    pub(crate) fn begin(&self, time: u64, queued: usize, start: &Start) {
        if self.is_off.get() {
            return;
        }
        let place = start.location.map_or(0, |location| self.place(location, &start.name));
        let late = start.deadline.map(|deadline| time.saturating_sub(deadline));
        let (cause, value) = self.encode(start.cause, late);
        let (kind, TurnId(key)) = (start.kind, TurnId::of(start.key));
        self.mark(queued, self.head.get());
        self.store(time, Record { time, place, key, kind, cause, value });
    }

    /// Returns the number of records, those included that the ring has lost.
    pub(crate) fn count(&self) -> u64 {
        self.head.get()
    }

    /// Removes the records after the first `count`: what they record has not run.
    pub(crate) fn take_back(&self, count: u64) {
        if !self.is_off.get() && count < self.head.get() {
            self.memory.words()[layout::HEAD].store(count, Release);
            self.head.set(count);
        }
    }

    #[inline]
    fn store(&self, time: u64, record: Record) {
        let (words, head) = (self.words(), self.head.get());
        let at = layout::RING_START + 2 * (head % self.capacity as u64) as usize;
        let [first, second] = record.pack();
        if time >> TIME_BITS != self.epoch.get() {
            self.epoch.set(time >> TIME_BITS);
            words[layout::EPOCH].store(time >> TIME_BITS, Relaxed);
        }
        words[at].store(first, Relaxed);
        words[at + 1].store(second, Relaxed);
        // After the record: a reader that sees the number sees the record.
        words[layout::HEAD].store(head + 1, Release);
        self.head.set(head + 1);
    }

    fn encode(&self, cause: Cause, late: Option<u64>) -> (u8, u32) {
        match cause {
            Cause::Loop => (0, 0),
            Cause::Fd(fd) => (1, u32::try_from(fd).unwrap_or(0)),
            Cause::Timer => (2, late.map_or(layout::UNKNOWN, layout::pack_lateness)),
            Cause::Thread => (3, 0),
            Cause::Signal => (4, 0),
            Cause::Child => (5, 0),
            Cause::Turn(number) => (6, layout::distance(self.head.get() - number)),
        }
    }

    /// Notes that entries of the ready deque from `queued` on are fed by the turn `by`.
    pub(crate) fn mark(&self, queued: usize, by: u64) {
        let mut fed = self.fed.borrow_mut();
        let queued = queued as u32;
        match fed.last_mut() {
            Some(last) if last.0 == queued => last.1 = by, // The turn before has fed nothing.
            _ => fed.push((queued, by)),
        }
    }

    /// Begins a batch: the ready deque has become the batch, and is empty.
    pub(crate) fn begin_batch(&self) {
        mem::swap(&mut *self.fed.borrow_mut(), &mut *self.fed_batch.borrow_mut());
        self.fed.borrow_mut().clear();
        mem::swap(&mut *self.deadlines.borrow_mut(), &mut *self.batch_deadlines.borrow_mut());
        self.deadlines.borrow_mut().nanos.clear();
    }

    /// Notes that the timers of a tick are fed next, into a ready deque of `queued` keys.
    pub(crate) fn begin_timers(&self, queued: usize) {
        self.deadlines.borrow_mut().from = queued;
    }

    /// Notes that a timer was due. It has fed a key if the ready deque has one key more.
    pub(crate) fn add_deadline(&self, queued: usize, deadline: u64) {
        let Deadlines { from, nanos } = &mut *self.deadlines.borrow_mut();
        if queued == *from + nanos.len() + 1 {
            nanos.push(deadline);
        }
    }

    /// Returns the deadline of the timer that fed the entry of the batch at `position`; `None` if
    /// something else did.
    pub(crate) fn deadline_at(&self, position: usize) -> Option<u64> {
        let Deadlines { from, nanos } = &*self.batch_deadlines.borrow();
        nanos.get(position.checked_sub(*from)?).copied()
    }

    /// Forgets the causes of what is queued, after a batch that was interrupted.
    pub(crate) fn forget_causes(&self) {
        self.fed.borrow_mut().clear();
        self.fed_batch.borrow_mut().clear();
        self.deadlines.borrow_mut().nanos.clear();
        self.batch_deadlines.borrow_mut().nanos.clear();
    }

    /// Returns what fed the entry of the batch at `position`; `None` if that is unknown.
    pub(crate) fn fed_by(&self, position: usize) -> Option<u64> {
        let fed = self.fed_batch.borrow();
        let after = fed.partition_point(|(from, _)| *from as usize <= position);
        fed.get(after.checked_sub(1)?).map(|(_, by)| *by)
    }

    /// Returns the number of a place, which enters the table with its first turn; 0 if it is full.
    fn place(&self, location: &'static Location<'static>, name: &Option<Rc<str>>) -> u16 {
        let address = std::ptr::from_ref(location);
        let cached = &self.cache[(address.addr() >> 3) % CACHED];
        if name.is_none() && cached.get().0 == address {
            return cached.get().1;
        }
        let mut places = self.places.borrow_mut();
        let next = u16::try_from(places.len() + 1).unwrap_or(0);
        let number = *places.entry((address, name.clone())).or_insert_with(|| {
            let text = match name {
                Some(name) => format!("{name} ({}:{})", location.file(), location.line()),
                None => format!("{}:{}", location.file(), location.line()),
            };
            if self.add_place(&text) { next } else { 0 }
        });
        if name.is_none() {
            cached.set((address, number));
        }
        number
    }

    /// Appends a place to the table: a word with the length of the text, then the text.
    fn add_place(&self, text: &str) -> bool {
        let words = self.words();
        let used = words[layout::PLACES].load(Relaxed) as usize;
        let len = 1 + text.len().div_ceil(8);
        if used + len > layout::PLACES_WORDS {
            return false;
        }
        let at = layout::PLACES_START + used;
        words[at].store(text.len() as u64, Relaxed);
        for (word, bytes) in words[at + 1..].iter().zip(text.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Relaxed);
        }
        words[layout::PLACES].store((used + len) as u64, Release);
        true
    }

    /// Returns a time for a record that is not before the latest one: clocks of users may go back.
    pub(crate) fn monotonic(&self, time: u64) -> u64 {
        let time = time.max(self.latest.get());
        self.latest.set(time);
        time
    }
}

/// Completes the header of a tape, which makes it readable.
fn begin_header(words: &[AtomicU64], capacity: usize) {
    words[layout::CAPACITY].store(capacity as u64, Relaxed);
    words[layout::PROCESS].store(u64::from(std::process::id()), Relaxed);
    words[0].store(layout::MAGIC, Release);
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording({} turns)", self.head.get())
    }
}
