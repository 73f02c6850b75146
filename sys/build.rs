//! Names the kernel features that this crate uses, as `cfg` flags.
//!
//! This table is the only place of the project that lists operating systems. The sources test for
//! the names, and the rest of the workspace does not see them. A new system is added here and
//! nowhere else.

use std::env;
use std::process::Command;

const LINUX: &[&str] = &["linux", "android"];
const APPLE: &[&str] = &["macos", "ios"];
const BSD: &[&str] = &["freebsd", "netbsd", "openbsd", "dragonfly"];
const SOLARIS: &[&str] = &["illumos", "solaris"];

/// Name of a feature, and the families of systems that have it.
const FEATURES: &[(&str, &[&[&str]])] = &[
    ("has_epoll", &[LINUX]),
    ("has_eventfd", &[LINUX]),
    ("has_poll_rdhup", &[LINUX]),
    // timerfd_create(2): timers of other clocks as descriptors. FreeBSD 15, NetBSD 10 and illumos
    // have it as well, where it was not tried.
    ("has_timerfd", &[LINUX]),
    // CLOCK_BOOTTIME counts the time during which the machine is suspended (clock_gettime(2)).
    ("has_clock_boottime", &[LINUX, &["openbsd"]]),
    // CLOCK_MONOTONIC_RAW does so on Apple systems, and not on Linux.
    ("has_continuous_raw_clock", &[APPLE]),
    // NetBSD has ppoll(2) since version 10, and the crate links to version 9.
    ("has_ppoll", &[LINUX, &["freebsd", "openbsd", "dragonfly"]]),
    ("has_kqueue", &[APPLE, BSD]),
    ("has_libc_kevent", &[APPLE, BSD]),
    // The filter, the flags and the counts of kevent(2) are unsigned and wider than elsewhere.
    ("has_wide_kevent", &[&["netbsd"]]),
    // pidfd_open(2), pidfd_send_signal(2), waitid(2) with P_PIDFD. The kernel may lack them.
    ("has_pidfd", &[LINUX]),
    // The event of EVFILT_PROC has the status of the process, also of one that is no child.
    ("has_status_in_event", &[BSD]),
    // prctl(2) makes a process the parent of the orphans below it.
    ("has_subreaper", &[LINUX]),
    // kqueue(2) has a filter for priority data.
    ("has_evfilt_except", &[APPLE, &["openbsd", "dragonfly"]]),
    // pipe2, accept4, SOCK_CLOEXEC and SOCK_NONBLOCK: close-on-exec and non-blocking in one call.
    ("has_atomic_cloexec", &[LINUX, BSD, SOLARIS]),
    // Control messages are aligned to four bytes, and not to eight.
    ("has_narrow_cmsg", &[APPLE]),
    // recvmsg(2) sets close-on-exec on the descriptors that it receives.
    ("has_cmsg_cloexec", &[LINUX, BSD, &["illumos"]]),
    // A received message may contain a pidfd of its sender, since Linux 6.5.
    ("has_scm_pidfd", &[LINUX]),
    // recvmmsg(2) and sendmmsg(2) as system calls. FreeBSD's are loops of its C library, which lose
    // the error that ends them.
    ("has_mmsg", &[LINUX, &["netbsd"]]),
    // UDP_SEGMENT and UDP_GRO: the kernel splits and merges datagrams.
    ("has_udp_segment", &[LINUX]),
    // IP_PKTINFO: the local address of a datagram, received and sent.
    ("has_ip_pktinfo", &[LINUX, APPLE]),
    // IP_RECVDSTADDR and IP_SENDSRCADDR: the same in two messages.
    ("has_ip_recvdstaddr", &[BSD]),
    // IP_RECVTOS, and IP_TOS in a message that is sent; as one byte on FreeBSD.
    ("has_ip_recvtos", &[LINUX, APPLE, &["freebsd"]]),
    ("has_byte_tos", &[&["freebsd"]]),
    // IP_MTU_DISCOVER, or else IP_DONTFRAG: datagrams that are too long are not fragmented.
    ("has_mtu_discover", &[LINUX]),
    ("has_ip_dontfrag", &[APPLE, &["freebsd"]]),
    // Unix sockets may have the type SOCK_SEQPACKET.
    ("has_seqpacket", &[LINUX, BSD]),
    // sendfile(2) with an offset and a count; other systems have other arguments.
    ("has_sendfile", &[LINUX]),
    // sockaddr begins with a length byte, before the family.
    ("has_sockaddr_len", &[APPLE, BSD]),
    // Unix addresses may be abstract names, which begin with a zero byte.
    ("has_abstract_unix", &[LINUX]),
    // The module of std with abstract names in Unix addresses.
    ("has_std_os_linux", &[&["linux"]]),
    ("has_std_os_android", &[&["android"]]),
    ("has_msg_nosignal", &[LINUX, BSD, SOLARIS]),
    ("has_so_nosigpipe", &[APPLE]),
    // PIPE_BUF is at least 4096; elsewhere only the 512 of POSIX are assumed.
    ("has_page_sized_pipe_buf", &[LINUX, SOLARIS]),
    // ENONET: the machine is on no network.
    ("has_enonet", &[LINUX, SOLARIS]),
    // Several sockets may be bound to one address if all of them set the option.
    ("has_reuse_port", &[LINUX, APPLE, BSD]),
    // memfd_create(2) with seals, and /proc/PID/fd to find its files.
    ("has_memfd", &[LINUX]),
    // madvise(2) can make the kernel clear a page in a forked child.
    ("has_wipe_on_fork", &[LINUX]),
    // syscall(2), and its call numbers in the libc crate.
    ("has_numbered_syscalls", &[LINUX]),
    // TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT. The first has another name on Apple systems;
    // OpenBSD has none of them for a single socket.
    ("has_tcp_keepidle", &[LINUX, &["freebsd", "netbsd", "dragonfly"], SOLARIS]),
    ("has_tcp_keepalive", &[APPLE]),
    // TCP_INFO of a listener has the length of its accept queue.
    ("has_tcp_queue_info", &[LINUX]),
    // TCP_USER_TIMEOUT: the time that sent data may stay unacknowledged.
    ("has_user_timeout", &[LINUX]),
    // On Apple systems SO_LINGER counts clock ticks, and SO_LINGER_SEC counts seconds.
    ("has_so_linger_sec", &[APPLE]),
    // Credentials of a Unix peer: one option, or getpeereid(3), which has no process id.
    ("has_so_peercred", &[LINUX]),
    ("has_getpeereid", &[APPLE, BSD]),
    ("has_local_peerpid", &[APPLE]),
    ("has_flock", &[LINUX, APPLE, BSD]),
    ("has_getauxval", &[LINUX]),
    // /proc/self/task lists the threads of the process.
    ("has_proc_tasks", &[LINUX]),
    ("has_issetugid", &[APPLE, BSD, SOLARIS]),
    // The sender in siginfo_t: by methods or by fields of the libc crate.
    ("has_siginfo_call", &[LINUX]),
    ("has_siginfo_fields", &[APPLE, &["freebsd", "dragonfly"]]),
    // SI_USER and its neighbours begin at 0x10001.
    ("has_high_si_codes", &[APPLE, &["freebsd"]]),
    ("errno_is_errno_location", &[&["linux", "dragonfly"]]),
    ("errno_is_error", &[APPLE, &["freebsd"]]),
    ("errno_is_errno", &[&["android", "netbsd", "openbsd"]]),
    ("errno_is_triple_errno", &[SOLARIS]),
];

