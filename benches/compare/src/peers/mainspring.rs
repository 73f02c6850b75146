//! mainspring: callbacks.

use mainspring::EventLoop;

use super::{Peer, Work};
use crate::work::echo::listener;

pub const PEER: Peer = Peer::rust("mainspring", WORK);

const WORK: &[(&str, Work)] = &[("echo", echo)];

fn echo(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    el.serve(listener(), |_el, (), connection, data| {
        connection.write(data);
        Ok(())
    })
    .expect("a listener can be served");
    el.run_forever().expect("the loop turns");
}
