//! The file of a tape: opening and reading it.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::layout;
use super::reading::{Tape, now};

/// # Reading
impl Tape {
    /// Reads a tape from its file, even while its process is running or stuck, or after it was
    /// killed.
    ///
    /// # Errors
    ///
    /// The errors of opening the file, `InvalidInput` if it is not a regular file, and the errors
    /// of [`read`](Tape::read).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Tape> {
        let path = path.as_ref();
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Tape::read_file(&File::open(path)?)
    }

    /// Reads a tape from its open file, from the beginning of the file. A file stays readable after
    /// its process has ended or was replaced.
    ///
    /// # Errors
    ///
    /// The errors of the file, and of [`read`](Tape::read).
    ///
    /// ```
    /// use mainspring::{EventLoop, Recorder, Tape};
    /// use std::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("tape-file-{}", std::process::id()));
    /// let recorder = Recorder::black_box(&path).turns(64);
    /// let mut el = EventLoop::builder().record(recorder).build()?;
    /// let file = File::open(&path).unwrap();
    /// fs::remove_file(&path).unwrap();
    /// el.call_soon(|_, _| {});
    /// el.run()?;
    /// let tape = Tape::read_file(&file).unwrap();
    /// assert!(tape.turns().iter().any(|turn| turn.kind.is_callback()));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn read_file(file: &File) -> io::Result<Tape> {
        let mut from = file;
        from.rewind()?;
        let (now, bytes) = (now(), bytes(from)?);
        let mut head = [0; 8];
        // Turns that the process has replaced while they were read are left out.
        let is_read = file.read_exact_at(&mut head, 8 * layout::HEAD as u64).is_ok();
        Tape::of_bytes(&bytes, now, is_read.then_some(u64::from_ne_bytes(head)))
    }

    /// Reads a tape from its bytes, for example from a connection. For the file of a running
    /// process, use [`read_file`](Tape::read_file): its turns change while they are read.
    ///
    /// # Errors
    ///
    /// The errors of `from`. `InvalidData` if it is not a tape, or is truncated. `Unsupported` for
    /// a tape of another version, or of a machine with another byte order.
    ///
    /// ```
    /// let refused = mainspring::Tape::read(&b"a text"[..]).unwrap_err();
    /// assert_eq!(refused.to_string(), "the file is not a tape");
    /// ```
    pub fn read(from: impl Read) -> io::Result<Tape> {
        let now = now();
        Tape::of_bytes(&bytes(from)?, now, None)
    }

    /// Returns the tape in these bytes, the first of which was read at `now`. `head` is the number
    /// of records after the last byte was read.
    fn of_bytes(bytes: &[u8], now: u64, head: Option<u64>) -> io::Result<Tape> {
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
        let words: Vec<AtomicU64> = words.map(AtomicU64::new).collect();
        Tape::of_words(&words, u64::MAX, now, head).ok_or_else(|| refusal(bytes))
    }
}

/// Reads the bytes of a tape. Of any other file it reads only the beginning, because the file may
/// have any size.
fn bytes(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(16).read_to_end(&mut bytes)?;
    if let [magic, capacity] = *bytes.as_chunks().0
        && u64::from_ne_bytes(magic) == layout::MAGIC
        && let Some(length) = layout::length(u64::from_ne_bytes(capacity))
    {
        from.take(length - 16).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Returns the reason why these bytes are not a tape.
fn refusal(bytes: &[u8]) -> io::Error {
    let refused = |kind, text: &str| io::Error::new(kind, text);
    let (invalid, unsupported) = (io::ErrorKind::InvalidData, io::ErrorKind::Unsupported);
    let version_bits = layout::VERSION_BITS;
    let is_tape = |word: u64| word >> version_bits == layout::MAGIC >> version_bits;
    match bytes.first_chunk().map(|first| u64::from_ne_bytes(*first)) {
        _ if bytes.is_empty() => refused(invalid, "the file is empty"),
        Some(0) => refused(invalid, "the file is not a tape, or its loop has not started"),
        Some(layout::MAGIC) => refused(invalid, "the tape is cut off"),
        Some(word) if is_tape(word) => {
            let [this, other] = [layout::MAGIC, word].map(|word| word as u16);
            let text = format!("the tape has version {other}, not {this}");
            refused(unsupported, &text)
        }
        Some(word) if is_tape(word.swap_bytes()) => {
            refused(unsupported, "the tape is of a machine with another byte order")
        }
        _ => refused(invalid, "the file is not a tape"),
    }
}
