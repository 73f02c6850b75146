//! Layout of a tape: a header, the table of places, and the ring of records, all in words of 8
//! bytes in the byte order of the machine.
//!
//! # Invariants
//!
//! * `HEAD` counts the complete records. It is stored after the record, so however the process
//!   ends, each counted record is complete, except for those that the ring has reused.
//! * A place is complete before a record contains its number, and never changes.

use super::turn::TurnKind;

/// First word of a tape: a magic string, and the version of the layout.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"mstape\x00\x02");
/// Bits of the version in [`MAGIC`].
pub(super) const VERSION_BITS: u32 = 16;

/// Words of the header.
pub(super) const CAPACITY: usize = 1;
pub(super) const HEAD: usize = 2;
/// Upper 16 bits of the time of the latest record.
pub(super) const EPOCH: usize = 3;
/// Words of the table of places that are in use.
pub(super) const PLACES: usize = 4;
pub(super) const PROCESS: usize = 5;
/// Time of day at which the loop was created, in nanoseconds since 1970.
pub(super) const STARTED: usize = 6;
/// The same in microseconds of `CLOCK_MONOTONIC`, which other processes can compare.
pub(super) const ORIGIN: usize = 7;
const HEADER: usize = 8;

/// Size of the table of places, in words: some 1,200 places.
pub(super) const PLACES_WORDS: usize = 8 * 1024;
/// Limit of that size for places with a name. The rest is for the lines of the program, which are
/// limited in number.
pub(super) const NAMES_WORDS: usize = PLACES_WORDS / 2;
pub(super) const PLACES_START: usize = HEADER;
pub(super) const RING_START: usize = HEADER + PLACES_WORDS;

/// Maximum number of records.
pub(super) const MAX_TURNS: usize = 1 << 30;

/// Number of words of a tape for this number of records.
pub(super) const fn words(capacity: usize) -> usize {
    RING_START + 2 * capacity
}

/// Returns the length in bytes of a tape for this number of records; `None` for too many records.
pub(super) fn length(capacity: u64) -> Option<u64> {
    let capacity = usize::try_from(capacity).ok().filter(|count| *count <= MAX_TURNS)?;
    Some(8 * words(capacity) as u64)
}

/// Returns the word at which the record with this number begins, in a ring for `capacity` records.
pub(super) fn position(number: u64, capacity: u64) -> usize {
    RING_START + 2 * (number % capacity) as usize
}

/// Bits of the time in a record: 78 hours in nanoseconds. The epoch has the rest.
pub(super) const TIME_BITS: u32 = 48;
const VALUE_BITS: u32 = 24;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

/// The cause of a turn, as stored: its kind, and a value of 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason(u32);

impl Reason {
    pub(crate) const LOOP: Reason = Reason::new(0, 0);
    /// The loop itself, which has called the selector without a sleep.
    pub(crate) const POLL: Reason = Reason::new(0, 1);
    pub(crate) const THREAD: Reason = Reason::new(3, 0);
    pub(crate) const SIGNAL: Reason = Reason::new(4, 0);
    pub(crate) const CHILD: Reason = Reason::new(5, 0);

    const fn new(kind: u32, value: u32) -> Reason {
        Reason(kind << VALUE_BITS | value)
    }

    /// Returns the cause for readiness of a descriptor, or the loop without one.
    #[inline]
    pub(crate) fn fd(fd: Option<i32>) -> Reason {
        let fd = fd.and_then(|fd| u32::try_from(fd).ok());
        fd.map_or(Reason::LOOP, |fd| Reason::new(1, fd.min(VALUE_MASK as u32)))
    }

    /// Returns the cause for a deadline. `None` if the lateness is unknown.
    #[inline]
    pub(crate) fn timer(late: Option<u64>) -> Reason {
        Reason::new(2, late.map_or(UNKNOWN, pack_lateness))
    }

    /// Returns the cause for the turn that was this number of turns ago. If it is too far away to
    /// be stored, it is 0, which means unknown.
    #[inline]
    pub(crate) fn turn(distance: u64) -> Reason {
        Reason::new(6, if distance <= VALUE_MASK { distance as u32 } else { 0 })
    }

