//! Registering: adding filters to the kernel, or files that never block to `always`.

use std::io;
use std::os::fd::RawFd;

use super::Kqueue;
use super::kernel::{FileKind, Kernel};
use super::table::Registration;
use crate::event::{Interest, TriggerMode};
use crate::selector::errors::check_end;

/// Directions that are requested from poll(2).
const DIRECTIONS: Interest = Interest::READABLE.union(Interest::WRITABLE);

impl<K: Kernel> Kqueue<K> {
    /// Returns true if `fd` is registered.
    ///
    /// A registration without filters is removed here: its fd was closed, and the number belongs to
    /// another file now. The check is skipped for a kernel that keeps the filters of closed fds,
    /// because libkqueue gives unreliable answers.
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

    /// Returns the kind of `fd`. Also returns the interest to keep in `always`, if kqueue(2) cannot
    /// watch the file because it never blocks.
    ///
    /// # Errors
    ///
    /// `EBADF` if `fd` is not open; the errors of creating a kqueue for the check.
    pub(super) fn classify(
        &self,
        fd: RawFd,
        interest: Interest,
    ) -> io::Result<(FileKind, Option<Interest>)> {
        let kind = self.kernel.kind(fd)?;
        let always_ready = match kind {
            FileKind::File => Some(interest),
            FileKind::Device => self.always_ready_device(fd, interest)?,
            FileKind::Other => None,
        };
        Ok((kind, always_ready))
    }

    /// Compares poll(2) with a new kqueue, and returns the directions in which a device never
    /// blocks.
    ///
    /// kqueue(2) refuses some devices that poll(2) reports as ready, and never reports others
    /// (`/dev/null` of FreeBSD 15). If poll(2) still reports a direction that the kqueue did not,
    /// no filter would ever be active. A device that has data at present (bpf, tun) is reported by
    /// both.
    fn always_ready_device(&self, fd: RawFd, interest: Interest) -> io::Result<Option<Interest>> {
        let requested = match interest & DIRECTIONS {
            none if none.is_empty() => DIRECTIONS,
            some => some,
        };
        let ready = self.kernel.polled(fd, requested);
        if ready.is_empty() {
            return Ok(None);
        }
        let missed = ready - self.kernel.probed(fd, ready)?;
        // Polled a second time, because another reader may have taken the data in between.
        let is_idle = !missed.is_empty() && !self.kernel.polled(fd, missed).is_empty();
        Ok(is_idle.then_some((ready | Interest::PRIORITY) & interest).filter(|one| !one.is_empty()))
    }

    /// Replaces `old` by `fresh` in the kernel.
    ///
    /// The kernel keeps the mode with which a filter was added, so the old filters are always
    /// deleted first. Deleting them also proves that the number still belongs to the registered
    /// file.
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
                // The kernel does not report how many changes it made before the error, so all are
                // undone.
                self.undo(fd, fresh.interest, old);
                return Err(error);
            }
        };
        // The old filters are gone, so the fd was closed, and its number may belong to another
        // file.
        if old.is_some() && !answer.found {
            self.undo(fd, answer.added, None);
            self.forget(fd);
            return Err(answer.lost_error());
        }
        let Some(errno) = answer.refusal else {
            self.table.insert(fd, fresh);
            self.always.remove(fd); // An always-ready file with this number was closed.
            return Ok(());
        };
        if self.has_lost_its_end(fd, errno) {
            return self.move_to_always(
                fd,
                Registration { held: answer.added, ..fresh },
                fresh.interest,
            );
        }
        self.undo(fd, answer.added, old);
        Err(io::Error::from_raw_os_error(errno))
    }

    /// Returns true if the kernel refused a filter because the other end of a pipe is closed: a
    /// write fails at once, and a read returns the rest of the data and then the end.
    ///
    /// The errno is `EPIPE`, or `EBADF` on NetBSD although the fd is open.
    fn has_lost_its_end(&self, fd: RawFd, errno: libc::c_int) -> bool {
        errno == libc::EPIPE || errno == libc::EBADF && self.kernel.kind(fd).is_ok()
    }

    /// Moves a registration to `always`, because its file has lost its other end and never blocks
    /// again. Only the directions in `left` will be reported.
    ///
    /// A disabled read filter stays in the kernel, which accepts it for such a file. It disappears
    /// when the fd is closed, so it proves later that the number still belongs to this file.
    pub(super) fn move_to_always(
        &mut self,
        fd: RawFd,
        one: Registration,
        left: Interest,
    ) -> io::Result<()> {
        let proof = Registration { held: Interest::READABLE, asleep: true, ..one };
        self.changes.delete(fd, one.held);
        self.changes.add(fd, &proof);
        let is_proven =
            self.changes.apply(&mut self.kernel).is_ok_and(|result| !result.added.is_empty());
        match is_proven {
            true => self.table.insert(fd, proof),
            false => self.table.remove(fd),
        }
        self.always.put(fd, one.token, (one.interest, left), one.mode)
    }

    /// Moves the registrations to `always` for which the kernel has dropped a filter in this batch.
    pub(super) fn move_dropped_to_always(&mut self) {
        while let Some(fd) = self.dropped.pop() {
            let Some(one) = self.table.get(fd) else { continue };
            let report = self.reports.get(one.mark).filter(|report| report.fd == Some(fd));
            let left = match one.mode {
                _ if one.asleep => Interest::empty(),
                TriggerMode::Edge => {
                    one.interest - report.map_or(Interest::empty(), |report| report.from)
                }
                _ => one.interest,
            };
            // An error means that the fd was closed in the meantime, which this backend does not
            // report.
            let _ = self.move_to_always(fd, one, left);
        }
    }

    /// Removes all entries of `fd`, after its filters are gone.
    pub(super) fn forget(&mut self, fd: RawFd) {
        self.table.remove(fd);
        self.always.remove(fd);
    }

    /// Deletes `added` from the kernel and adds `old` again.
    ///
    /// Errors are ignored: the caller returns the first one, and filters that could not be restored
    /// are no longer in `held`.
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
    let message = "this kqueue does not report priority data; use poll or select";
    io::Error::new(io::ErrorKind::Unsupported, message)
}
