//! The values that go into a selector and come out of it.

use std::fmt;

use bitflags::bitflags;

/// What a registration is called in the kernel: a slot and the generation of its tenant.
///
/// The generation makes an event that arrives late miss, instead of reaching whoever has the slot
/// now.
///
/// ```
/// # use mainspring_sys::Token;
/// let token = Token::new(7, 2);
/// assert_eq!((token.slot(), token.generation()), (7, 2));
/// assert_eq!(Token::from_u64(token.to_u64()), token);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// The token of the `generation`-th tenant of `slot`.
    pub const fn new(slot: u32, generation: u32) -> Token {
        Token((generation as u64) << 32 | slot as u64)
    }

    /// The place in the table of whoever registered.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// Which tenant of the slot is meant.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The form that travels through the kernel.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The token that [`to_u64`](Token::to_u64) made `bits` of.
    pub const fn from_u64(bits: u64) -> Token {
        Token(bits)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}#{})", self.slot(), self.generation())
    }
}

bitflags! {
    /// What a registration asks for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Interest: u8 {
        /// A read that would not block.
        const READABLE = 0b001;
        /// A write that would not block.
        const WRITABLE = 0b010;
        /// Priority data: TCP's urgent byte, a pseudo terminal's control status.
        const PRIORITY = 0b100;
        /// The end of what the peer sends, without the data before it: its shutdown(2), a hang-up, an
        /// error. For a source that is not read for a while, so that a peer that has gone is noticed.
        ///
        /// [`READABLE`](Interest::READABLE) includes it. poll(2) and select(2) on systems without
        /// `POLLRDHUP` report hang-ups and errors only. select(2) does not see an end behind unread
        /// data until something else ends its wait. kqueue(2) has no filter for it: without
        /// `READABLE` it is the error `Unsupported` there.
        const READ_CLOSED = 1 << 5;
    }
}

impl Interest {
    /// The directions of an interest that `readiness` answers. The bits have the same values.
    pub const fn answered_by(readiness: Readiness) -> Interest {
        const DIRECTIONS: Interest =
            Interest::READABLE.union(Interest::WRITABLE).union(Interest::PRIORITY);
        Interest::from_bits_truncate(readiness.bits()).intersection(DIRECTIONS)
    }
}

bitflags! {
    /// What a selector reports.
    ///
    /// The first three and `READ_CLOSED` answer the bits of [`Interest`]. The first two mean "will
    /// not block", so end of file, an error and a hang-up set them too, asked for or not: whoever
    /// waits is always told. The others are facts that the kernel adds, and hints only: some kernels
    /// do not tell them in some situations.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Readiness: u8 {
        /// A read will not block: there is data, end of file or an error to fetch.
        const READABLE = 1;
        /// A write will not block: there is room, or an error to fetch.
        const WRITABLE = 1 << 1;
        /// There is priority data.
        const PRIORITY = 1 << 2;
        /// An error waits to be fetched by the next call on the fd.
        const ERROR = 1 << 3;
        /// Both directions are over. Data may still wait to be read.
        const HANGUP = 1 << 4;
        /// The peer will send nothing more. Data may still wait to be read.
        const READ_CLOSED = 1 << 5;
        /// The peer will take nothing more.
        const WRITE_CLOSED = 1 << 6;
        /// The fd was closed while it was registered: the registration is dead and must be removed.
        const INVALID = 1 << 7;
    }
}

impl Readiness {
    /// The bits that are reported whatever the interest is.
    pub const UNSOLICITED: Readiness = Readiness::ERROR
        .union(Readiness::HANGUP)
        .union(Readiness::READ_CLOSED)
        .union(Readiness::WRITE_CLOSED)
        .union(Readiness::INVALID);

