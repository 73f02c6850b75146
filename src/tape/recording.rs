//! The writer of a tape, on the loop's thread.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{SystemTime, UNIX_EPOCH};

use mainspring_sys::shared_map::SharedMap;

use super::causes::{BY_SOURCES, Causes, UNKNOWN};
use super::layout::{self, Reason, Record, TIME_BITS};
use super::live::LiveTape;
use super::reading::{Tape, now};
use super::recorder::Recorder;
use super::turn::TurnKind;
use super::turn_id::TurnId;

/// The start of a turn, in the form of a record: a larger struct would be copied, which stalls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) kind: TurnKind,
    pub(crate) id: TurnId,
    /// Number of its [place](Recording::place); 0 without one.
    pub(crate) place: u16,
    pub(crate) cause: Reason,
}

impl Start {
    /// A call of the selector that may sleep.
    pub(crate) const SLEEP: Start = Start::of_loop(TurnKind::Sleep, Reason::LOOP);
    /// A call of the selector that does not sleep, and the work after it.
    pub(crate) const POLL: Start = Start::of_loop(TurnKind::Loop, Reason::POLL);
    /// Other work of the loop.
    pub(crate) const LOOP: Start = Start::of_loop(TurnKind::Loop, Reason::LOOP);

    const fn of_loop(kind: TurnKind, cause: Reason) -> Start {
        Start { kind, id: TurnId::NONE, place: 0, cause }
    }
}

/// Number of places that are found without a map.
const CACHED: usize = 256;

/// Words from the beginning of a record to the one that is prefetched: 32 turns.
const PREFETCHED: usize = 64;

/// Maximum length of a name, in bytes.
const LONGEST_NAME: usize = 256;