    pub(super) fn kind(self) -> u32 {
        self.0 >> VALUE_BITS
    }

    pub(super) fn value(self) -> u32 {
        self.0 & VALUE_MASK as u32
    }
}

/// Bits of a lateness that are not its exponent: it is accurate to four millionths.
const MANTISSA_BITS: u32 = 19;
/// Stands for an unknown lateness.
const UNKNOWN: u32 = VALUE_MASK as u32;

/// Returns the value of a record for a lateness in nanoseconds. It is capped at
/// six and a half days (2^49 ns).
#[inline]
fn pack_lateness(nanos: u64) -> u32 {
    let exponent = (u64::BITS - nanos.leading_zeros()).saturating_sub(MANTISSA_BITS);
    match exponent < 31 {
        true => exponent << MANTISSA_BITS | (nanos >> exponent) as u32,
        false => (31 << MANTISSA_BITS) - 1,
    }
}

/// Returns the lateness in a record of a timer, in nanoseconds; `None` if it is not known.
pub(super) fn unpack_lateness(value: u32) -> Option<u64> {
    let mantissa = u64::from(value & ((1 << MANTISSA_BITS) - 1));
    (value != UNKNOWN).then_some(mantissa << (value >> MANTISSA_BITS))
}

/// A record, as stored in two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Lower 48 bits of the nanoseconds since the start of the loop.
    pub(super) time: u64,
    /// Number of the place; 0 if the turn has none.
    pub(super) place: u16,
    /// The [`TurnId`](super::turn_id::TurnId) of the registration.
    pub(super) key: u32,
    pub(super) kind: TurnKind,
    pub(super) cause: Reason,
}

impl Record {
    #[inline]
    pub(super) fn pack(self) -> [u64; 2] {
        let kinds = u64::from(self.kind as u8) << (VALUE_BITS + 4);
        [
            self.time << 16 | u64::from(self.place),
            u64::from(self.key) << 32 | kinds | u64::from(self.cause.0),
        ]
    }

    pub(super) fn unpack([first, second]: [u64; 2]) -> Record {
        Record {
            time: first >> 16,
            place: first as u16,
            key: (second >> 32) as u32,
            kind: TurnKind::from_number((second >> 28) as u8 & 15),
            cause: Reason(second as u32 & ((1 << (VALUE_BITS + 4)) - 1)),
        }
    }
}

/// Returns the end of a text, at most `longest` bytes.
pub(super) fn end_of(text: &str, longest: usize) -> &str {
    let start = text.len().saturating_sub(longest);
    let end = (start..text.len()).find_map(|at| text.get(at..));
    end.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_a_lateness_is_stored_to_four_millionths() {
        let times = (0..50).flat_map(|power| [1_u64 << power, (1 << power) - 1, 3 << power >> 1]);
        for nanos in times.filter(|nanos| *nanos < 1 << 49) {
            let read = unpack_lateness(pack_lateness(nanos)).unwrap();
            assert!(read <= nanos && nanos - read <= nanos >> 18, "{nanos} is read as {read}");
        }
        assert!(unpack_lateness(pack_lateness(u64::MAX)).unwrap() > 864_000_000_000_000 / 2);
        assert!(unpack_lateness(pack_lateness((1 << 50) - 1)).is_some(), "it is not UNKNOWN");
        assert_eq!(unpack_lateness(UNKNOWN), None);
    }

    #[test]
    fn r2_a_cause_that_is_too_far_away_is_unknown() {
        let stored = |turns| {
            let (kind, cause) = (TurnKind::Task, Reason::turn(turns));
            let record = Record { time: 1, place: 2, key: u32::MAX, kind, cause };
            assert_eq!(Record::unpack(record.pack()), record);
            (cause.kind(), cause.value())
        };
        let values = [1, VALUE_MASK, VALUE_MASK + 1, u64::MAX].map(stored);
        assert_eq!(values, [(6, 1), (6, 0xff_ffff), (6, 0), (6, 0)]);
    }
}
