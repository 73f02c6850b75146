//! The sources of tapes: files, and the memory of processes.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mainspring::Tape;

use super::failure::Failure;

/// A tape that can be read again and again.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// The tape as it was when the source was found, for the first reading.
    found: RefCell<Option<Tape>>,
    /// Number of the process, as this process sees it; `None` for the one on the tape.
    pid: Option<u32>,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    /// Opened for each reading, because a process that starts again replaces the file.
    Path(PathBuf),
    /// Stays readable after the process has ended.
    Open(File),
}

/// The state of the process of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Runs,
    /// Stopped by a signal or by a debugger.
    Stopped,
    Ended,
    /// Another user's process, or a system without `/proc`.
    Unknown,
}

/// The label of tapes in memory.
const LABEL: &str = "/memfd:mainspring-tape";

impl Source {
    /// Returns the tapes that an argument names: a file, or the tapes of a process.
    pub(crate) fn find(argument: &OsStr) -> Result<Vec<Source>, Failure> {
        match argument.to_str().and_then(|text| text.parse().ok()) {
            Some(pid) => of_process(pid),
            None => {
                let path = PathBuf::from(argument);
                let name = path.display().to_string();
                let source = Source {
                    name,
                    found: RefCell::default(),
                    pid: None,
                    storage: Storage::Path(path),
                };
                source.found.replace(Some(source.read()?));
                Ok(vec![source])
            }
        }
    }

    pub(crate) fn read(&self) -> Result<Tape, Failure> {
        if let Some(tape) = self.found.take() {
            return Ok(tape);
        }
        let tape = match &self.storage {
            Storage::Path(path) => Tape::open(path),
            Storage::Open(file) => Tape::read_file(file),
        };
        tape.map_err(|error| Failure::of("cannot read", &self.name, &error))
    }

    /// Returns the state of the process that writes `tape`.
    pub(crate) fn state(&self, tape: &Tape) -> State {
        let metadata = match &self.storage {
            Storage::Path(path) => fs::metadata(path),
            Storage::Open(file) => file.metadata(),
        };
        let Ok(metadata) = metadata else { return State::Unknown };
        let pid = self.pid.unwrap_or(tape.process());
        match mappings(pid) {
            Ok(maps) if maps.iter().any(|map| map.inode == metadata.ino()) => match is_stopped(pid)
            {
                true => State::Stopped,
                false => State::Runs,
            },
            Ok(_) => State::Ended,
            Err(_) if has_ended(pid) => State::Ended,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => State::Unknown,
            Err(_) if mappings(std::process::id()).is_ok() => State::Ended,
            Err(_) => State::Unknown,
        }
    }
}

/// Returns the tapes of a process: files without a name by their descriptors, others by what is
/// mapped.
fn of_process(pid: u32) -> Result<Vec<Source>, Failure> {
    let found = tapes_of(pid).or_else(|error| match has_ended(pid) {
        true => Ok(Vec::new()),
        false => Err(error),
    });
    let found = found.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound if mappings(std::process::id()).is_err() => {
                "this system does not show the files of processes; name the file of the tape"
            }
            io::ErrorKind::NotFound => "there is no such process",
            _ => return Failure::of("cannot look into", format!("process {pid}"), &error),
        };
        Failure::Run(format!("cannot look into process {pid}: {hint}"))
    })?;
    // A forked child also has the descriptors of its parent.
    let (own, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, is_own)| *is_own);
    let chosen = if own.is_empty() { others } else { own };
    if chosen.is_empty() {
        let text = match has_ended(pid) {
            true => "has ended; name the file of its tape",
            false => "has no tape; its loop needs a Recorder",
        };
        return Err(Failure::Run(format!("process {pid} {text}")));
    }
    Ok(chosen.into_iter().map(|(source, _)| source).collect())
}

/// Returns true if the process has ended, and its parent has not waited for it. Such a process has
/// no memory and no descriptors, and only root may read their empty lists.
fn has_ended(pid: u32) -> bool {
    is_in_state(pid, ['Z', 'X'])
}

/// Returns true if a signal or a debugger has stopped the process.
fn is_stopped(pid: u32) -> bool {
    is_in_state(pid, ['T', 't'])
}

/// Returns true if the state of the process is one of these letters. It follows the name in
/// parentheses (proc(5)).
fn is_in_state(pid: u32, letters: [char; 2]) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(letters))
}

/// Returns the tapes of a process, and for each if its loop was created by this process.
fn tapes_of(pid: u32) -> io::Result<Vec<(Source, bool)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        if fs::read_link(&path).is_ok_and(|target| target.to_string_lossy().starts_with(LABEL)) {
            files.push((format!("memory of process {pid}"), path));
        }
    }
    for map in mappings(pid)?.iter().filter(|map| map.is_file()) {
        // The root of the process may be another one.
        let path = format!("/proc/{pid}/root{}", map.path);
        files.push((map.path.clone(), Path::new(&path).to_owned()));
    }
    let mut tapes = Vec::new();
    for (name, path) in files {
        // A descriptor may be closed meanwhile, and its number used again; a file may be removed.
        let Ok(file) = File::open(path) else { continue };
        if !file.metadata()?.is_file() {
            continue;
        }
        let found = match Tape::read_file(&file) {
            Ok(tape) => Some(tape),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
            Err(_) => None, // For example another version, which the reading reports.
        };
        let is_own = found.as_ref().is_none_or(|tape| tape.process() == pid);
        // Only that of the first: a million turns take more than 100 MB.
        let found = RefCell::new(found.filter(|_| tapes.is_empty()));
        tapes.push((Source { name, found, pid: Some(pid), storage: Storage::Open(file) }, is_own));
    }
    Ok(tapes)
}

/// A mapped file of a process that is shared and writable.
#[derive(Debug)]
struct Mapping {
    inode: u64,
    path: String,
}

impl Mapping {
    /// Returns true for a file with a name.
    fn is_file(&self) -> bool {
        let outside = ["/dev/", "/memfd:", "/SYSV"];
        let is_outside = || outside.iter().any(|start| self.path.starts_with(start));
        // A tmpfs, though it lies among the devices.
        self.path.starts_with("/dev/shm/") || self.path.starts_with('/') && !is_outside()
    }
}

/// Parses the lines of `/proc/PID/maps`, which have the form of proc(5).
fn mappings(pid: u32) -> io::Result<Vec<Mapping>> {
    let maps = fs::read(format!("/proc/{pid}/maps"))?;
    let maps = String::from_utf8_lossy(&maps);
    let parsed = maps.lines().filter_map(|line| {
        let mut fields = line.splitn(5, ' ');
        let access = fields.nth(1)?;
        let (inode, path) = fields.nth(2)?.split_once(' ')?;
        let is_shared = access.starts_with("rw") && access.ends_with('s');
        let path = path.trim_start().to_owned();
        is_shared.then_some(Mapping { inode: inode.parse().ok()?, path })
    });
    Ok(parsed.collect())
}