    /// Returns this readiness with the bits that it implies.
    ///
    /// Every backend passes its reports through here, so that all of them give the same verdict: a
    /// hang-up closes both directions, an error ends writing, and what is closed or in error does
    /// not block.
    ///
    /// ```
    /// # use mainspring_sys::Readiness;
    /// // The read end of a pipe whose writer is gone: a read answers end of file at once.
    /// assert!(Readiness::HANGUP.with_implied().contains(Readiness::READABLE));
    /// ```
    pub const fn with_implied(self) -> Readiness {
        const BOTH: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);
        const ENDED: Readiness = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED);
        let mut all = self;
        if all.contains(Readiness::HANGUP) {
            all = all.union(ENDED);
        }
        if all.contains(Readiness::ERROR) {
            all = all.union(BOTH).union(Readiness::WRITE_CLOSED);
        }
        if all.contains(Readiness::READ_CLOSED) {
            all = all.union(Readiness::READABLE);
        }
        if all.contains(Readiness::WRITE_CLOSED) {
            all = all.union(Readiness::WRITABLE);
        }
        all
    }
}

impl From<Interest> for Readiness {
    /// The answers that `interest` can get. The bits have the same values.
    #[inline]
    fn from(interest: Interest) -> Readiness {
        Readiness::from_bits_retain(interest.bits())
    }
}

/// How often a readiness that lasts is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TriggerMode {
    /// In every [`select`](crate::Selector::select) for as long as it lasts.
    ///
    /// On FreeBSD 15 poll(2) and select(2) take the shut write side of a Unix socket for a hang-up. A
    /// registration that is still interested in reading is then reported each time, data or not. Edge
    /// mode reports it once.
    #[default]
    Level,
    /// Once; then the registration sleeps until the next
    /// [`reregister`](crate::Selector::reregister).
    Oneshot,
    /// When it begins, per direction. Whoever is told must go on until the call would block and
    /// then say [`clear_readiness`](crate::Selector::clear_readiness); until then further reports may come or not.
    ///
    /// An end, a hang-up and an error are reported when they come, on every selector, and a direction
    /// again after it was seen to be not ready. epoll(7) and kqueue(2) also report data that arrives
    /// behind data not yet read, and room that grows; poll(2) and select(2) have no sign of it.
    /// select(2) cannot tell an end from unread data before it until something else ends the wait.
    Edge,
}

/// One report: the registration `token` is ready in the sense of `readiness`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The token given to [`register`](crate::Selector::register).
    pub token: Token,
    /// What it is ready for. Never empty.
    pub readiness: Readiness,
}

/// The buffer that [`select`](crate::Selector::select) fills, of a size fixed at the start.
///
/// ```
/// # use mainspring_sys::{Event, Events, Readiness, Token};
/// let mut events = Events::with_capacity(2);
/// events.push(Event { token: Token::new(0, 0), readiness: Readiness::READABLE });
/// assert_eq!((events.len(), events.room()), (1, 1));
/// ```
#[derive(Debug)]
pub struct Events {
    list: Vec<Event>,
    capacity: usize,
}

impl Events {
    /// A buffer for at most `capacity` events a call.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero: such a buffer could never report anything.
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Events {
        assert!(capacity > 0, "an event buffer needs room for at least one event");
        Events { list: Vec::with_capacity(capacity), capacity }
    }

    /// Adds an event.
    ///
    /// # Panics
    ///
    /// If the buffer is full: a selector asks [`room`](Events::room) first.
    #[track_caller]
    pub fn push(&mut self, event: Event) {
        assert!(self.list.len() < self.capacity, "a selector reported more events than asked for");
        self.list.push(event);
    }

    /// Adds events.
    ///
    /// # Panics
    ///
    /// If there are more of them than [`room`](Events::room).
    #[track_caller]
    pub fn extend(&mut self, events: impl Iterator<Item = Event>) {
        self.list.extend(events);
        assert!(self.list.len() <= self.capacity, "a selector reported more events than asked for");
    }

    /// Forgets all events and keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// How many more events fit.
    pub fn room(&self) -> usize {
        self.capacity - self.list.len()
    }

    /// How many events fit into an empty buffer.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The events, in the order in which the selector reported them.
    pub fn as_slice(&self) -> &[Event] {
        &self.list
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the selector reported nothing.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
