//! mainspring: its tasks, where the scenario `tasks` asks for them.

use super::{Peer, Work};

pub const PEER: Peer = Peer::own("mainspring-tasks", "as mainspring", WORK);

const WORK: &[(&str, Work)] = &[];
