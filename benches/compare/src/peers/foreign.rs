//! The peers in other languages. Their sources are in the folders `c` and `python`.

use super::peer::Peer;
use super::program::Program;

const IN_C: &[&str] =
    &["echo", "timers", "timers_run", "rearm", "post", "round_trip", "dispatch", "pipes"];
/// The scenarios in C, and servers that flood themselves.
const IN_LIBUV: &[&str] = &[
    "echo",
    "echo_posts",
    "echo_signals",
    "echo_timers",
    "timers",
    "timers_run",
    "rearm",
    "post",
    "round_trip",
    "dispatch",
    "pipes",
    "fetches",
];
const IN_ASYNCIO: &[&str] = &[
    "spawn",
    "switch",
    "waiting",
    "asleep",
    "echo",
    "timers",
    "timers_run",
    "rearm",
    "chain",
    "batch",
    "post",
    "round_trip",
    "dispatch",
    "pipes",
    "fetches",
    "children",
];
/// trio has no callbacks.
const IN_TRIO: &[&str] =
    &["spawn", "switch", "waiting", "asleep", "echo", "post", "round_trip", "pipes"];

pub const LIBUV: Peer = c("libuv", &["uv"], "libuv1-dev", IN_LIBUV);
pub const LIBEV: Peer = c("libev", &["ev"], "libev-dev", IN_C);
pub const LIBEVENT: Peer = c("libevent", &["event", "event_pthreads"], "libevent-dev", IN_C);

pub const ASYNCIO: Peer = python("asyncio", "asyncio_peer", "python3", IN_ASYNCIO);
pub const UVLOOP: Peer = python("uvloop", "asyncio_peer", "pip install uvloop", IN_ASYNCIO);
pub const TRIO: Peer = python("trio", "trio_peer", "pip install trio", IN_TRIO);

const fn c(
    library: &'static str,
    links: &'static [&'static str],
    package: &'static str,
    scenarios: &'static [&'static str],
) -> Peer {
    Peer::program(library, Program::C { library, links, package }, scenarios)
}

const fn python(
    name: &'static str,
    script: &'static str,
    install: &'static str,
    scenarios: &'static [&'static str],
) -> Peer {
    Peer::program(name, Program::Python { script, flavour: name, install }, scenarios)
}
