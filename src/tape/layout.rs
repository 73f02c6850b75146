//! Layout of a tape: a header, the table of places, and the ring of records, all in words of 8
//! bytes in the byte order of the machine.
//!
//! # Invariants
//!
//! * `HEAD` counts the records that are complete. It is stored after the record, so whatever ends
//!   the process, each counted record is whole, except for those that the ring has reused.
//! * A place is complete before a record contains its number, and never changes.

use super::turn::TurnKind;

/// First word of a tape: a text, and the version of the layout.
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
pub(super) const PLACES_START: usize = HEADER;
pub(super) const RING_START: usize = HEADER + PLACES_WORDS;

/// Number of words of a tape for this number of records.
pub(super) const fn words(capacity: usize) -> usize {
    RING_START + 2 * capacity
}

/// Bits of the time in a record: 78 hours in nanoseconds. The epoch has the rest.
pub(super) const TIME_BITS: u32 = 48;
const VALUE_BITS: u32 = 24;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

/// Returns the value of a record for the distance to its cause: 0, which means unknown, if it is
/// too long to be stored.
pub(super) fn distance(turns: u64) -> u32 {
    if turns <= VALUE_MASK { turns as u32 } else { 0 }
}

/// Bits of a lateness that are not its exponent: it is exact to two millionths.
const MANTISSA_BITS: u32 = 19;
/// Stands for a lateness that is not known.
pub(super) const UNKNOWN: u32 = VALUE_MASK as u32;

/// Returns the value of a record for a lateness in nanoseconds. Ten days are the greatest one.
pub(super) fn pack_lateness(nanos: u64) -> u32 {
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
    pub(super) cause: u8,
    /// Descriptor, lateness, or distance to the record of the cause; 0 if it is unknown.
    pub(super) value: u32,
}

impl Record {
    #[inline]
    pub(super) fn pack(self) -> [u64; 2] {
        let time = self.time & ((1 << TIME_BITS) - 1);
        let value = u64::from(self.value).min(VALUE_MASK);
        let kinds = u64::from(self.kind as u8) << 4 | u64::from(self.cause);
        [
            time << 16 | u64::from(self.place),
            u64::from(self.key) << 32 | kinds << VALUE_BITS | value,
        ]
    }

    pub(super) fn unpack([first, second]: [u64; 2]) -> Record {
        Record {
            time: first >> 16,
            place: first as u16,
            key: (second >> 32) as u32,
            kind: TurnKind::from_number((second >> 28) as u8 & 15),
            cause: (second >> VALUE_BITS) as u8 & 15,
            value: (second & VALUE_MASK) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_a_lateness_is_stored_to_two_millionths() {
        let times = (0..50).flat_map(|power| [1_u64 << power, (1 << power) - 1, 3 << power >> 1]);
        for nanos in times.filter(|nanos| *nanos < 1 << 49) {
            let read = unpack_lateness(pack_lateness(nanos)).unwrap();
            assert!(read <= nanos && nanos - read <= nanos >> 18, "{nanos} is read as {read}");
        }
        assert!(unpack_lateness(pack_lateness(u64::MAX)).unwrap() > 864_000_000_000_000 / 2);
        assert_eq!(unpack_lateness(UNKNOWN), None);
    }

    #[test]
    fn r2_a_cause_that_is_too_far_away_is_unknown() {
        let stored = |turns| {
            let (kind, value) = (TurnKind::Task, distance(turns));
            let record = Record { time: 1, place: 2, key: u32::MAX, kind, cause: 6, value };
            assert_eq!(Record::unpack(record.pack()), record);
            value
        };
        assert_eq!([1, VALUE_MASK, VALUE_MASK + 1, u64::MAX].map(stored), [1, 0xff_ffff, 0, 0]);
    }
}
