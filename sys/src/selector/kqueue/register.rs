//! Registrations: their filters in the kernel, and their place in the set of files that never wait.

use std::io;
use std::os::fd::RawFd;

use super::Kqueue;
use super::kernel::{Kernel, Kind};
use super::table::Registration;
use crate::event::{Interest, TriggerMode};
use crate::selector::check_end;

/// The directions that poll(2) is asked about.
const DIRECTIONS: Interest = Interest::READABLE.union(Interest::WRITABLE);

impl<K: Kernel> Kqueue<K> {
    /// Returns true if `fd` is registered.
    ///
    /// A registration without its filters is removed here: its fd was closed, and the number
    /// belongs to another file now. A kernel that keeps the filters of closed fds is not asked;
    /// libkqueue answers such questions at random.
    pub(super) fn is_registered(&mut self, fd: RawFd) -> io::Result<bool> {
        let Some(registration) = self.table.get(fd) else { return Ok(false) };
        if !self.kernel.forgets_closed() {
            return Ok(true);
        }
        self.changes.touch(fd, &registration);
        let found = self.changes.apply(&mut self.kernel)?.found;
        if !found {
            self.forget(fd);
        }
        Ok(found)
    }

    /// Returns the kind of `fd`, and the interest to keep in `always` if kqueue(2) cannot watch it
    /// because the file never waits.
    ///
    /// # Errors
    ///
    /// `EBADF`: `fd` is not open. The kernel refuses a descriptor for the question.
    pub(super) fn look_at(
        &self,
        fd: RawFd,
        interest: Interest,
    ) -> io::Result<(Kind, Option<Interest>)> {
        let kind = self.kernel.kind(fd)?;
        let idle = match kind {
            Kind::File => Some(interest),
            Kind::Device => self.idle_device(fd, interest)?,
            Kind::Other => None,
        };
        Ok((kind, idle))
    }

    /// Asks poll(2) for the directions in which a device is ready, and a kqueue for the same.
    ///
    /// kqueue(2) refuses some devices that poll(2) calls ready, and is silent about others
    /// (`/dev/null` of FreeBSD 15). If poll(2) still reports a direction after the kqueue was
    /// silent, no filter would ever be active. A device that merely has data now (bpf, tun) is reported
    /// by both.
    fn idle_device(&self, fd: RawFd, interest: Interest) -> io::Result<Option<Interest>> {
        let asked = match interest & DIRECTIONS {
            none if none.is_empty() => DIRECTIONS,
            some => some,
        };
        let ready = self.kernel.polled(fd, asked);
        if ready.is_empty() {
            return Ok(None);
        }
        let missed = ready - self.kernel.probed(fd, ready)?;
        let is_idle = !missed.is_empty() && !self.kernel.polled(fd, missed).is_empty();
        Ok(is_idle.then_some((ready | Interest::PRIORITY) & interest).filter(|one| !one.is_empty()))
    }

    /// Puts `fresh` into the kernel in the place of `old`.
    ///
    /// The kernel keeps the mode that a filter was added with, so the old filters are always
    /// deleted first. That they were there also proves that the number still belongs to the file
    /// that was registered.
    pub(super) fn replace(
        &mut self,
        fd: RawFd,
        old: Option<Registration>,
        fresh: Registration,
    ) -> io::Result<()> {
        if fresh.interest.contains(Interest::PRIORITY) && !self.kernel.has_except() {
            return Err(no_priority());
        }
        check_end(fresh.interest)?;
        self.changes.delete(fd, old.map_or(Interest::empty(), |old| old.held));
        self.changes.add(fd, &fresh);
        let answer = match self.changes.apply(&mut self.kernel) {
            Ok(answer) => answer,
            Err(error) => {
                self.undo(fd, fresh.interest, old);
                return Err(error);
            }
        };
        if old.is_some() && !answer.found {
            self.undo(fd, answer.added, None);
            self.forget(fd);
            return Err(answer.gone());
        }
        let Some(errno) = answer.refusal else {
            self.table.insert(fd, fresh);
            self.always.remove(fd); // A file that was closed without a word had this number.
            return Ok(());
        };
        if self.has_lost_its_end(fd, errno) {
            return self.retire(fd, Registration { held: answer.added, ..fresh }, fresh.interest);
        }
        self.undo(fd, answer.added, old);
        Err(io::Error::from_raw_os_error(errno))
    }

    /// Returns true if the kernel refused a filter because the other end of a pipe is gone: a
    /// write fails at once, a read returns what is left and then the end.
    ///
    /// The errno is `EPIPE`, and `EBADF` on NetBSD although the fd is open.
    fn has_lost_its_end(&self, fd: RawFd, errno: libc::c_int) -> bool {
        errno == libc::EPIPE || errno == libc::EBADF && self.kernel.kind(fd).is_ok()
    }

    /// Moves a registration to `always`, because its file has no other end and never waits again.
    /// Only the directions in `left` will be reported.
    ///
    /// A disabled read filter stays in the kernel, which accepts it on such a file. It goes away
    /// when the fd is closed, so it proves later that the number still belongs to this file.
    pub(super) fn retire(
        &mut self,
        fd: RawFd,
        one: Registration,
        left: Interest,
    ) -> io::Result<()> {
        let proof = Registration { held: Interest::READABLE, asleep: true, ..one };
        self.changes.delete(fd, one.held);
        self.changes.add(fd, &proof);
        let is_proven = self.changes.apply(&mut self.kernel).is_ok_and(|it| !it.added.is_empty());
        match is_proven {
            true => self.table.insert(fd, proof),
            false => self.table.remove(fd),
        }
        self.always.put(fd, one.token, (one.interest, left), one.mode)
    }

    /// Moves the registrations to `always` of which the kernel has dropped a filter in this batch.
    pub(super) fn retire_dropped(&mut self) {
        while let Some(fd) = self.dropped.pop() {
            let Some(one) = self.table.get(fd) else { continue };
            let report = self.reports.get(one.mark).filter(|report| report.fd == Some(fd));
            let left = match one.mode {
                _ if one.asleep => Interest::empty(),
                TriggerMode::Edge => one.interest - report.map_or(Interest::empty(), |it| it.from),
                _ => one.interest,
            };
            // An error says that the fd was closed in the meantime, which is silent here.
            let _ = self.retire(fd, one, left);
        }
    }

    /// Removes all knowledge of `fd`, whose filters are gone.
    pub(super) fn forget(&mut self, fd: RawFd) {
        self.table.remove(fd);
        self.always.remove(fd);
    }

    /// Takes `added` out of the kernel again, and puts `old` back.
    ///
    /// Errors are dropped: the caller gets the first one, and what could not be put back is no
    /// longer held.
    fn undo(&mut self, fd: RawFd, added: Interest, old: Option<Registration>) {
        self.changes.delete(fd, added);
        if let Some(old) = old {
            self.changes.add(fd, &old);
        }
        if self.changes.is_empty() {
            return;
        }
        let answer = self.changes.apply(&mut self.kernel);
        if let Some(old) = self.table.get_mut(fd).filter(|_| old.is_some()) {
            old.held = answer.map_or(Interest::empty(), |answer| answer.added);
        }
    }
}

fn no_priority() -> io::Error {
    let message = "this kqueue reports no priority data; poll and select do";
    io::Error::new(io::ErrorKind::Unsupported, message)
}
