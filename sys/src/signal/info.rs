//! The information that a signal handler can store: how often the signal arrived, and its sender.
//!
//! # Invariant
//!
//! A sender is one word, so no reader sees parts of two senders. Of several senders the last one
//! remains.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::number::Signal;
use super::process_count::ProcessCount;

/// One delivery of a signal to a loop: the signals of one number that arrived since the last
/// delivery.
///
/// ```
/// use mainspring_sys::signal::{Signal, SignalOrigin, Subscription};
/// use mainspring_sys::{SelectorKind, Token};
///
/// let mut selector = SelectorKind::available()[0].open()?;
/// let mut signals = Subscription::new(&mut *selector, Token::new(0, 0))?;
/// signals.subscribe(Signal::USR1)?;
/// Signal::USR1.raise()?;
/// Signal::USR1.raise()?;
/// assert_eq!(signals.drain()?.collect::<Vec<_>>(), [Signal::USR1]);
/// let info = signals.take_info(Signal::USR1).unwrap();
/// assert_eq!(info.count(), 2);
/// if let SignalOrigin::Process { pid, .. } = info.origin() {
///     assert_eq!(pid, std::process::id());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    signal: Signal,
    count: u32,
    origin: SignalOrigin,
}

/// The source of a signal, from `siginfo_t` of sigaction(2). The process may have exited since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalOrigin {
    /// A process sent it: kill(2), sigqueue(3), raise(3). On Linux `pid` is 0 if the sender is in
    /// an outer pid namespace (pid_namespaces(7)).
    Process {
        /// Process id of the sender.
        pid: u32,
        /// Real user id of the sender.
        uid: u32,
    },
    /// A child has ended, stopped or continued (`SIGCHLD`).
    Child {
        /// Process id of the child.
        pid: u32,
        /// Real user id of the child.
        uid: u32,
    },
    /// The kernel sent it, for example for `Ctrl-C` at a terminal.
    Kernel,
    /// Not reported by the system, or a timer or a message queue.
    Unknown,
}

impl SignalInfo {
    /// Returns the signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Returns how often the handler was called since the last delivery, at least 1.
    ///
    /// The kernel merges a signal with one of the same number that is still pending for the process
    /// (signal(7)), and calls the handler once. Real-time signals are not merged.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the origin of the last of these signals.
    pub fn origin(&self) -> SignalOrigin {
        self.origin
    }

    /// Adds an earlier delivery that was not read.
    #[must_use]
    pub fn after(self, earlier: SignalInfo) -> SignalInfo {
        SignalInfo { count: self.count.saturating_add(earlier.count), ..self }
    }
}

const NUMBERS: usize = 128;

/// Counts and last senders of the signals 1 to 128 for one loop. A forked child begins with zeros.
#[derive(Debug)]
pub(super) struct Arrivals {
    counts: [ProcessCount; NUMBERS],
    senders: [AtomicU64; NUMBERS],
}

impl Arrivals {
    pub(super) const fn new() -> Arrivals {
        Arrivals {
            counts: [const { ProcessCount::new() }; NUMBERS],
            senders: [const { AtomicU64::new(0) }; NUMBERS],
        }
    }

    fn slot(&self, number: libc::c_int) -> Option<(&ProcessCount, &AtomicU64)> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        Some((self.counts.get(at)?, self.senders.get(at)?))
    }

    /// Counts a signal. Async-signal-safe.
    pub(super) fn record(&self, number: libc::c_int, sender: Sender) {
        if let Some((count, last)) = self.slot(number) {
            last.store(sender.0, SeqCst);
            count.increment();
        }
    }

    pub(super) fn reset(&self, number: libc::c_int) {
        if let Some((count, _)) = self.slot(number) {
            count.take();
        }
    }

    /// Takes the count of a signal. `None` if an earlier call has taken it.
    pub(super) fn take(&self, signal: Signal) -> Option<SignalInfo> {
        let (count, last) = self.slot(signal.raw())?;
        let count = count.take();
        let origin = Sender(last.load(SeqCst)).origin();
        (count > 0).then_some(SignalInfo { signal, count, origin })
    }
}

/// An origin in one word: 8 bits for its kind, 24 for the process, 32 for the user. No system has
/// process ids above 24 bits; Linux has at most 22 (proc_sys_kernel(5)).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender(u64);

const PROCESS: u64 = 1;
const CHILD: u64 = 2;
const KERNEL: u64 = 3;

impl Sender {
    const UNKNOWN: Sender = Sender(0);

    fn new(kind: u64, pid: libc::pid_t, uid: libc::uid_t) -> Sender {
        match u32::try_from(pid) {
            Ok(pid) if pid < 1 << 24 => Sender(kind << 56 | u64::from(pid) << 32 | u64::from(uid)),
            _ => Sender::UNKNOWN,
        }
    }

