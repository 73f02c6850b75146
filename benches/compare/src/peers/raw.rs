//! The hand-written loop: epoll and nothing else, as in the benches of the loop alone.

use super::{Peer, Work};
use crate::raw;
use crate::work::echo::listener;

pub const PEER: Peer = Peer::own("raw", "(epoll)", WORK);

const WORK: &[(&str, Work)] = &[("echo", echo)];

fn echo(_: &[usize]) {
    raw::serve(listener().into()).expect("epoll works");
}
