//! The contents of a loop as plain values: registrations, tasks, jobs, and what keeps it running.
//!
//! [`LoopHandle::snapshot`](crate::LoopHandle::snapshot) copies the tables of the loop. A snapshot
//! contains no references into the loop, so it can be kept, compared with a later one, and sent to
//! another thread. It costs the loop nothing until it is taken: no list is kept, and counting the
//! runs of a callback takes one instruction.
//!
//! ```
//! use mainspring::EventLoop;
//! use mainspring::snapshot::EntryKind;
//! use std::time::Duration;
//!
//! let mut el = EventLoop::new()?;
//! let idle = el.call_later(Duration::from_secs(60), |_, _| {});
//! el.set_name(idle, "idle limit");
//! el.set_background(idle);
//! el.spawn(mainspring::sleep(Duration::from_secs(1))).detach();
//!
//! let snapshot = el.snapshot();
//! println!("{snapshot}"); // a table
//! let waiting: Vec<EntryKind> = snapshot.keeps_alive().map(|entry| entry.kind()).collect();
//! assert_eq!(waiting, [EntryKind::Task]); // the timer is in the background
//! assert!(snapshot.to_string().contains("\"idle limit\""));
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `entry`, `kinds` | one registration, with its kind and its state |
//! | `places` | counts by place of registration |
//! | `table`, `tree`, `json` | output formats for people and programs |

mod entry;
mod json;
mod kinds;
mod places;
mod table;
mod tree;

use std::fmt;

pub use mainspring_sys::file_type::FileType;

pub(crate) use self::entry::{Details, Facts};
pub use self::entry::{Entry, Wait};
pub use self::kinds::{EntryKind, EntryState};
pub use self::places::PlaceCount;
pub(crate) use self::places::Places;
pub use self::tree::Tree;
pub use crate::awaits::Await;
use crate::handle::Handle;

/// The contents of a loop at the time of the call. Returned by
/// [`LoopHandle::snapshot`](crate::LoopHandle::snapshot).
///
/// `Display` writes a table with a row for each entry; `*` marks entries that [keep the loop
/// running](Snapshot::keeps_alive).
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// el.call_soon(|_, _| {});
/// let before = el.snapshot();
/// el.run()?;
/// assert_eq!((before.entries().len(), before.tick()), (1, 0));
/// assert_eq!((el.snapshot().entries().len(), el.snapshot().tick()), (0, 1));
/// std::thread::spawn(move || println!("{before}")).join().unwrap(); // values only
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) tick: u64,
    pub(crate) entries: Vec<Entry>,
}

impl Snapshot {
    /// Returns the number of the tick in which it was taken.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Returns all entries: callbacks in slot order, tasks, the scopes and groups inside tasks, and
    /// jobs.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the entry of a registration.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let timer = el.add_timer(|_, _| {})?;
    /// let snapshot = el.snapshot();
    /// let entry = snapshot.get(timer).unwrap();
    /// assert_eq!(entry.location().unwrap().file(), file!());
    /// assert_eq!(entry.state(), mainspring::snapshot::EntryState::Paused); // no deadline yet
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn get(&self, handle: impl Into<Handle>) -> Option<&Entry> {
        let handle = Some(handle.into());
        self.entries.iter().find(|entry| entry.handle == handle)
    }

    /// Returns the entries for which [`run`](crate::EventLoop::run) waits. If there are none, `run`
    /// returns.
    pub fn keeps_alive(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.keeps_alive)
    }

    /// Counts the entries by kind and place, the most frequent first. For a loop with very many
    /// entries, [`LoopHandle::count_by_place`](crate::LoopHandle::count_by_place) counts without a
    /// snapshot.
    pub fn by_place(&self) -> Vec<PlaceCount> {
        let mut places = Places::default();
        for entry in &self.entries {
            if let Some(location) = entry.location {
                places.add(entry.kind, location, entry.count().unwrap_or(1));
            }
        }
        places.sorted()
    }

    /// Returns the tasks with the groups, scopes and shields inside them, for display.
    pub fn tree(&self) -> Tree<'_> {
        Tree::new(&self.entries)
    }

    /// Returns the snapshot as a JSON object on one line, with the fields `tick` and `entries`.
    ///
    /// An entry has `kind`, `state`, `foreground` and `keeps_alive`. The other fields are named
    /// like the methods of [`Entry`], and are present only if they have a value. Times are in
    /// seconds. The location is in `file`, `line` and `column`, and the type of a descriptor's file
    /// in `file_type`. `parent`, and the `task` that a task waits for, are indices of entries.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let handle = el.call_soon(|_, _| {});
    /// el.set_name(handle, "a \"name\"");
    /// let json = el.snapshot().to_json();
    /// assert!(json.starts_with(r#"{"tick":0,"entries":[{"kind":"closure","state":"pending","#));
    /// assert!(json.contains(r#""name":"a \"name\"""#));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        json::write(self)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::write(f, self)
    }
}
