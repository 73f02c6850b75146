//! The peers, one file each. The files have the same functions in the same order.
//!
//! A peer is a part of this program, a program in C (compiled at the start of a run) or a program
//! in Python. All follow one convention: the command line has a scenario and its sizes, each line
//! of standard input is an amount of work, and each line of standard output has the figures for it.

mod blocking;
mod calloop;
mod foreign;
mod mainspring;
mod mainspring_tasks;
mod mio;
mod monoio;
pub mod peer;
mod polling;
mod processes;
mod program;
mod raw;
mod smol;
mod threads;
mod tokio;

use peer::Peer;

/// All peers, in the order of the tables.
pub static ALL: &[Peer] = &[
    raw::PEER,
    mainspring::PEER,
    mainspring_tasks::PEER,
    mio::PEER,
    polling::PEER,
    calloop::PEER,
    tokio::PEER,
    smol::PEER,
    monoio::PEER,
    blocking::PEER,
    threads::PEER,
    processes::PEER,
    foreign::LIBUV,
    foreign::LIBEV,
    foreign::LIBEVENT,
    foreign::ASYNCIO,
    foreign::UVLOOP,
    foreign::TRIO,
];

/// Does the work of a scenario in this process, which is a worker.
pub fn run_worker(peer: &str, scenario: &str, sizes: &[String]) {
    let peer = ALL.iter().find(|other| other.name == peer).expect("a peer's name");
    let sizes: Vec<usize> =
        sizes.iter().map(|size| size.parse().expect("sizes are numbers")).collect();
    peer.run(scenario, &sizes);
}
