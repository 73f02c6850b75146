//! Gives each kernel feature this crate uses one name.
//!
//! Every list of systems of the project lives in this table; the sources only ask for the names,
//! and the rest of the workspace does not even see those. A system is added here and nowhere else.

use std::env;

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
    // pipe2, accept4, SOCK_CLOEXEC and SOCK_NONBLOCK: close-on-exec and non-blocking in one call.
    ("has_atomic_cloexec", &[LINUX, BSD, SOLARIS]),
    // sockaddr has a length byte in front of the family.
    ("has_sockaddr_len", &[APPLE, BSD]),
    // A Unix address that starts with a zero byte is a name outside the file system.
    ("has_abstract_unix", &[LINUX]),
    ("has_msg_nosignal", &[LINUX, BSD, SOLARIS]),
    ("has_so_nosigpipe", &[APPLE]),
    // accept(2) may tell that the machine is on no network.
    ("has_enonet", &[LINUX, SOLARIS]),
    // Several sockets at one address, if all of them agree.
    ("has_reuse_port", &[LINUX, APPLE, BSD]),
    ("has_getauxval", &[LINUX]),
    ("has_issetugid", &[APPLE, BSD, SOLARIS]),
    ("errno_is_errno_location", &[&["linux"]]),
    ("errno_is_error", &[APPLE, &["freebsd", "dragonfly"]]),
    ("errno_is_errno", &[&["android", "netbsd", "openbsd"]]),
    ("errno_is_triple_errno", &[SOLARIS]),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mainspring_libkqueue)");
    let target = env::var("CARGO_CFG_TARGET_OS").expect("cargo names the target system");
    for (feature, families) in FEATURES {
        println!("cargo::rustc-check-cfg=cfg({feature})");
        if families.iter().any(|systems| systems.contains(&target.as_str())) {
            println!("cargo::rustc-cfg={feature}");
        }
    }
}
