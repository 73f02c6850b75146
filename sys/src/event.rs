//! The values that go into a selector and come out of it: tokens, interest, readiness, events.

use std::fmt;

use bitflags::bitflags;

/// Name of a registration in the kernel: a slot of the caller's table, and the slot's generation.
///
/// An event that arrives after its registration is gone has an old generation, so it does not reach
/// the slot's next owner.
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
    /// Returns the token of `slot` in its `generation`.
    pub const fn new(slot: u32, generation: u32) -> Token {
        // The slot is the low half, because kqueue(2) of 32-bit systems keeps only that.
        Token((generation as u64) << 32 | slot as u64)
    }

    /// Returns the index in the caller's table.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// Returns the generation, which counts how often the slot has been used.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the token as the integer that the kernel stores.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Returns the token for an integer from [`to_u64`](Token::to_u64).
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
    /// Events that a registration requests.
    ///
    /// ```
    /// use mainspring_sys::Interest;
    ///
    /// let both = Interest::READABLE | Interest::WRITABLE;
    /// assert!(both.contains(Interest::READABLE));
    /// assert!(!both.contains(Interest::PRIORITY));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Interest: u8 {
        /// A read that would not block.
        const READABLE = 0b001;
        /// A write that would not block.
        const WRITABLE = 0b010;
        /// Priority data: TCP's urgent byte, a pseudo terminal's control status.
        const PRIORITY = 0b100;
        /// The end of the peer's data, but not the data before it: its shutdown(2), a hang-up, an
        /// error. For a source that is not being read at present, so that a closed peer is still
        /// noticed.
        ///
        /// [`READABLE`](Interest::READABLE) includes it. On systems without `POLLRDHUP`, poll(2)
        /// and select(2) report only hang-ups and errors for it. select(2) does not see an end
        /// behind unread data until something else ends its wait. kqueue(2) has no filter for it:
        /// without `READABLE` it is the error `Unsupported` there.
        const READ_CLOSED = 1 << 5;
    }
}

impl Interest {
    /// Returns the directions that `readiness` reports. The bits have the same values.
    ///
    /// ```
    /// use mainspring_sys::{Interest, Readiness};
    ///
    /// let answered = Interest::answered_by(Readiness::READABLE | Readiness::HANGUP);
    /// assert_eq!(answered, Interest::READABLE);
    /// ```
    pub const fn answered_by(readiness: Readiness) -> Interest {
        const DIRECTIONS: Interest =
            Interest::READABLE.union(Interest::WRITABLE).union(Interest::PRIORITY);
        Interest::from_bits_truncate(readiness.bits()).intersection(DIRECTIONS)
    }
}

bitflags! {
    /// Readiness that a selector reports.
    ///
    /// The first three bits and `READ_CLOSED` correspond to the bits of [`Interest`]. `READABLE`
    /// and `WRITABLE` mean "will not block", so end of file, errors and hang-ups set them too, even
    /// if the interest did not include them: no waiter misses an end. The other bits are additional
    /// hints, which some kernels omit in some situations.
    ///
    /// ```
    /// use mainspring_sys::Readiness;
    ///
    /// let ended = Readiness::READ_CLOSED.with_implied();
    /// assert!(ended.contains(Readiness::READABLE), "a read returns end of file");
    /// assert!(ended.intersects(Readiness::UNSOLICITED));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Readiness: u8 {
        /// A read will not block: it returns data, end of file or an error.
        const READABLE = 1;
        /// A write will not block: there is buffer space, or it returns an error.
        const WRITABLE = 1 << 1;
        /// Priority data can be read.
        const PRIORITY = 1 << 2;
        /// The next call on the fd returns an error.
        const ERROR = 1 << 3;
        /// Both directions are closed. Unread data may remain.
        const HANGUP = 1 << 4;
        /// The peer will send no more data. Unread data may remain.
        const READ_CLOSED = 1 << 5;
        /// The peer will accept no more data.
        const WRITE_CLOSED = 1 << 6;
        /// The fd was closed while it was registered. The registration is dead and must be removed.
        const INVALID = 1 << 7;
    }
}

