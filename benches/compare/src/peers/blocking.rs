//! Blocking calls of std in one thread, one after another.

use super::peer::{Peer, Works};
use crate::work::fetches::{Fetch, run_fetches, server};

pub const PEER: Peer = Peer::with_version("blocking", "(std)", WORKS);

const WORKS: Works = &[("fetches", fetches)];

fn fetches(sizes: &[usize]) {
    let server = server(sizes);
    run_fetches(|count| (0..count).map(|_| Fetch::blocking(server)).collect());
}
