//! A tape that is being written, read by other threads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use mainspring_sys::shared_map::SharedMap;

use super::layout;
use super::reading;
use super::turn::Turn;

/// The memory of a tape, for any thread.
#[derive(Clone)]
pub(crate) struct LiveTape(pub(super) Arc<SharedMap>);

impl LiveTape {
    /// Returns the number of turns that have begun. It changes with each turn.
    pub(crate) fn turns_begun(&self) -> u64 {
        self.0[layout::HEAD].load(Acquire)
    }

    /// Returns the turn that began last; `None` before the first one.
    pub(crate) fn last_turn(&self) -> Option<Turn> {
        reading::last_turn(&self.0)
    }

    /// Writes the tape to a file that only its owner can read, replacing an older one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(&self.bytes()).and_then(|()| fs::rename(&unfinished, path));
        written.inspect_err(|_| _ = fs::remove_file(&unfinished)) // The first error counts.
    }

    /// Returns a copy of the memory. If the writer is active meanwhile, the copy is repeated a few
    /// times.
    fn bytes(&self) -> Vec<u8> {
        let words = &self.0;
        let copy = || words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        for _ in 0..3 {
            let before = self.turns_begun();
            let bytes: Vec<u8> = copy();
            if self.turns_begun() == before {
                return bytes;
            }
        }
        copy()
    }
}
