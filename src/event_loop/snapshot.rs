//! Snapshots: the contents of the loop, copied into plain values.
//!
//! The copies are made with the tables borrowed. User code runs only before that: custom clocks are
//! read first.

use std::collections::HashSet;
use std::time::Duration;

use mainspring_sys::file_type::FileType;

use super::LoopHandle;
use super::callback::Callback;
use super::source::{Hook, Source};
use crate::callbacks::CallbackEntry;
use crate::clock::{Times, time_left};
use crate::handle::Key;
use crate::snapshot::{Details, Entry, EntryKind, EntryState, PlaceCount, Places, Snapshot};
use crate::watchers::WatcherId;

/// # Snapshots
impl<S> LoopHandle<S> {
    /// Returns the contents of the loop: callbacks with their descriptors, deadlines and signals,
    /// tasks, jobs, and which of them keep [`run`](crate::EventLoop::run) going.
    ///
    /// It may be called at any time, even in a callback or a task. A closure, a message or a timer
    /// that runs only once has no entry while it runs. A snapshot takes time and memory for each
    /// entry, with up to three system calls per descriptor. For a loop with very many entries,
    /// start with [`count_by_place`](LoopHandle::count_by_place).
    ///
    /// A callback that is due in the current batch may be shown as waiting.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use mainspring::snapshot::EntryKind;
    ///
    /// let mut el = EventLoop::new()?;
    /// let (reader, _writer) = std::io::pipe()?;
    /// let watcher = el.add_reader(reader, |_, _, _| Ok(()))?;
    /// let snapshot = el.snapshot();
    /// let entry = snapshot.get(watcher).unwrap();
    /// assert_eq!((entry.kind(), entry.runs()), (EntryKind::Watcher, Some(0)));
    /// assert_eq!(entry.file().unwrap().to_string(), "pipe");
    /// assert_eq!(snapshot.keeps_alive().count(), 1); // this is why `run` would not return
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        let core = self.core();
        let times = core.timeline.times();
        let mut entries = Vec::new();
        self.list_callbacks(times, &mut entries);
        self.list_closures(&mut entries);
        self.shared.tasks.list(times, &mut entries);
        self.list_others(&mut entries);
        core.blocking_pool().list(core.tick(), &mut entries);
        Snapshot { tick: core.tick(), entries }
    }

    /// Counts callbacks and tasks by kind and place, the most frequent first. For a leak, this
    /// shows the line that causes it.
    ///
    /// It creates no entries and makes no system calls: a million tasks take a few milliseconds.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// for _ in 0..1000 {
    ///     el.spawn(std::future::pending::<()>()).detach();
    /// }
    /// el.call_soon(|_, _| {});
    /// let places = el.count_by_place();
    /// assert_eq!((places[0].count(), places[1].count()), (1000, 1));
    /// assert_eq!(places[0].location().line() + 2, places[1].location().line());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn count_by_place(&self) -> Vec<PlaceCount> {
        let mut places = Places::default();
        for (_, entry) in self.shared.callbacks.borrow().iter() {
            places.add(kind_of(entry), entry.location, 1);
        }
        for (_, location) in self.shared.soon.borrow().iter() {
            places.add(EntryKind::Closure, location, 1);
        }
        self.shared.tasks.count_by_place(&mut places);
        places.sorted()
    }

    fn list_callbacks(&self, times: Times, entries: &mut Vec<Entry>) {
        let queued: HashSet<Key> = self.core().agenda.ready.borrow().keys().collect();
        let callbacks = self.shared.callbacks.borrow();
        entries.reserve(callbacks.count());
        for (key, callback) in callbacks.iter() {
            entries.push(self.entry_of(times, key, callback, queued.contains(&key)));
        }
    }

    fn entry_of(
        &self,
        times: Times,
        key: Key,
        callback: &CallbackEntry<Source, Callback<S>>,
        is_queued: bool,
    ) -> Entry {
        let core = self.core();
        let facts = callback.callback.as_ref().map(Callback::facts).unwrap_or_default();
        let is_due = core.is_due(callback.source);
        let can_be_called = self.can_be_called(key, callback.source);
        let state = match callback.source {
            _ if facts.is_running || core.current.get() == key => EntryState::Running,
            _ if is_queued => EntryState::Pending,
            _ if is_due => EntryState::Pending,
            Source::Hook(_) => EntryState::Waiting,
            _ if can_be_called => EntryState::Waiting,
            _ => EntryState::Paused,
        };
        let mut entry = Entry::new(kind_of(callback), state);
        entry.is_foreground = !callback.registered_at.is_background();
        entry.keeps_alive =
            is_queued || facts.is_backing_off || entry.is_foreground && can_be_called;
        entry.handle = Some(self.handle(key));
        entry.location = Some(callback.location);
        entry.name = self.name_of(key).map(|name| Box::from(&*name));
        entry.age = Some(callback.registered_at.age(core.tick()).into());
        entry.runs = Some(callback.callback.as_ref().map_or(0, Callback::runs));
        let details = entry.details_mut();
        (details.queued, details.connections) = (facts.queued, facts.connections);
        details.period = callback
            .callback
            .as_ref()
            .and_then(|callback| callback.grid().map(|grid| Duration::from_nanos(grid.period())));
        self.describe_source(times, key, callback.source, details);
        if entry.kind != EntryKind::Watcher {
            entry.details_mut().add_addresses();
        }
        entry
    }

    fn describe_source(&self, times: Times, key: Key, source: Source, details: &mut Details) {
        let core = self.core();
        match source {
            Source::Soon => {}
            Source::Timer(timer) | Source::Interval(timer) => {
                let deadline = core.timers.borrow().deadline(timer);
                details.due_in = deadline.and_then(|deadline| time_left(times.now, deadline));
            }
            Source::WallTimer(_) | Source::BootTimer(_) | Source::Schedule(_) => {
                details.due_in = source.clock_slot().and_then(|slot| {
                    let deadline = core.timebases.deadline(slot)?;
                    time_left(times.of(slot.timebase), deadline)
                });
            }
            Source::Watch(watcher) | Source::Stream(watcher) => {
                self.describe_fd(watcher, key, details);
            }
            Source::Signal(signal) => details.signal = Some(signal),
            Source::Child(pid) => details.pid = Some(pid),
            Source::Hook(hook) => details.stage = Some(hook.name()),
        }
    }

    fn describe_fd(&self, watcher: WatcherId, key: Key, details: &mut Details) {
        let watchers = self.core().watchers.borrow();
        details.fd = watchers.fd_of(watcher, key);
        details.file = details.fd.and_then(FileType::of);
        details.interest = Some(watchers.interest(watcher, key));
    }

    fn list_closures(&self, entries: &mut Vec<Entry>) {
        let waiting = self.core().agenda.ready.borrow().keys().filter(|key| key.is_soon()).count();
        let soon = self.shared.soon.borrow();
        let first_of_tick = soon.first_of_tick(self.core().tick(), waiting);
        entries.extend(soon.iter().map(|(key, location)| {
            let mut entry = Entry::new(EntryKind::Closure, EntryState::Pending);
            entry.keeps_alive = true;
            (entry.handle, entry.location) = (Some(self.handle(key)), Some(location));
            entry.name = self.name_of(key).map(|name| Box::from(&*name));
            let is_older = key.soon_number().is_some_and(|number| number < first_of_tick);
            (entry.age, entry.runs) = (Some(is_older.into()), Some(0));
            entry
        }));
    }

    /// Adds the messages from other threads, and the remotes that may still send some.
    fn list_others(&self, entries: &mut Vec<Entry>) {
        let pending = |kind, location| {
            let mut entry = Entry::new(kind, EntryState::Pending);
            (entry.keeps_alive, entry.location) = (true, location);
            entry
        };
        let message = |location| {
            let mut entry = pending(EntryKind::Message, Some(location));
            entry.runs = Some(0);
            entry
        };
        entries.extend(self.shared.messages.borrow().locations().map(message));
        let inbox = &self.shared.inbox;
        inbox.for_each(|(_, location)| entries.push(message(*location)));
        self.core().agenda.for_each_failure(|location| {
            entries.push(pending(EntryKind::Report, location));
        });
        if inbox.has_senders() {
            self.list_remotes(entries);
        }
    }

    fn list_remotes(&self, entries: &mut Vec<Entry>) {
        let tick = self.core().tick();
        self.shared.remotes.for_each(|site, remotes| {
            let mut entry = Entry::new(EntryKind::Remotes, EntryState::Waiting);
            entry.keeps_alive = true;
            entry.location = Some(site.location);
            entry.age = Some(tick.saturating_sub(site.made_in));
            entry.details_mut().count = Some(remotes);
            entries.push(entry);
        });
    }
}

/// Returns the kind of a callback: that of its type, or else that of its source.
pub(super) fn kind_of<S>(entry: &CallbackEntry<Source, Callback<S>>) -> EntryKind {
    let kind = entry.callback.as_ref().and_then(Callback::kind);
    kind.unwrap_or(match entry.source {
        Source::Soon => EntryKind::Closure,
        Source::Timer(_)
        | Source::Interval(_)
        | Source::WallTimer(_)
        | Source::BootTimer(_)
        | Source::Schedule(_) => EntryKind::Timer,
        Source::Watch(_) => EntryKind::Watcher,
        Source::Stream(_) => EntryKind::Connection,
        Source::Signal(_) => EntryKind::Signal,
        Source::Child(_) => EntryKind::Process,
        Source::Hook(_) => EntryKind::Hook,
    })
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Hook::Prepare => "prepare",
            Hook::Check => "check",
            Hook::Idle => "idle",
        }
    }
}
