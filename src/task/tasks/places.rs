//! The places in the program where tasks are spawned, by number.
//!
//! # Invariant
//!
//! A number names one place for ever.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;
use std::ptr;

/// Places, each known by the address of its constant.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: Vec<&'static Location<'static>>,
    numbers: HashMap<usize, u32, BuildHasherDefault<Spread>>,
    /// The number that was asked for last.
    latest: u32,
}

/// How many places there may be. Their constants alone would take a hundred megabytes.
const MOST: usize = 1 << 21;

impl Places {
    #[inline]
    pub(super) fn number(&mut self, place: &'static Location<'static>) -> u32 {
        match self.known.get(self.latest as usize) {
            Some(latest) if ptr::eq(*latest, place) => self.latest,
            _ => self.look_up(place),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, place: &'static Location<'static>) -> u32 {
        let known = &mut self.known;
        let add = || {
            assert!(known.len() < MOST, "a program spawns at fewer than 2^21 places");
            known.push(place);
            known.len() as u32 - 1
        };
        self.latest = *self.numbers.entry(ptr::from_ref(place).addr()).or_insert_with(add);
        self.latest
    }

    pub(super) fn of(&self, number: u32) -> &'static Location<'static> {
        self.known[number as usize]
    }
}

/// A hash of an address: nobody chooses those to collide.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize((*byte).into()));
    }

    #[inline]
    fn write_usize(&mut self, address: usize) {
        // 2^64 by the golden ratio: the upper bits depend on all of the lower ones.
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
