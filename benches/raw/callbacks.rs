//! A loop of boxed closures: readers in a table indexed by fd, and a queue of closures for the next
//! tick.
//!
//! The closures are boxed, because the loop accepts callbacks of any kind. A program with one kind
//! of callback needs no box.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

use super::epoll::{Epoll, READ};

type Reader<S> = Box<dyn FnMut(&mut S)>;
type Once<S> = Box<dyn FnOnce(&mut SoonQueue<S>, &mut S)>;

/// Closures for the next tick.
pub struct SoonQueue<S>(VecDeque<Once<S>>);

impl<S> SoonQueue<S> {
    pub fn push(&mut self, once: impl FnOnce(&mut SoonQueue<S>, &mut S) + 'static) {
        self.0.push_back(Box::new(once));
    }
}

/// A loop with state `S`.
pub struct Loop<S> {
    epoll: Epoll,
    readers: Vec<Option<Reader<S>>>,
    pub soon: SoonQueue<S>,
    pub state: S,
}

impl<S> Loop<S> {
    pub fn new(state: S) -> io::Result<Loop<S>> {
        let (readers, soon) = (Vec::new(), SoonQueue(VecDeque::new()));
        Ok(Loop { epoll: Epoll::new()?, readers, soon, state })
    }

    pub fn add_reader(
        &mut self,
        fd: RawFd,
        reader: impl FnMut(&mut S) + 'static,
    ) -> io::Result<()> {
        self.epoll.add(fd, READ)?;
        if self.readers.len() <= fd as usize {
            self.readers.resize_with(fd as usize + 1, || None);
        }
        self.readers[fd as usize] = Some(Box::new(reader));
        Ok(())
    }

    /// Runs the readers of ready fds, then the closures that were queued before the tick.
    pub fn tick(&mut self) -> io::Result<()> {
        let millis = if self.soon.0.is_empty() { -1 } else { 0 };
        for index in 0..self.epoll.wait(millis)? {
            let (fd, _) = self.epoll.event(index);
            if let Some(reader) = &mut self.readers[fd as usize] {
                reader(&mut self.state);
            }
        }
        for _ in 0..self.soon.0.len() {
            let Some(once) = self.soon.0.pop_front() else { break };
            once(&mut self.soon, &mut self.state);
        }
        Ok(())
    }
}
