//! The settings of a tape.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mainspring_sys::environment;
use mainspring_sys::shared_map::SharedMap;

use super::layout;

/// Settings of a loop's tape, for [`EventLoopBuilder::record`].
///
/// A tape holds the latest turns, in 16 bytes each. A recorder that cannot be opened never stops
/// the program: the loop runs without a tape, and the error is a report.
///
/// All its pages are touched when the loop is built, so that no turn waits for one. The 16 MiB of a
/// million turns take about 7 ms, and 32 KiB of page tables.
///
/// It also holds the places, 64 KiB of text. At most half of that is for
/// [names](crate::LoopHandle::set_name), about 600: a turn with a further name has the place
/// without it. Of a name longer than 256 bytes it has the end.
///
/// [The program `mainspring`](crate::guide::the_program_mainspring) reads the tape from outside.
///
/// ```
/// use mainspring::{EventLoop, Recorder};
///
/// let mut el = EventLoop::builder().record(Recorder::ring(1000)).build()?;
/// el.call_soon(|el, _| _ = el.call_soon(|_, _| {}));
/// el.run()?;
/// let tape = el.tape().expect("a recorder");
/// let callbacks = tape.turns().iter().filter(|turn| turn.kind.is_callback());
/// assert_eq!(callbacks.count(), 2);
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// [`EventLoopBuilder::record`]: crate::EventLoopBuilder::record
#[derive(Debug, Clone)]
pub struct Recorder {
    turns: usize,
    path: Option<PathBuf>,
}

/// Number of turns of a file, by default: 16 MiB.
const FILE_TURNS: usize = 1 << 20;

impl Recorder {
    /// Records the last `turns` turns in memory.
    ///
    /// On Linux the memory is an anonymous file (memfd_create(2)), which takes one descriptor. It
    /// allows `mainspring ps PID` to find the tape of a stuck process. Processes of the same user
    /// and of root can read it. The tape is plain memory if the file cannot be created, on other
    /// systems, and in a process with elevated privileges.
    pub fn ring(turns: usize) -> Recorder {
        Recorder { turns, path: None }
    }

    /// Records the last million turns in a file, which [`Tape::open`](crate::Tape::open) reads from
    /// another process, even while this one is stuck or after it was killed.
    ///
    /// Put the file on a tmpfs, such as `/run`: on a disk, write-back may delay the loop. It has
    /// mode 0600. An existing file of this name is first renamed, with the suffix `.old`, so the
    /// tape of a crash survives a restart; the file system needs room for both. A process with
    /// elevated privileges (set-user-ID) does not record.
    ///
    /// The file may be renamed or removed while the loop runs, but not truncated: the kernel then
    /// ends the process with SIGBUS (mmap(2)). So exclude it from log rotation by truncating.
    ///
    /// ```
    /// use mainspring::{EventLoop, Recorder, Tape};
    ///
    /// let path = std::env::temp_dir().join(format!("tape-{}", std::process::id()));
    /// let recorder = Recorder::black_box(&path).turns(1000);
    /// let mut el = EventLoop::builder().record(recorder).build()?;
    /// el.call_soon(|_, _| {});
    /// el.run()?;
    /// std::mem::forget(el); // as if the process were killed
    /// let tape = Tape::open(&path).unwrap();
    /// assert!(tape.turns().iter().any(|turn| turn.kind.is_callback()));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn black_box(path: impl AsRef<Path>) -> Recorder {
        Recorder { turns: FILE_TURNS, path: Some(path.as_ref().to_owned()) }
    }

    /// Sets the number of turns, from 16 to 2^30.
    pub fn turns(mut self, turns: usize) -> Recorder {
        self.turns = turns;
        self
    }

    /// Allocates the tape, or creates its file.
    pub(super) fn open(&self) -> io::Result<SharedMap> {
        if !(16..=layout::MAX_TURNS).contains(&self.turns) {
            let text = "a tape has from 16 to 2^30 turns";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let words = layout::words(self.turns);
        let Some(path) = &self.path else {
            return in_memory(words);
        };
        if environment::is_privileged() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "a process with raised privileges does not record",
            ));
        }
        let created = keep_old(path).and_then(|()| SharedMap::create(path, words));
        let of_path =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        created.map_err(of_path)
    }

    pub(super) fn capacity(&self) -> usize {
        self.turns
    }

    /// Returns true if the tape is in a file with a name.
    pub(super) fn is_file(&self) -> bool {
        self.path.is_some()
    }
}

/// Renames the tape of an earlier process. Only a file is renamed, not a directory passed by
/// mistake.
fn keep_old(path: &Path) -> io::Result<()> {
    let is_file = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_file() || metadata.is_symlink(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_file {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    fs::rename(path, old)
}

/// Returns memory that another process can read, if that is possible.
fn in_memory(words: usize) -> io::Result<SharedMap> {
    if !environment::is_privileged()
        && let Ok(map) = SharedMap::in_memory(c"mainspring-tape", words)
    {
        return Ok(map);
    }
    SharedMap::private(words)
}