/// Features that `--cfg mainspring_libkqueue` adds on systems without kqueue(2): an installed
/// libkqueue has the same calls. It is for tests. It is a cfg and not a Cargo feature, because
/// features are additive and no user should enable it by accident.
const LIBRARY: &[(&str, &[&[&str]])] = &[("has_kqueue", &[LINUX]), ("kqueue_is_library", &[LINUX])];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mainspring_libkqueue)");
    let target = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets CARGO_CFG_TARGET_OS");
    let wants_library = env::var_os("CARGO_CFG_MAINSPRING_LIBKQUEUE").is_some();
    let has = |families: &[&[&str]]| families.iter().any(|some| some.contains(&target.as_str()));
    for (feature, families) in FEATURES {
        declare(feature, has(families));
    }
    for (feature, families) in LIBRARY {
        declare(feature, wants_library && has(families));
    }
    if wants_library && has(&[LINUX]) {
        link_libkqueue();
    }
}

fn declare(feature: &str, is_available: bool) {
    println!("cargo::rustc-check-cfg=cfg({feature})");
    if is_available {
        println!("cargo::rustc-cfg={feature}");
    }
}

/// Links to the libkqueue that pkg-config finds. The dynamic linker needs its path as well
/// (`LD_LIBRARY_PATH`).
fn link_libkqueue() {
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    let output = Command::new("pkg-config").args(["--libs", "libkqueue"]).output();
    let output = output.expect("pkg-config is needed to find libkqueue");
    assert!(output.status.success(), "pkg-config finds no libkqueue; check PKG_CONFIG_PATH");
    for word in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        match word.split_at_checked(2) {
            Some(("-L", folder)) => println!("cargo::rustc-link-search=native={folder}"),
            Some(("-l", library)) => println!("cargo::rustc-link-lib={library}"),
            _ => {}
        }
    }
}