type PlaceKey = (*const Location<'static>, Option<Rc<str>>);

/// A tape that is being written.
pub(crate) struct Recording {
    memory: Arc<SharedMap>,
    recorder: Recorder,
    /// Number of records that were written.
    head: Cell<u64>,
    /// Index of the word at which the next record begins, and of the one after the ring.
    next: Cell<usize>,
    end: usize,
    epoch: Cell<u64>,
    /// Time of the latest record. Later ones are never earlier.
    latest: Cell<u64>,
    is_off: Cell<bool>,
    /// Numbers of the places in the table. Places without a name have 0 if it is full.
    places: RefCell<HashMap<PlaceKey, u16>>,
    /// Number of places in the table.
    placed: Cell<u16>,
    /// Number of words of the table. A forked child does not read it from the memory, to which its
    /// parent adds places.
    places_words: Cell<usize>,
    /// True if the table has no room for further names.
    is_full_of_names: Cell<bool>,
    /// Numbers of places without a name, by address.
    cache: Box<[Cell<(*const Location<'static>, u16)>; CACHED]>,
    causes: Causes,
}

impl Recording {
    /// Opens a tape. `elapsed` returns the time since the start of the loop, in nanoseconds.
    pub(crate) fn open(
        recorder: &Recorder,
        elapsed: impl FnOnce() -> u64,
    ) -> io::Result<Recording> {
        let memory = recorder.open()?;
        // Read now: a large file takes longer to create than most callbacks run.
        let elapsed = elapsed();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = (since_1970.as_nanos() as u64).saturating_sub(elapsed);
        let words = &memory;
        words[layout::STARTED].store(started, Relaxed);
        words[layout::ORIGIN].store(now().saturating_sub(elapsed / 1000), Relaxed);
        begin_header(words, recorder.capacity());
        Ok(Recording {
            memory: Arc::new(memory),
            recorder: recorder.clone(),
            head: Cell::new(0),
            next: Cell::new(layout::RING_START),
            end: layout::words(recorder.capacity()),
            epoch: Cell::new(0),
            latest: Cell::new(0),
            is_off: Cell::new(false),
            places: RefCell::default(),
            placed: Cell::new(0),
            places_words: Cell::new(0),
            is_full_of_names: Cell::new(false),
            cache: Box::new([const { Cell::new((ptr::null(), 0)) }; CACHED]),
            causes: Causes::default(),
        })
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        &self.memory
    }

    /// Returns the tape for other threads; `None` in a forked child that does not record.
    pub(crate) fn live(&self) -> Option<LiveTape> {
        (!self.is_off.get()).then(|| LiveTape(self.memory.clone()))
    }

    /// Returns the current content of the tape, unless it is off.
    pub(crate) fn tape(&self) -> Option<Tape> {
        self.last_turns(u64::MAX)
    }

    /// Returns the last turns, at most `limit`. `None` if the tape is off: the turns in the file
    /// are those of the parent.
    pub(crate) fn last_turns(&self, limit: u64) -> Option<Tape> {
        if self.is_off.get() {
            return None;
        }
        Tape::of_words(self.words(), limit, now(), None)
    }

    /// Stops recording in a forked child if it is in a file, because its parent continues to write
    /// this file. A ring in memory starts empty, without the turns of the parent.
    pub(crate) fn after_fork(&self) {
        self.is_off.set(self.recorder.is_file() || self.begin_again().is_err());
    }

    /// Begins an empty ring in memory of the child, with the places of its parent.
    fn begin_again(&self) -> io::Result<()> {
        let words = self.words();
        let places = layout::PLACES_START..layout::RING_START;
        let kept = [layout::STARTED, layout::ORIGIN].into_iter().chain(places);
        let kept: Vec<_> = kept.map(|at| (at, words[at].load(Relaxed))).collect();
        self.memory.after_fork()?;
        kept.into_iter().for_each(|(at, word)| words[at].store(word, Relaxed));
        words[layout::PLACES].store(self.places_words.get() as u64, Relaxed);
        words[layout::EPOCH].store(self.epoch.get(), Relaxed);
        self.head.set(0);
        self.next.set(layout::RING_START);
        self.forget_causes();
        begin_header(words, self.recorder.capacity());
        Ok(())
    }

    /// Records the beginning of a turn at `time`, in nanoseconds since the start of the loop. What
    /// the turn feeds follows the `queued` entries of the ready deque.
    // Always inlined: a call would be a quarter of its cost.
    #[inline(always)]
    pub(crate) fn begin(&self, time: u64, queued: usize, start: Start) {
        let number = self.write(time, start);
        self.causes.mark(queued, number);
    }

    /// Records the beginning of a turn of the loop, like [`begin`](Recording::begin). What follows
    /// the `queued` entries is fed by the sources of the tick.
    #[inline(always)]
    pub(crate) fn begin_loop(&self, time: u64, queued: usize, start: Start) {
        self.write(time, start);
        self.causes.mark(queued, BY_SOURCES);
    }

    /// Writes a record, unless the tape is off. Returns its number.
    #[inline(always)]
    fn write(&self, time: u64, start: Start) -> u64 {
        if self.is_off.get() {
            return self.head.get();
        }
        let time = self.monotonic(time);
        if time >> TIME_BITS != self.epoch.get() {
            self.begin_epoch(time);
        }
        let number = self.head.get();
        self.store(time, start);
        number
    }

    /// Returns the number of records, including those that the ring has overwritten.
    pub(crate) fn count(&self) -> u64 {
        self.head.get()
    }

    /// Removes the records after the first `count`: those turns have not run.
    pub(crate) fn take_back(&self, count: u64) {
        if !self.is_off.get() && count < self.head.get() {
            self.words()[layout::HEAD].store(count, Release);
            self.head.set(count);
            self.next.set(layout::position(count, self.recorder.capacity() as u64));
        }
    }

    #[inline(always)]
    fn store(&self, time: u64, Start { kind, id: TurnId(key), place, cause }: Start) {
        let (words, head, next) = (self.words(), self.head.get() + 1, self.next.get());
        let [first, second] = Record { time, place, key, kind, cause }.pack();
        words[next].store(first, Relaxed);
        words[next + 1].store(second, Relaxed);
        // After the record: a reader that sees the number sees the record.
        words[layout::HEAD].store(head, Release);
        self.head.set(head);
        // In a ring that is larger than the caches, each fourth turn would wait for memory.
        self.memory.prefetch(next + PREFETCHED);
        self.next.set(if next + 2 < self.end { next + 2 } else { layout::RING_START });
    }

    /// Begins the epoch of `time`. A turn longer than an epoch gets intermediate records, because a
    /// reader derives the epochs from the order of times.
    #[cold]
    fn begin_epoch(&self, time: u64) {
        const LONGEST: u64 = (1 << TIME_BITS) - 1;
        let words = self.words();
        let begin = |epoch: u64| {
            self.epoch.set(epoch);
            words[layout::EPOCH].store(epoch, Relaxed);
        };
        if let Some(number) = self.head.get().checked_sub(1) {
            let at = layout::position(number, self.recorder.capacity() as u64);
            let last = Record::unpack([&words[at], &words[at + 1]].map(|word| word.load(Relaxed)));
            let start = Start {
                kind: last.kind,
                id: TurnId(last.key),
                place: last.place,
                cause: last.cause,
            };
            let mut latest = self.epoch.get() << TIME_BITS | last.time;
            while time - latest > LONGEST {
                latest += LONGEST;
                begin(latest >> TIME_BITS);
                self.store(latest, start);
            }
        }
        begin(time >> TIME_BITS);
    }

    /// Notes that entries of the ready deque from `queued` on are fed by `by`.
    #[inline]
    pub(crate) fn mark(&self, queued: usize, by: u64) {
        self.causes.mark(queued, by);
    }

    /// Begins a batch: the ready deque has become the batch of `queued` entries, and is empty.
    #[inline(always)]
    pub(crate) fn begin_batch(&self, queued: usize) {
        self.causes.begin_batch(queued);
    }

    /// Notes that the timers of a tick are fed next, into a ready deque of `queued` keys. Returns
    /// the list of the deadlines of those that feed a key.
    pub(crate) fn begin_timers(&self, queued: usize) -> RefMut<'_, Vec<u64>> {
        self.causes.begin_timers(queued)
    }

    /// Forgets the causes of what is queued, after a batch that was interrupted.
    pub(crate) fn forget_causes(&self) {
        self.causes.clear();
    }

    /// Returns the turn that has fed the entry of the batch at `position`, or one of
    /// the constants. Positions only grow in a batch.
    #[inline]
    pub(crate) fn fed_by(&self, position: usize) -> u64 {
        self.causes.fed_by(position)
    }

    /// Returns the deadline of the timer that has fed the entry of the batch at `position`.
    #[inline]
    pub(crate) fn deadline(&self, position: usize) -> Option<u64> {
        self.causes.deadline(position)
    }

    /// Returns the reason of a turn that the turn `by` has caused. Other numbers have none.
    #[inline]
    pub(crate) fn caused_by(&self, by: u64) -> Reason {
        if by < UNKNOWN { Reason::turn(self.head.get() - by) } else { Reason::LOOP }
    }

    /// Returns the number of a place, which is added to the table with its first turn; 0 if the
    /// table is full.
    #[inline]
    pub(crate) fn place(&self, location: &'static Location<'static>) -> u16 {
        let address = ptr::from_ref(location);
        let cached = &self.cache[(address.addr() >> 3) % CACHED];
        let (cached_address, number) = cached.get();
        if cached_address == address {
            return number;
        }
        let number = self.find_place(location, None);
        cached.set((address, number));
        number
    }

    /// Like [`place`](Recording::place), for a registration with a name.
    #[cold]
    pub(crate) fn find_place(
        &self,
        location: &'static Location<'static>,
        name: Option<Rc<str>>,
    ) -> u16 {
        let key = (ptr::from_ref(location), name.map(shortened));
        if let Some(number) = self.places.borrow().get(&key) {
            return *number;
        }
        let (file, line) = (location.file(), location.line());
        let added = match &key.1 {
            None => self.add_place(&format!("{file}:{line}"), layout::PLACES_WORDS),
            Some(_) if self.is_full_of_names.get() => None,
            Some(name) => self.add_place(&format!("{name} ({file}:{line})"), layout::NAMES_WORDS),
        };
        if added.is_none() && key.1.is_some() {
            // The place is not kept: a program may have any number of names.
            self.is_full_of_names.set(true);
            return self.place(location);
        }
        *self.places.borrow_mut().entry(key).or_insert(added.unwrap_or(0))
    }

    /// Appends a place to the table: a word with the length of the text, then the text. Returns its
    /// number, or `None` if the table would have more than `limit` words.
    fn add_place(&self, text: &str, limit: usize) -> Option<u16> {
        let words = self.words();
        let used = self.places_words.get();
        let len = 1 + text.len().div_ceil(8);
        if used + len > limit {
            return None;
        }
        let at = layout::PLACES_START + used;
        words[at].store(text.len() as u64, Relaxed);
        for (word, bytes) in words[at + 1..].iter().zip(text.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Relaxed);
        }
        self.places_words.set(used + len);
        words[layout::PLACES].store((used + len) as u64, Release);
        self.placed.set(self.placed.get() + 1);
        Some(self.placed.get())
    }

    /// Returns a time for a record that is not before the latest one: custom clocks may go back.
    #[inline]
    fn monotonic(&self, time: u64) -> u64 {
        let time = time.max(self.latest.get());
        self.latest.set(time);
        time
    }
}

/// Returns the end of a long name, which leaves room for others.
fn shortened(name: Rc<str>) -> Rc<str> {
    match name.len() > LONGEST_NAME {
        true => layout::end_of(&name, LONGEST_NAME).into(),
        false => name,
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
