//! Assumptions of this selector about kqueue(2), and the place in each kernel that bears or breaks
//! them.
//!
//! FreeBSD 13.2 was measured ("seen"), a tree based on 15.1 in parts; the others were read. A name
//! with parentheses is a function; the files are `kern_event.c`, `sys_pipe.c`, `uipc_socket.c` and
//! `tty.c` of each kernel's `sys/kern` (`bsd/kern` of macOS) if no other is named. "Holds" without
//! a place means that the same function was read there. "Not read" is no evidence either way.
//! DragonFly was not read.
//!
//! 1. With `EV_RECEIPT` each change is answered, and answers end the call.
//!    - FreeBSD: seen
//!    - NetBSD, OpenBSD, macOS: not read
//! 2. A filter keeps its mode; each change replaces its udata.
//!    - FreeBSD: seen
//!    - NetBSD, OpenBSD, macOS: not read
//! 3. close(2) drops the filters of the number, silently, even if the file lives on.
//!    - FreeBSD: seen; knote_fdclose()
//!    - NetBSD, OpenBSD, macOS: not read
//! 4. A filter stays until it is deleted.
//!    - FreeBSD: **broken**, seen: pipeclose(), revoked terminals and destroyed devices call
//!      knlist_clear(), which sets `EV_EOF` and `EV_ONESHOT`: one more event, then it is gone
//!    - NetBSD: holds: pipeclose() only empties the list
//!    - OpenBSD: holds: pipe_destroy()
//!    - macOS: **broken** for devices: filt_spec_make_eof() in spec_vnops.c sets both flags on
//!      revoke
//! 5. An event with `EV_ONESHOT` that was not asked for means that the filter is gone.
//!    - FreeBSD: seen
//!    - NetBSD, OpenBSD: no such event read
//!    - macOS: filt_spec_common(), spec_vnops.c
//! 6. A write filter can be added to a pipe without a reader.
//!    - FreeBSD: **broken**, seen: pipe_kqfilter(), `EPIPE`
//!    - NetBSD: **broken**: pipe_kqfilter(), `EBADF`
//!    - OpenBSD: **broken**: pipe_kqfilter(), `EPIPE`
//!    - macOS: holds, by intent: pipe_kqfilter()
//! 7. A read filter can be added to such a pipe, disabled.
//!    - FreeBSD: seen
//!    - NetBSD, OpenBSD, macOS: pipe_kqfilter()
//! 8. The write filter of a *full* pipe becomes active when the reader goes.
//!    - FreeBSD: seen; pipeclose() marks, then wakes
//!    - NetBSD: **broken** by reading: pipeclose() wakes before it marks the end, so a filter that
//!      is not active stays so
//!    - OpenBSD: **broken** by reading: pipe_destroy() likewise
//!    - macOS: pipeclose(), after the mark
//! 9. The filter of the wrong direction of a pipe is never active.
//!    - FreeBSD: pipe_kqfilter(), for fifos; anonymous pipes go both ways, seen
//!    - NetBSD: not so: at the end the read filter of a write end is active
//!    - OpenBSD: the same
//!    - macOS: filt_pipe_draincommon(): active at the end
//! 10. Both ends of a terminal get `EV_EOF` when the other side goes.
//!     - FreeBSD: seen; after revoke(2) only a filter that was active: knlist_clear() activates
//!       none, so a lone reader waits
//!     - NetBSD, OpenBSD, macOS: not read
//! 11. A device that poll(2) calls ready is ready for its filter, or refused.
//!     - FreeBSD: **broken** in 15 for `/dev/null`, whose read filter is taken and never active,
//!       seen; 13 refuses it with `ENODEV`, seen
//!     - NetBSD: holds: seltrue_kqfilter() for devices without a filter, `sys/conf.h`
//!     - OpenBSD: holds: seltrue_kqfilter()
//!     - macOS: `EINVAL` unless `NOTE_LOWAT` with 1 is asked for: filt_specattach(), spec_vnops.c
//! 12. Priority data has a filter of its own, which is active for nothing else.
//!     - FreeBSD: no such filter; read and write filters are silent about it, seen
//!     - NetBSD: no such filter: soo_kqfilter()
//!     - OpenBSD: **broken**: `EVFILT_EXCEPT` is also active at the end of a pipe, then without
//!       `NOTE_OOB`: filt_pipeexcept_common()
//!     - macOS: **broken**: `EVFILT_EXCEPT` of a socket is its read filter, with `NOTE_OOB` set in
//!       the event only for priority data: filt_soread_common(); `fflags` is an errno at the end;
//!       pipe_kqfilter() refuses it
//! 13. `EV_EOF` of a socket's read filter means no more input; that of the write filter no more
//!     output; `fflags` is its errno.
//!     - FreeBSD: seen in every state
//!     - NetBSD, OpenBSD: filt_soread(), filt_sowrite(); a pending error makes both active without
//!       `EV_EOF`
//!     - macOS: filt_soread_common(), filt_sowrite_common(); likewise
//! 14. A socket's own `SHUT_RD` is `EV_EOF` for reading.
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD, macOS: the same functions, by `SS_CANTRCVMORE`
//! 15. A listener's read filter counts the backlog; the write filter is silent.
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD: filt_solisten(); filt_sowrite() wants a connection
//!     - macOS: filt_soread_common(); socanwrite() likewise
//! 16. A regular file at its end is silent.
//!     - FreeBSD: seen, so such files are in `always`
//!     - NetBSD, OpenBSD, macOS: not read
//! 17. fcntl(2) makes any fd non-blocking.
//!     - FreeBSD: **broken** for a kqueue, seen: kqueue_ioctl() is `ENOTTY`, and the flag stays set
//!     - NetBSD: not read
//!     - OpenBSD, macOS: kqueue_ioctl(), `ENOTTY`
//! 18. A kqueue is readable by poll(2) while an event waits.
//!     - FreeBSD: also once after a level report, until a call finds nothing, seen
//!     - NetBSD, OpenBSD, macOS: not read
//! 19. A kqueue is not inherited by fork(2).
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD, macOS: not read
//! 20. A wait is interrupted by a signal, also with `SA_RESTART`.
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD, macOS: not read
//! 21. Timeouts of any number of seconds are taken.
//!     - FreeBSD: seen, up to `i64::MAX`
//!     - NetBSD, OpenBSD, macOS: not read
//!
//! Consequences of the broken ones: 4 and 5 are handled in `merging.rs`, 6 and 7 in
//! `registering.rs`, 11 by the comparison with poll(2) there, 12 in `merging.rs`, 17 in `fd.rs`.
//! Not handled: 8 (only a writer of a full pipe whose reader goes, on NetBSD and OpenBSD), and the
//! lone reader of a revoked terminal in 10. `EV_DISPATCH2`, `NOTE_LOWAT` and the 64-bit calls of
//! macOS are not used.
