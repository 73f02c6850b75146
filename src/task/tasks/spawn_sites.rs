//! The lines of the program that spawn tasks, by number.
//!
//! A program has few of them, so a task stores a number of 21 bits instead of a pointer.
//!
//! # Invariant
//!
//! A number always names the same site.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;
use std::ptr;

/// Spawn sites, each identified by the address of its constant.
#[derive(Debug, Default)]
pub(super) struct SpawnSites {
    sites: Vec<&'static Location<'static>>,
    numbers: HashMap<usize, u32, BuildHasherDefault<AddressHasher>>,
    /// The number that was returned last: a loop that spawns needs no lookup.
    latest: u32,
}

/// Number of sites that a task can name. Their constants alone would take a hundred megabytes.
const LIMIT: usize = 1 << 21;

impl SpawnSites {
    /// Returns the number of a site, which is new if the site is.
    #[inline]
    pub(super) fn number(&mut self, site: &'static Location<'static>) -> u32 {
        match self.sites.get(self.latest as usize) {
            Some(latest) if ptr::eq(*latest, site) => self.latest,
            _ => self.look_up(site),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, site: &'static Location<'static>) -> u32 {
        let sites = &mut self.sites;
        let add = || {
            assert!(sites.len() < LIMIT, "a program can spawn at fewer than 2^21 lines");
            sites.push(site);
            sites.len() as u32 - 1
        };
        self.latest = *self.numbers.entry(ptr::from_ref(site).addr()).or_insert_with(add);
        self.latest
    }

    /// Returns the number of sites.
    pub(super) fn count(&self) -> usize {
        self.sites.len()
    }

    pub(super) fn get(&self, number: u32) -> &'static Location<'static> {
        self.sites[number as usize]
    }
}

/// Hash of an address. Addresses of constants are not chosen by an attacker, so it is a fast one.
#[derive(Debug, Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize((*byte).into()));
    }

    #[inline]
    fn write_usize(&mut self, address: usize) {
        // 2^64 divided by the golden ratio: the upper bits then depend on all lower bits.
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