impl Readiness {
    /// Bits that kernels report for every interest.
    pub const UNSOLICITED: Readiness = Readiness::ERROR
        .union(Readiness::HANGUP)
        .union(Readiness::READ_CLOSED)
        .union(Readiness::WRITE_CLOSED)
        .union(Readiness::INVALID);

    /// Returns this readiness with the bits that it implies.
    ///
    /// A hang-up closes both directions, an error closes writing, and a closed direction does not
    /// block. Every backend passes its reports through this function, so that all of them report
    /// the same.
    ///
    /// ```
    /// # use mainspring_sys::Readiness;
    /// // The read end of a pipe whose writer is gone: a read returns end of file.
    /// assert!(Readiness::HANGUP.with_implied().contains(Readiness::READABLE));
    /// ```
    pub const fn with_implied(self) -> Readiness {
        const BOTH: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);
        const ENDED: Readiness = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED);
        let mut all = self;
        // The order matters: each bit implies bits that are tested later.
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
    /// Returns the readiness that `interest` requests. The bits have the same values.
    #[inline]
    fn from(interest: Interest) -> Readiness {
        Readiness::from_bits_retain(interest.bits())
    }
}

/// Number of reports of a readiness that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TriggerMode {
    /// Reported by every [`select`](crate::Selector::select) as long as it lasts.
    ///
    /// On FreeBSD 15, poll(2) and select(2) report a Unix socket as hung up if its own write side
    /// is shut down. A registration that is still interested in reading is then reported each time,
    /// with or without data. Edge mode reports it once.
    #[default]
    Level,
    /// Reported once. Then the registration is disabled until the next
    /// [`reregister`](crate::Selector::reregister).
    Oneshot,
    /// Reported when it begins, per direction. After a report, continue until a call would block
    /// and then call [`clear_readiness`](crate::Selector::clear_readiness). Until then, further
    /// reports may or may not come.
    ///
    /// An end, a hang-up and an error are reported when they occur, on every selector. A direction
    /// is reported again after it was not ready in between. epoll(7) and kqueue(2) also report data
    /// that arrives behind unread data, and buffer space that grows; poll(2) and select(2) cannot
    /// detect either. select(2) does not see an end behind unread data until something else ends
    /// the wait.
    Edge,
}

/// A report: the registration `token` has become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The token given to [`register`](crate::Selector::register).
    pub token: Token,
    /// The readiness. Never empty.
    pub readiness: Readiness,
}

/// The buffer that [`select`](crate::Selector::select) fills. Its capacity is fixed when it is
/// created.
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
    /// Creates a buffer for at most `capacity` events per call.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Events {
        assert!(capacity > 0, "the capacity of an event buffer must not be zero");
        Events { list: Vec::with_capacity(capacity), capacity }
    }

    /// Adds an event.
    ///
    /// # Panics
    ///
    /// If the buffer is full. A selector checks [`room`](Events::room) first.
    #[track_caller]
    pub fn push(&mut self, event: Event) {
        assert!(
            self.list.len() < self.capacity,
            "a selector reported more events than the buffer holds"
        );
        self.list.push(event);
    }

    /// Adds events.
    ///
    /// # Panics
    ///
    /// If there are more events than [`room`](Events::room).
    #[track_caller]
    pub fn extend(&mut self, events: impl Iterator<Item = Event>) {
        self.list.extend(events);
        assert!(
            self.list.len() <= self.capacity,
            "a selector reported more events than the buffer holds"
        );
    }

    /// Removes all events and keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Returns the number of events that can still be added.
    pub fn room(&self) -> usize {
        self.capacity - self.list.len()
    }

    /// Returns the number of events that an empty buffer holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the events in the order in which the selector reported them.
    pub fn as_slice(&self) -> &[Event] {
        &self.list
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns true if there are no events.
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
