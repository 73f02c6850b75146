//! CPU time and core affinity.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::epoll::check;

/// True if this system has epoll.
pub const IS_SUPPORTED: bool = true;

/// Returns the CPU time of this thread, user and system.
pub fn cpu_of_this_thread() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID).expect("a thread has a CPU clock")
}

/// Returns the CPU time of another process, user and system, as counted by the scheduler, not in
/// clock ticks.
pub fn cpu_of(process: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` outlives the call, which writes it.
    match unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &raw mut clock) } {
        0 => read(clock),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn read(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which writes it.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Returns the first and the last core that this process may use.
pub fn cores() -> io::Result<(usize, usize)> {
    let mut cores = MaybeUninit::<libc::cpu_set_t>::zeroed();
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: `cores` is writable for `size` bytes and outlives the call.
    check(unsafe { libc::sched_getaffinity(0, size, cores.as_mut_ptr()) })?;
    // SAFETY: a set of bits is valid whatever the bits.
    let cores = unsafe { cores.assume_init() };
    // SAFETY: the numbers are below the size of the set.
    let is_in = |core: &usize| unsafe { libc::CPU_ISSET(*core, &cores) };
    let all = 0..libc::CPU_SETSIZE as usize;
    let ends = all.clone().find(is_in).zip(all.rev().find(is_in));
    ends.ok_or(io::ErrorKind::NotFound.into())
}

/// Restricts this process to a core.
pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a set of bits is valid whatever the bits.
    let mut cores = unsafe { MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init() };
    // SAFETY: the number is below the size of the set: `cores` returned it.
    unsafe { libc::CPU_SET(core, &mut cores) };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: `cores` is readable for `size` bytes and outlives the call.
    check(unsafe { libc::sched_setaffinity(0, size, &raw const cores) }).map(drop)
}
