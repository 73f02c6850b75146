//! Signals by name and by number.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::str::FromStr;

use crate::syscall::check;

/// A signal of this system.
///
/// ```
/// # use mainspring_sys::Signal;
/// let signal: Signal = "TERM".parse()?;
/// assert_eq!(signal, Signal::TERM);
/// assert_eq!(signal.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_raw(signal.raw()), Some(Signal::TERM));
/// assert_eq!(Signal::from_raw(0), None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(libc::c_int);

/// Defines the constants and the table of their names.
macro_rules! signals {
    ($($(#[doc = $doc:literal])+ $name:ident = $raw:ident;)+) => {
        impl Signal {
            $($(#[doc = $doc])+ pub const $name: Signal = Signal(libc::$raw);)+
        }

        const NAMES: &[(Signal, &str)] = &[$((Signal::$name, stringify!($raw)),)+];
    };
}

signals! {
    /// The terminal was closed; by convention, a daemon reads its configuration again.
    HUP = SIGHUP;
    /// `Ctrl-C` at a terminal.
    INT = SIGINT;
    /// `Ctrl-\` at a terminal. The default action also writes a core file.
    QUIT = SIGQUIT;
    /// A forbidden instruction was executed. Cannot be watched.
    ILL = SIGILL;
    /// A breakpoint was reached. Cannot be watched.
    TRAP = SIGTRAP;
    /// abort(3) was called.
    ABRT = SIGABRT;
    /// A mapped address had no memory behind it. Cannot be watched.
    BUS = SIGBUS;
    /// A calculation had no result. Cannot be watched.
    FPE = SIGFPE;
    /// The process is killed. Cannot be watched.
    KILL = SIGKILL;
    /// User-defined.
    USR1 = SIGUSR1;
    /// An address was not mapped. Cannot be watched.
    SEGV = SIGSEGV;
    /// User-defined.
    USR2 = SIGUSR2;
    /// A pipe or a socket without a reader was written to.
    PIPE = SIGPIPE;
    /// The timer of alarm(2) expired.
    ALRM = SIGALRM;
    /// A request to end the process.
    TERM = SIGTERM;
    /// A child ended, stopped or continued.
    CHLD = SIGCHLD;
    /// The process continues after a stop.
    CONT = SIGCONT;
    /// The process stops. Cannot be watched.
    STOP = SIGSTOP;
    /// `Ctrl-Z` at a terminal: the process stops.
    TSTP = SIGTSTP;
    /// A background process read from its terminal.
    TTIN = SIGTTIN;
    /// A background process wrote to its terminal.
    TTOU = SIGTTOU;
    /// A socket has urgent data.
    URG = SIGURG;
    /// The limit of processor time is reached.
    XCPU = SIGXCPU;
    /// The limit of the size of a file is reached.
    XFSZ = SIGXFSZ;
    /// A timer of the process's CPU time expired.
    VTALRM = SIGVTALRM;
    /// A profiling timer expired.
    PROF = SIGPROF;
    /// The size of the terminal changed.
    WINCH = SIGWINCH;
    /// A descriptor in asynchronous mode is ready.
    IO = SIGIO;
    /// A forbidden system call was made. Cannot be watched.
    SYS = SIGSYS;
}

impl Signal {
    /// Returns the signal of this number. `None` if the system has no such signal, or its C library
    /// reserves it.
    pub fn from_raw(number: libc::c_int) -> Option<Signal> {
        let signal = Signal(number);
        // Some systems refuse to return the action of KILL and STOP.
        let known = matches!(signal, Signal::KILL | Signal::STOP) || is_catchable(number);
        known.then_some(signal)
    }

    /// Returns the signal of a bit, in a mask with signal 1 as its lowest bit.
    pub(super) const fn from_bit(bit: u32) -> Signal {
        Signal(bit as libc::c_int + 1)
    }

    /// Returns the signal's number.
    pub const fn raw(self) -> libc::c_int {
        self.0
    }

    /// Sends the signal to the calling thread. A handler has run when the call returns.
    ///
    /// ```
    /// use mainspring_sys::Signal;
    ///
    /// Signal::WINCH.raise()?; // Ignored by default.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of raise(3).
    pub fn raise(self) -> io::Result<()> {
        // SAFETY: the call takes an integer and touches no memory of ours.
        match unsafe { libc::raise(self.0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(signal, _)| *signal == self).map(|(_, name)| *name)
    }
}

/// Returns true if the system returns an action for this signal; for other numbers it returns
/// `EINVAL`.
fn is_catchable(number: libc::c_int) -> bool {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with a null action the call only writes the current one to `current`, which has room
    // for it.
    check(unsafe { libc::sigaction(number, ptr::null(), current.as_mut_ptr()) }).is_ok()
}

impl fmt::Display for Signal {
    /// Formats the name, `SIGINT`; or the number of a signal without a name, `signal 34`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("signal {}", self.0)),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Signal {
    type Err = io::Error;

    /// Accepts names as in a configuration, `SIGINT`, `INT`, `int`, and numbers, `10` or `signal
    /// 34`.
    fn from_str(text: &str) -> io::Result<Signal> {
        let named = NAMES.iter().find(|(_, name)| {
            let short = name.trim_start_matches("SIG");
            text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(short)
        });
        let numbered =
            || text.strip_prefix("signal ").unwrap_or(text).parse().ok().and_then(Signal::from_raw);
        named.map(|(signal, _)| *signal).or_else(numbered).ok_or_else(|| {
            let message = format!("unknown signal {text:?}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_and_names_are_refused() {
        for number in [0, -1, 129, libc::c_int::MAX, libc::c_int::MIN] {
            assert_eq!(Signal::from_raw(number), None, "{number}");
        }
        for text in
            ["", "SIG", "SIGFOO", "0", "129", "-1", "signal 0", "signal signal 2", "SIG SIG INT"]
        {
            let refused = text.parse::<Signal>().unwrap_err();
            assert!(refused.to_string().contains("unknown signal"), "{text}: {refused}");
        }
        for number in 1..=128 {
            let Some(signal) = Signal::from_raw(number) else { continue };
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
            assert_eq!(number.to_string().parse::<Signal>().unwrap(), signal);
            assert_eq!(signal.raw(), number);
        }
        assert_eq!("int".parse::<Signal>().unwrap(), Signal::INT);
        assert_eq!("SIGUSR1".parse::<Signal>().unwrap().raw(), libc::SIGUSR1);
        assert_eq!(format!("{:>8}|{:?}", Signal::INT, Signal::CHLD), "  SIGINT|SIGCHLD");
    }
}
