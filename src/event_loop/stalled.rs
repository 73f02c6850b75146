//! Detection of stalled loops: runs in which tasks only wait for each other.
//!
//! A false alarm would end a healthy daemon, so anything that could cause an event counts, even in
//! the background, and so does a waker kept by other code.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::EventLoop;
use super::loop_handle::Shared;
use super::source::Source;
use super::tick::Sleep;
use crate::error::{Error, Stalled, StalledTask};
use crate::handle::Handle;
use crate::snapshot::{Entry, EntryKind, EntryState, Wait};

impl<S> EventLoop<S> {
    /// Returns true if the loop would sleep until an event, and no event can come. Only tasks can
    /// wait then: a callback that waits has a source.
    #[inline]
    pub(super) fn is_stalled(&self, sleep: Sleep) -> bool {
        match sleep {
            Sleep::AtMost(_) => false,
            Sleep::WhileAlive if self.core.tasks_alive.get() == 0 => false,
            Sleep::WhileAlive | Sleep::WhileWakeable => !self.can_be_woken(),
        }
    }

    /// Returns true if anything is left that could cause an event.
    #[inline(never)]
    fn can_be_woken(&self) -> bool {
        let core = &self.core;
        // The search begins at the descriptor that the last one found, and usually ends there.
        core.settings.custom_selector
            || self.handle.shared.tasks.has_descriptor_waiter()
            || self.has_source()
            || self.is_reachable()
            || core.timeline.clock().max_wait(None).is_some() // A clock that limits each sleep.
    }

    /// Returns true if a callback or a future of the loop can be called by an event.
    fn has_source(&self) -> bool {
        let core = &self.core;
        let callbacks = self.handle.shared.callbacks.borrow();
        let found = callbacks.find(self.last_source.get(), |key, entry| match entry.source {
            Source::Stream(_) => true, // Its peer may reset it, even if it is paused.
            source => self.handle.can_be_called(key, source),
        });
        self.last_source.set(found.unwrap_or(0));
        found.is_some()
            || core.signals.borrow().has_receivers()
            || !core.children.borrow().is_empty()
            || core.timebases.is_any_armed()
            || core.timers.borrow().armed_timers().next().is_some() // One that never ends.
            || core.blocking_pool().is_busy()
    }

    /// Returns true if other threads can reach the loop.
    fn is_reachable(&self) -> bool {
        let Shared { inbox, tasks, .. } = &*self.handle.shared;
        let has_remotes = Arc::strong_count(inbox) > 1;
        // Pairs with the release of a thread that drops its remote. Its last message is seen below.
        fence(Ordering::Acquire);
        // The wakers before the messages: a thread sends first, and drops its waker then.
        has_remotes || tasks.has_foreign_wakers() || inbox.needs_check() || tasks.has_messages()
    }

    /// Returns the error with the tasks that wait.
    #[cold]
    pub(super) fn stalled(&self) -> Error {
        let snapshot = self.handle.snapshot();
        let waits =
            |entry: &&Entry| entry.kind == EntryKind::Task && entry.state != EntryState::Done;
        let waiting: Vec<&Entry> = snapshot.entries.iter().filter(waits).collect();
        let indices: HashMap<Handle, usize> =
            waiting.iter().enumerate().filter_map(|(at, task)| Some((task.handle?, at))).collect();
        let joined = |wait: &Wait| match wait {
            Wait::Task(task) => indices.get(task).copied(),
            _ => None,
        };
        let tasks = waiting.iter().map(|entry| StalledTask {
            location: entry.location,
            name: entry.name.clone(),
            awaits: entry.awaits().to_vec(),
            joins: entry.waits().iter().filter_map(joined).collect(),
        });
        Error::Stalled(Box::new(Stalled { tasks: tasks.collect() }))
    }
}
