//! Pseudo-random numbers, and bytes with values that depend on their position.

use std::sync::LazyLock;

/// Pseudo-random numbers, the same in every run.
pub struct RandomNumbers(u64);

impl RandomNumbers {
    pub fn new(seed: u64) -> RandomNumbers {
        RandomNumbers(seed | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

/// Returns bytes that depend on their position in the stream, with a period of 251 * 256.
pub fn pattern(at: usize, length: usize) -> Vec<u8> {
    const PERIOD: usize = 251 * 256;
    static TABLE: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..2 * PERIOD).map(|i| (i % 251) as u8 ^ (i / 251) as u8).collect());
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let from = (at + bytes.len()) % PERIOD;
        bytes.extend_from_slice(&TABLE[from..from + PERIOD.min(length - bytes.len())]);
    }
    bytes
}
