//! The descriptor limit of the process.

/// Raises the descriptor limit to its maximum. Returns false, and prints a note, if that is below
/// `wanted`.
pub fn has_room_for(wanted: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur = limit.rlim_max.min(10_000);
    // SAFETY: `limit` is readable and outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let has_room = limit.rlim_cur >= wanted as libc::rlim_t;
    if !has_room {
        println!("skipped: the hard limit of descriptors is below {wanted}");
    }
    has_room
}