    /// Reads the sender from the argument of a handler. Async-signal-safe.
    pub(super) fn of(number: libc::c_int, info: *mut libc::siginfo_t) -> Sender {
        // SAFETY: the kernel passes a pointer to the information, or code that chains to our
        // handler passes null.
        let Some(info) = (unsafe { info.as_ref() }) else { return Sender::UNKNOWN };
        let kind = match info.si_code {
            KERNEL_CODE => return Sender::new(KERNEL, 0, 0),
            code if USER_CODES.contains(&code) => PROCESS,
            1..=6 if number == libc::SIGCHLD => CHILD,
            _ => return Sender::UNKNOWN,
        };
        let (pid, uid) = ids(info);
        Sender::new(kind, pid, uid)
    }

    fn origin(self) -> SignalOrigin {
        let (pid, uid) = ((self.0 >> 32) as u32 & 0xff_ffff, self.0 as u32);
        match self.0 >> 56 {
            PROCESS => SignalOrigin::Process { pid, uid },
            CHILD => SignalOrigin::Child { pid, uid },
            KERNEL => SignalOrigin::Kernel,
            _ => SignalOrigin::Unknown,
        }
    }
}

/// SI_USER, SI_QUEUE and the code of a signal to one thread: sigaction(2) of Linux, siginfo(3) of
/// the BSDs and of macOS.
const USER_CODES: [libc::c_int; 3] = if cfg!(has_high_si_codes) {
    [0x10001, 0x10002, 0x10007]
} else if cfg!(has_siginfo_call) {
    [0, -1, -6]
} else {
    [0, -1, -1]
};

/// SI_KERNEL.
const KERNEL_CODE: libc::c_int = if cfg!(has_high_si_codes) { 0x10006 } else { 0x80 };

#[cfg(has_siginfo_call)]
fn ids(info: &libc::siginfo_t) -> (libc::pid_t, libc::uid_t) {
    // SAFETY: the code is that of a signal with a sender, so the kernel has set the field.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let uid = unsafe { info.si_uid() };
    (pid, uid)
}

#[cfg(has_siginfo_fields)]
fn ids(info: &libc::siginfo_t) -> (libc::pid_t, libc::uid_t) {
    (info.si_pid, info.si_uid)
}

/// The libc crate has no access to them on this system.
#[cfg(not(any(has_siginfo_call, has_siginfo_fields)))]
fn ids(_: &libc::siginfo_t) -> (libc::pid_t, libc::uid_t) {
    (-1, 0)
}

/// The values that `tests/socket_layout.c` checks against the systems' headers.
#[cfg(has_siginfo_fields)]
mod checks {
    use std::mem::offset_of;

    use libc::siginfo_t;

    const _: () = assert!(
        offset_of!(siginfo_t, si_signo) == 0
            && offset_of!(siginfo_t, si_code) == 8
            && offset_of!(siginfo_t, si_pid) == 12
            && offset_of!(siginfo_t, si_uid) == 16
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_fits_into_a_word() {
        for (pid, uid) in [(1, 0), (0, u32::MAX), ((1 << 24) - 1, 65_534)] {
            let sender = Sender::new(PROCESS, pid, uid).origin();
            assert_eq!(sender, SignalOrigin::Process { pid: pid as u32, uid });
        }
        assert_eq!(Sender::new(PROCESS, 1 << 24, 0).origin(), SignalOrigin::Unknown);
        assert_eq!(Sender::new(PROCESS, -1, 0).origin(), SignalOrigin::Unknown);
        assert_eq!(Sender::new(KERNEL, 0, 0).origin(), SignalOrigin::Kernel);
        assert_eq!(Sender::of(1, std::ptr::null_mut()).origin(), SignalOrigin::Unknown);
    }

    #[test]
    fn counts_are_taken_once() {
        let arrivals = Arrivals::new();
        assert_eq!(arrivals.take(Signal::USR1), None);
        let number = Signal::USR1.raw();
        arrivals.record(number, Sender::new(PROCESS, 7, 8));
        arrivals.record(number, Sender::new(CHILD, 9, 10));
        let info = arrivals.take(Signal::USR1).unwrap();
        assert_eq!((info.count(), info.signal()), (2, Signal::USR1));
        assert_eq!(info.origin(), SignalOrigin::Child { pid: 9, uid: 10 });
        assert_eq!(arrivals.take(Signal::USR1), None);
        for number in [0, -1, 129] {
            arrivals.record(number, Sender::UNKNOWN);
        }
        arrivals.record(number, Sender::UNKNOWN);
        assert_eq!(arrivals.take(Signal::USR1).unwrap().after(info).count(), 3);
        arrivals.record(number, Sender::UNKNOWN);
        arrivals.reset(number);
        assert_eq!(arrivals.take(Signal::USR1), None);
    }
}
