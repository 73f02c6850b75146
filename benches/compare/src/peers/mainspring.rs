//! mainspring: callbacks.

use super::{Peer, Work};

pub const PEER: Peer = Peer::rust("mainspring", WORK);

const WORK: &[(&str, Work)] = &[];
