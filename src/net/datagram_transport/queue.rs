//! The queue of datagrams that the kernel has not accepted yet.
//!
//! All bytes lie in one buffer, so a queued datagram needs no allocation once the buffer has grown.

use std::collections::VecDeque;
use std::net::IpAddr;

use mainspring_sys::socket::{Address, Ecn, Outgoing, SendProgress};

/// Bytes for which a datagram counts beside its length, so that empty ones are limited too.
pub(super) const OVERHEAD: usize = 64;

/// Capacity that an empty queue keeps, in bytes.
const KEPT_CAPACITY: usize = 64 * 1024;

/// A queued datagram. Its bytes follow those of the one before.
#[derive(Debug)]
struct Entry {
    length: usize,
    to: Option<Address>,
    from: Option<IpAddr>,
    ecn: Ecn,
    segment: usize,
}

impl Entry {
    fn outgoing<'a>(&'a self, bytes: &'a [u8]) -> Outgoing<'a> {
        let datagram = Outgoing::new(bytes).ecn(self.ecn).segment(self.segment);
        let datagram = self.to.as_ref().map_or(datagram, |to| datagram.to(to));
        self.from.map_or(datagram, |from| datagram.from(from))
    }
}

/// Datagrams in the order in which they are sent.
#[derive(Debug, Default)]
pub(in crate::net) struct Queue {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// Number of bytes at the start of `bytes` that were sent.
    sent: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the size of the queue in bytes, with [`OVERHEAD`] for each datagram.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() - self.sent + OVERHEAD * self.entries.len()
    }

    /// Appends a datagram of which the first `skipped` bytes were sent.
    pub(super) fn push(&mut self, datagram: &Outgoing<'_>, skipped: usize) {
        let bytes = &datagram.bytes()[skipped..];
        // Moves the bytes to the front when half of the buffer is sent: amortized O(1) for each.
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.entries.push_back(Entry {
            length: bytes.len(),
            to: datagram.receiver().cloned(),
            from: datagram.source(),
            ecn: datagram.codepoint(),
            segment: datagram.segment_length(),
        });
    }

    /// Returns the datagrams, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> + Clone {
        let mut rest = &self.bytes[self.sent..];
        self.entries.iter().map(move |entry| {
            let (bytes, after) = rest.split_at(entry.length);
            rest = after;
            entry.outgoing(bytes)
        })
    }

    /// Removes the part that was sent.
    pub(super) fn advance(&mut self, progress: SendProgress) {
        for _ in 0..progress.datagrams {
            self.pop();
        }
        if let Some(first) = self.entries.front_mut() {
            first.length -= progress.bytes;
            self.sent += progress.bytes;
        }
    }

    /// Removes the oldest datagram.
    pub(super) fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.sent += entry.length;
        if self.entries.is_empty() {
            self.clear();
        }
    }

    /// Removes all datagrams.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.sent = 0;
        if self.bytes.capacity() > KEPT_CAPACITY {
            (self.bytes, self.entries) = Default::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_keep_their_order_and_bounds() {
        let to: Address = "127.0.0.1:1".parse().unwrap();
        let mut queue = Queue::default();
        let (mut next_in, mut next_out) = (0_u8, 0_u8);
        for round in 0..200_usize {
            for _ in 0..round % 7 {
                let bytes = vec![next_in; usize::from(next_in % 5)];
                queue.push(&Outgoing::new(&bytes).to(&to), 0);
                next_in = next_in.wrapping_add(1);
            }
            for _ in 0..round % 6 {
                let Some(first) = queue.iter().next() else { break };
                let expected = vec![next_out; usize::from(next_out % 5)];
                assert_eq!((first.bytes(), first.receiver()), (&expected[..], Some(&to)));
                next_out = next_out.wrapping_add(1);
                queue.pop();
            }
            let lengths: usize =
                queue.iter().map(|datagram| datagram.bytes().len() + OVERHEAD).sum();
            assert_eq!(queue.size(), lengths);
        }
    }

    #[test]
    fn a_part_of_a_split_datagram_leaves_the_rest() {
        let mut queue = Queue::default();
        queue.push(&Outgoing::new(b"0123456789").segment(2), 2);
        queue.push(&Outgoing::new(b"next"), 0);
        let mut progress = SendProgress::default();
        progress.bytes = 4;
        queue.advance(progress);
        let left: Vec<_> =
            queue.iter().map(|datagram| (datagram.bytes(), datagram.segment_length())).collect();
        assert_eq!(left, [(&b"6789"[..], 2), (b"next", 0)]);
        (progress.datagrams, progress.bytes) = (2, 0);
        queue.advance(progress);
        assert!(queue.is_empty() && queue.size() == 0);
    }
}
