//! Descriptors inherited from the parent process.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use crate::fd::set_cloexec;
use crate::per_process::PerProcess;
use crate::syscall::check;

/// Lowest number of a descriptor that can be taken. Lower ones are the standard streams.
const LOWEST: RawFd = 3;

/// Takes ownership of a descriptor that execve(2) has left open, and makes it close-on-exec.
///
/// `fd` is a number that the starting program has announced, for example in `LISTEN_FDS`. An
/// inherited descriptor is not close-on-exec, but all those created by std and this crate are. So a
/// number that the process has given to another file in the meantime is an error, like one that was
/// taken before.
///
/// Call this at the start of the program, before C code opens descriptors without that flag.
///
/// ```
/// use mainspring_sys::inherited::take_fd;
/// use std::os::fd::AsRawFd;
///
/// let (ours, _writer) = std::io::pipe()?;
/// let refused = take_fd(ours.as_raw_fd()).unwrap_err();
/// assert!(refused.to_string().contains("this process has opened it"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `EBADF` if no file is open with this number; `InvalidInput` for a standard stream, and for a
/// descriptor that is close-on-exec.
pub fn take_fd(fd: RawFd) -> io::Result<OwnedFd> {
    if (0..LOWEST).contains(&fd) {
        return Err(invalid("it is a standard stream"));
    }
    // Between check and mark, another thread would take the same number.
    static TAKING: PerProcess<Mutex<()>> = PerProcess::new(Mutex::new(()));
    let taking = TAKING.get(|_| Mutex::new(()));
    let _one_at_a_time = taking.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: F_GETFD takes no argument and touches no memory of ours.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(invalid("it is close-on-exec: this process has opened it, or taken it before"));
    }
    // SAFETY: `fd` is open and was inherited, because it is not close-on-exec. The program that
    // started this one has left it to the caller. A second call waits for the lock, and then finds
    // the mark.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_cloexec(fd.as_fd())?;
    Ok(fd)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Returns the time of `CLOCK_MONOTONIC` in microseconds, as service managers compare it.
///
/// ```
/// use mainspring_sys::inherited::monotonic_micros;
///
/// let earlier = monotonic_micros()?;
/// assert!(earlier > 0 && monotonic_micros()? >= earlier);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of clock_gettime(2).
pub fn monotonic_micros() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable and outlives the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn threads_that_take_a_descriptor_at_the_same_time_do_not_share_it() {
        let (reader, _writer) = io::pipe().unwrap();
        let all = Barrier::new(4);
        for _ in 0..1000 {
            // Not close-on-exec, as if it was inherited.
            // SAFETY: F_DUPFD takes an integer and touches no memory of ours.
            let fd = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_DUPFD, LOWEST) };
            assert!(fd >= LOWEST, "{}", io::Error::last_os_error());
            let take = || {
                all.wait();
                take_fd(fd).ok()
            };
            let taken = thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(take));
                threads.map(|thread| thread.join().unwrap()).into_iter().flatten().count()
            });
            assert_eq!(taken, 1);
        }
    }
}
