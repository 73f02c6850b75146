//! The tree of a snapshot: tasks, and the groups, scopes and shields inside them.

use std::fmt;

use super::EntryKind;
use super::entry::Entry;
use super::table;

/// The tasks of a [`Snapshot`](super::Snapshot), with the scopes and groups inside each, for
/// display.
///
/// A task of a [`TaskGroup`](crate::TaskGroup) is below its group, and a group is below the scope
/// or task that runs it. Each line has the state, the place and the waits of the task.
///
/// ```
/// use mainspring::{EventLoop, TaskGroup, sleep};
/// use std::time::Duration;
///
/// let mut el = EventLoop::new()?;
/// let handle = el.handle().clone();
/// let group = TaskGroup::run(async move |group| {
///     group.spawn(async { Ok(sleep(Duration::from_millis(1)).await) })?.named("worker");
///     mainspring::yield_now().await; // now it has begun
///     Ok(handle.snapshot().tree().to_string())
/// });
/// let tree = el.run_until_complete(group)?.unwrap();
/// let lines: Vec<&str> = tree.lines().collect();
/// assert!(lines[0].starts_with("task running "));
/// assert!(lines[1].starts_with("  group running "));
/// assert!(lines[2].starts_with("    task waiting ") && lines[2].contains("\"worker\""));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tree<'a> {
    entries: &'a [Entry],
    /// Indices of the entries below each entry.
    below: Vec<Vec<usize>>,
    /// Indices of the root entries.
    roots: Vec<usize>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(entries: &'a [Entry]) -> Tree<'a> {
        let mut below = vec![Vec::new(); entries.len()];
        let mut roots = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match entry.parent {
                Some(parent) => below[parent].push(index),
                None if entry.kind == EntryKind::Task => roots.push(index),
                None => {}
            }
        }
        Tree { entries, below, roots }
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stack instead of recursion: tasks may be nested to any depth.
        let mut left: Vec<(usize, usize)> =
            self.roots.iter().rev().map(|root| (*root, 0)).collect();
        let mut is_first = true;
        while let Some((index, depth)) = left.pop() {
            let entry = &self.entries[index];
            if !is_first {
                writeln!(f)?;
            }
            is_first = false;
            write!(f, "{:width$}{} {}", "", entry.kind, entry.state, width = 2 * depth)?;
            table::write_facts(f, entry)?;
            left.extend(self.below[index].iter().rev().map(|below| (*below, depth + 1)));
        }
        Ok(())
    }
}
