//! Messages: closures that other threads sent, from the inbox to the ready deque.
//!
//! # Invariant
//!
//! Messages run in the order of sending: the inbox is emptied only when no message waits.

use std::collections::VecDeque;
use std::panic::Location;

use mainspring_sys::{Readiness, Wakeup};

use super::callback::Message;
use crate::handle::Key;
use crate::inbox::Inbox;
use crate::ready::ReadyDeque;

/// The inbox of a loop with state `S`.
pub(crate) type LoopInbox<S> = Inbox<Message<S>, Wakeup>;

/// Messages that were taken from the inbox and have not run.
pub(super) struct Messages<S> {
    /// Oldest first.
    waiting: VecDeque<Message<S>>,
    /// Number of messages at the front that have an entry in the ready deque.
    queued: usize,
}

impl<S> Messages<S> {
    pub(super) fn new() -> Messages<S> {
        Messages { waiting: VecDeque::new(), queued: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Empties the inbox, if no message waits.
    pub(super) fn take_from(&mut self, inbox: &LoopInbox<S>) {
        if self.waiting.is_empty() {
            inbox.take(&mut self.waiting);
        }
    }

    /// Feeds an entry for each message that has none, for `limit` of them at most. Returns their
    /// number.
    pub(super) fn feed(&mut self, limit: usize, ready: &mut ReadyDeque) -> usize {
        let fed = (self.waiting.len() - self.queued).min(limit);
        self.queued += fed;
        (0..fed).for_each(|_| ready.feed(Key::INBOX, Readiness::empty()));
        fed
    }

    /// Removes the oldest message, for its entry in the ready deque.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Message<S>> {
        let message = self.waiting.pop_front()?;
        self.queued -= 1;
        Some(message)
    }

    /// Returns the place where the oldest message was sent.
    pub(super) fn location(&self) -> Option<&'static Location<'static>> {
        self.waiting.front().map(|(_, location)| *location)
    }

    /// Returns the places where the messages were sent.
    pub(super) fn locations(&self) -> impl Iterator<Item = &'static Location<'static>> {
        self.waiting.iter().map(|(_, location)| *location)
    }

    /// Removes all messages.
    pub(super) fn take_all(&mut self) -> VecDeque<Message<S>> {
        self.queued = 0;
        std::mem::take(&mut self.waiting)
    }
}
