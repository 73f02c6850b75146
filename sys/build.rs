//! Gives each kernel feature this crate uses one name.
//!
//! Every list of systems of the project lives in this table; the sources only ask for the names,
//! and the rest of the workspace does not even see those. A system is added here and nowhere else.

use std::env;
use std::process::Command;

const LINUX: &[&str] = &["linux", "android"];
const APPLE: &[&str] = &["macos", "ios"];
const BSD: &[&str] = &["freebsd", "netbsd", "openbsd", "dragonfly"];
const SOLARIS: &[&str] = &["illumos", "solaris"];

/// A capability and the families of systems that have it.
const FEATURES: &[(&str, &[&[&str]])] = &[
    ("has_epoll", &[LINUX]),
    ("has_eventfd", &[LINUX]),
    ("has_poll_rdhup", &[LINUX]),
    // ppoll(2) of NetBSD came with its version 10, and we link to version 9.
    ("has_ppoll", &[LINUX, &["freebsd", "openbsd", "dragonfly"]]),
    ("has_kqueue", &[APPLE, BSD]),
    ("has_libc_kevent", &[APPLE, BSD]),
    // The filter, the flags and the counts of kevent(2) are unsigned, and wider than elsewhere.
    ("has_wide_kevent", &[&["netbsd"]]),
    // A filter of kqueue(2) for priority data.
    ("has_evfilt_except", &[APPLE, &["openbsd", "dragonfly"]]),
    // pipe2, accept4, SOCK_CLOEXEC and SOCK_NONBLOCK: close-on-exec and non-blocking in one call.
    ("has_atomic_cloexec", &[LINUX, BSD, SOLARIS]),
    // sockaddr has a length byte in front of the family.
    ("has_sockaddr_len", &[APPLE, BSD]),
    // A Unix address that starts with a zero byte is a name outside the file system.
    ("has_abstract_unix", &[LINUX]),
    ("has_msg_nosignal", &[LINUX, BSD, SOLARIS]),
    ("has_so_nosigpipe", &[APPLE]),
    // PIPE_BUF is at least 4096; elsewhere it is what POSIX asks for, 512.
    ("has_page_sized_pipe_buf", &[LINUX, SOLARIS]),
    // ENONET: the machine is on no network.
    ("has_enonet", &[LINUX, SOLARIS]),
    // Several sockets at one address, if all of them agree.
    ("has_reuse_port", &[LINUX, APPLE, BSD]),
    // A page that is empty in a forked child.
    ("has_wipe_on_fork", &[LINUX]),
    // syscall(2), and the numbers for it in the libc crate.
    ("has_numbered_syscalls", &[LINUX]),
    // TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT; the first one has another name on Apple systems.
    // OpenBSD has none of them for a single socket.
    ("has_tcp_keepidle", &[LINUX, &["freebsd", "netbsd", "dragonfly"], SOLARIS]),
    ("has_tcp_keepalive", &[APPLE]),
    // TCP_USER_TIMEOUT: how long data may stay unacknowledged.
    ("has_user_timeout", &[LINUX]),
    // SO_LINGER counts ticks on Apple systems, SO_LINGER_SEC seconds.
    ("has_so_linger_sec", &[APPLE]),
    // The peer of a Unix socket: its ids in one option, or by getpeereid(3) without a process id.
    ("has_so_peercred", &[LINUX]),
    ("has_getpeereid", &[APPLE, BSD]),
    ("has_local_peerpid", &[APPLE]),
    ("has_flock", &[LINUX, APPLE, BSD]),
    ("has_getauxval", &[LINUX]),
    ("has_issetugid", &[APPLE, BSD, SOLARIS]),
    ("errno_is_errno_location", &[&["linux", "dragonfly"]]),
    ("errno_is_error", &[APPLE, &["freebsd"]]),
    ("errno_is_errno", &[&["android", "netbsd", "openbsd"]]),
    ("errno_is_triple_errno", &[SOLARIS]),
];

/// What `--cfg mainspring_libkqueue` gives to systems that have no kqueue(2): an installed
/// libkqueue, which has the same calls. It is for tests; a cfg and not a feature, because features
/// add up and no user should get it by accident.
const LIBRARY: &[(&str, &[&[&str]])] = &[("has_kqueue", &[LINUX]), ("kqueue_is_library", &[LINUX])];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mainspring_libkqueue)");
    let target = env::var("CARGO_CFG_TARGET_OS").expect("cargo names the target system");
    let wants_library = env::var_os("CARGO_CFG_MAINSPRING_LIBKQUEUE").is_some();
    let has = |families: &[&[&str]]| families.iter().any(|some| some.contains(&target.as_str()));
    for (feature, families) in FEATURES {
        announce(feature, has(families));
    }
    for (feature, families) in LIBRARY {
        announce(feature, wants_library && has(families));
    }
    if wants_library && has(&[LINUX]) {
        link_libkqueue();
    }
}

fn announce(feature: &str, is_there: bool) {
    println!("cargo::rustc-check-cfg=cfg({feature})");
    if is_there {
        println!("cargo::rustc-cfg={feature}");
    }
}

/// Links to the libkqueue that pkg-config knows. Where it lies must also be told to the dynamic
/// linker.
fn link_libkqueue() {
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    let output = Command::new("pkg-config").args(["--libs", "libkqueue"]).output();
    let output = output.expect("pkg-config is needed to find libkqueue");
    assert!(output.status.success(), "pkg-config knows no libkqueue; see PKG_CONFIG_PATH");
    for word in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        match word.split_at_checked(2) {
            Some(("-L", folder)) => println!("cargo::rustc-link-search=native={folder}"),
            Some(("-l", library)) => println!("cargo::rustc-link-lib={library}"),
            _ => {}
        }
    }
}
