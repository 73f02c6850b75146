//! Assumptions of this selector about kqueue(2), and the place in each kernel that confirms or
//! breaks them.
//!
//! FreeBSD 13.2 was measured ("seen"), and a tree based on 15.1 in parts; the other kernels were
//! read. A name with parentheses is a function. Unless another file is named, it is in
//! `kern_event.c`, `sys_pipe.c`, `uipc_socket.c` or `tty.c` of the kernel's `sys/kern` (`bsd/kern`
//! of macOS). "Holds" without a place means that the same function was read there. The versions of
//! `kern_event.c`: 1.140 of NetBSD, 1.205 of OpenBSD, xnu 11417.101.15 of macOS, with its line
//! numbers, and one of DragonFly that has `precise_sleep()`. An older DragonFly has no
//! `EV_RECEIPT`, no `EV_DISPATCH` and no `EVFILT_USER`; each registration fails there.
//!
//! 1. With `EV_RECEIPT` each change gets a receipt, and a call with receipts returns no other
//!    events.
//!    - FreeBSD: seen
//!    - NetBSD: kevent1(), after the loop over the changes
//!    - OpenBSD: sys_kevent(), likewise
//!    - macOS: kevent_internal(), 8189; the receipt keeps the flags of the change
//!    - DragonFly: kern_kevent(); it does not check the room, so there must be room for all
//!      receipts
//! 2. A filter keeps its mode; each change replaces its udata.
//!    - FreeBSD: seen
//!    - NetBSD: kqueue_register(), after `EV_DELETE`; each change replaces `fflags` too
//!    - OpenBSD: **broken** for udata: kqueue_register() calls filter_modify() for `EV_ADD` alone,
//!      and `EV_ENABLE` of a filter that is enabled does nothing
//!    - macOS: kevent_register(), 4252
//!    - DragonFly: kqueue_register()
//! 3. close(2) drops the filters of the number, silently, even if the file lives on.
//!    - FreeBSD: seen; knote_fdclose()
//!    - NetBSD: knote_fdclose()
//!    - OpenBSD: knote_fdclose(), knote_remove(), over each kqueue of the process
//!    - macOS: knote_fdclose(), 6701; `EV_VANISHED` only if it was requested
//!    - DragonFly: knote_fdclose(), over the filters of the file with that number
//! 4. A filter stays until it is deleted.
//!    - FreeBSD: **broken**, seen: pipeclose(), revoked terminals and destroyed devices call
//!      knlist_clear(), which sets `EV_EOF` and `EV_ONESHOT`: one more event, then it is gone
//!    - NetBSD: holds: pipeclose() only empties the list
//!    - OpenBSD: holds for pipes: pipe_destroy(); **broken** for revoked files: kqueue_scan() and
//!      klist_invalidate() give the filter dead_filtops, and filt_dead() sets both flags. A filter
//!      for priority data goes without an event
//!    - macOS: **broken** on revoke(2), for devices: filt_spec_make_eof() in spec_vnops.c; for
//!      terminals: filt_ttyevent(), 3578; ptsd_kqops_event() and ptmx_kqops_event(), tty_ptmx.c,
//!      614 and 899. All set both flags
//!    - DragonFly: holds for pipes: pipeclose(); devfs_detached_filter_eof(), devfs_core.c, sets
//!      `EV_EOF` alone
//! 5. An event with `EV_ONESHOT` that was not requested means that the filter is gone.
//!    - FreeBSD: seen
//!    - NetBSD: kqueue_scan() detaches it; set on revoke by filt_genfsread(), genfs_vnops.c
//!    - OpenBSD: kqueue_scan() drops it once it is copied out
//!    - macOS: knote_process(), 4432; filt_spec_common(), spec_vnops.c
//!    - DragonFly: kqueue_scan(); set on revoke by the filters of file systems
//! 6. A write filter can be added to a pipe without a reader.
//!    - FreeBSD: **broken**, seen: pipe_kqfilter(), `EPIPE`
//!    - NetBSD: **broken**: pipe_kqfilter(), `EBADF`
//!    - OpenBSD: **broken**: pipe_kqfilter(), `EPIPE`
//!    - macOS: holds, by intent: pipe_kqfilter()
//!    - DragonFly: holds: pipe_kqfilter() returns `EPIPE` only when both ends are closed
//! 7. A read filter can be added to such a pipe, disabled.
//!    - FreeBSD: seen
//!    - NetBSD, OpenBSD, macOS, DragonFly: pipe_kqfilter()
//! 8. The write filter of a *full* pipe becomes active when the reader is closed.
//!    - FreeBSD: seen; pipeclose() marks, then wakes
//!    - NetBSD: **broken** by reading: pipeclose() wakes before it marks the end, so a filter that
//!      is not active stays inactive
//!    - OpenBSD: **broken** by reading: pipe_destroy() likewise
//!    - macOS, DragonFly: pipeclose(), after the mark
//! 9. The filter of the wrong direction of a pipe is never active.
//!    - FreeBSD: pipe_kqfilter(), for fifos; anonymous pipes go both ways, seen
//!    - NetBSD: not so: at the end the read filter of a write end is active
//!    - OpenBSD: the same
//!    - macOS: filt_pipe_draincommon(): active at the end
//!    - DragonFly: pipes go both ways, so filt_piperead() of either end is active at the end
//! 10. Both ends of a terminal get `EV_EOF` when the other side is closed.
//!     - FreeBSD: seen; after revoke(2) only a filter that was active: knlist_clear() activates
//!       none, so a lone reader waits forever
//!     - NetBSD: **broken**: filt_ttyread(), filt_ttywrite(), and filt_ptcread() of tty_pty.c never
//!       set it and are silent without a carrier, while ttpoll() and ptcpoll() report `POLLHUP`
//!     - OpenBSD: the read filters: filt_ttyread(), and filt_ptcread() of tty_pty.c, which clear it
//!       when the carrier returns; the write filters set it for poll(2) alone
//!     - macOS: all four: ptsd_kqops_common() and ptmx_kqops_common(), tty_ptmx.c, 570 and 849;
//!       filt_tty_common(), 3409. **Sticky**: no code clears it, so a filter of the master stays
//!       active when the other side is opened again
//!     - DragonFly: the read filters: filt_ttyread(), and filt_ptcread() of tty_pty.c; sticky too.
//!       filt_ttywrite() is active without it; filt_ptcwrite() requires a zombie
//! 11. A device that poll(2) reports as ready is ready for its filter, or refused.
//!     - FreeBSD: **broken** in 15 for `/dev/null`: the read filter is accepted and never active,
//!       seen; 13 refuses it with `ENODEV`, seen
//!     - NetBSD: holds: seltrue_kqfilter() for devices without a filter, `sys/conf.h`
//!     - OpenBSD: holds: seltrue_kqfilter()
//!     - macOS: `EINVAL` unless `NOTE_LOWAT` with 1 is requested: filt_specattach(), spec_vnops.c,
//!       3106; then `ENODEV` if the device neither is ready nor records the request
//!     - DragonFly: holds for `/dev/null` and its like: mmkqfilter(), kern_memio.c
//! 12. Priority data has its own filter, which is active for nothing else.
//!     - FreeBSD: no such filter; read and write filters do not report it, seen
//!     - NetBSD: no such filter: soo_kqfilter()
//!     - OpenBSD: **broken**: `EVFILT_EXCEPT` is also active at the end of a pipe, then without
//!       `NOTE_OOB`: filt_pipeexcept_common(). Of a terminal, ttkqfilter() refuses it
//!     - macOS: **broken**: `EVFILT_EXCEPT` of a socket is its read filter, with `NOTE_OOB` set in
//!       the event only for priority data: filt_soread_common(); `fflags` is an errno at the end;
//!       pipe_kqfilter() refuses it
//!     - DragonFly: holds: filt_soread() with `NOTE_OOB`; pipe_kqfilter() and ttykqfilter() refuse
//!       it with `EOPNOTSUPP`
//! 13. `EV_EOF` of a socket's read filter means no more input; that of the write filter no more
//!     output; `fflags` is its errno.
//!     - FreeBSD: seen in every state
//!     - NetBSD, OpenBSD: filt_soread(), filt_sowrite(); a pending error makes both active without
//!       `EV_EOF`
//!     - macOS: filt_soread_common(), filt_sowrite_common(); likewise
//!     - DragonFly: filt_soread(), filt_sowrite(); likewise
//! 14. A socket's own `SHUT_RD` is `EV_EOF` for reading.
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD, macOS, DragonFly: the same functions, by `SS_CANTRCVMORE`
//! 15. A listener's read filter counts the backlog; the write filter is silent.
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD, DragonFly: filt_solisten(); filt_sowrite() requires a connection
//!     - macOS: filt_soread_common(); socanwrite() likewise
//! 16. A regular file at its end is silent.
//!     - FreeBSD: seen, so such files are in `always`
//!     - NetBSD: filt_genfsread(), genfs_vnops.c
//!     - OpenBSD: filt_ufsread(), ufs_vnops.c; always ready for poll(2)
//!     - macOS: filt_vnode_common(), vfs_vnops.c, 2143
//!     - DragonFly: filt_ufsread(), ufs_vnops.c; filt_hammer2read(), hammer2_vnops.c
//! 17. fcntl(2) makes any fd non-blocking.
//!     - FreeBSD: **broken** for a kqueue, seen: kqueue_ioctl() is `ENOTTY`, and the flag stays set
//!     - NetBSD: **broken** likewise: kqueue_fcntl() and kqueue_ioctl(), `ENOTTY`
//!     - OpenBSD, DragonFly: **broken** likewise: kqueue_ioctl(), `ENOTTY`
//!     - macOS: **broken** likewise: fo_no_ioctl(), kern_descrip.c, 6117, `ENOTTY`
//! 18. A kqueue is readable by poll(2) while an event is pending.
//!     - FreeBSD: also once after a level report, until a call finds nothing, seen
//!     - NetBSD: kqueue_poll(); OpenBSD: filt_kqueue_common(); DragonFly: filt_kqueue(). All check
//!       the length of the queue: a level filter stays in it after a report, and a filter that was
//!       disabled while queued stays until the next call
//!     - macOS: kqueue_select(), 5078; a filter that is disabled leaves the queue at once
//! 19. A kqueue is not inherited by fork(2).
//!     - FreeBSD: seen
//!     - NetBSD: fd_copy(), kern_descrip.c
//!     - OpenBSD, DragonFly: fdcopy(), kern_descrip.c
//!     - macOS: fdt_fork(), kern_descrip.c, 965; kqueue_internal(), 3069, sets `FP_CLOFORK`, and
//!       `FP_CLOEXEC`
//! 20. A wait is interrupted by a signal, even with `SA_RESTART`.
//!     - FreeBSD: seen
//!     - NetBSD, OpenBSD: kqueue_scan() turns `ERESTART` into `EINTR`
//!     - macOS: kqueue_scan_continue(), 7942; kevent_cleanup(), 7759
//!     - DragonFly: kern_kevent(), after tsleep(), likewise
//! 21. Timeouts of any number of seconds are accepted.
//!     - FreeBSD: seen, up to `i64::MAX`
//!     - NetBSD: itimespecfix(), subr_time.c, refuses negative values; less than a tick is a tick
//!     - OpenBSD: sys_kevent() refuses negative values; kqueue_sleep() sleeps in parts
//!     - macOS: **broken**: `EINVAL` above `i32::MAX`: timespec_is_valid(), kern_time.c, 676
//!     - DragonFly: kern_kevent() sleeps an hour at a time
//!
//! Consequences of the broken assumptions: 4 and 5 are handled in `merge.rs`, 6 and 7 in
//! `register.rs`, 11 by the comparison with poll(2) there, 12 in `report.rs`, 17 in `fd.rs`. 2 is
//! not relied on: each change carries the token of its registration, and a new token is added after
//! the old filter was deleted. 21 does not matter: `timeout.rs` caps a wait at one day.
//!
//! Known differences, not handled:
//!
//! * 8: the writer of a full pipe waits forever on NetBSD and OpenBSD when the reader is closed.
//! * 10: the lone reader of a revoked terminal waits forever on FreeBSD. On NetBSD a terminal and
//!   its master are silent when the other side is closed; the poll selector reports it.
//! * 10: on macOS and DragonFly the end of a terminal stays reported after its other side was
//!   opened again, until the next reregister().
//! * 18: an outer loop may run one tick without an event.
//!
//! `EV_DISPATCH2`, `NOTE_LOWAT` alone and the 64-bit calls of macOS are not used.
