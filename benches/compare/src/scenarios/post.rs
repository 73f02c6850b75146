//! Messages from another thread into the loop.
//!
//! * `throughput`: a thread posts without a pause. Nanoseconds per message from the first post to
//!   the arrival of the last message.
//! * `round trip`: a thread posts, waits for the reply, and posts again. Median and 99th percentile
//!   of 20,000 round trips. The reply is a channel of std (in C a semaphore, in Python a queue).
//!
//! A message carries a number, and the reply channel if there is one. Peers that have a wakeup but
//! no channel get a list behind a lock; the sender wakes them if the list was empty. Times are wall
//! times, since two threads share the work. They run on any core.

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::table::{Base, Headline, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "post", about: "messages from another thread: throughput, round trip", run };

const TRIPS: u64 = 20_000;

fn run(comparison: &mut Comparison) {
    let mut table = Table::new("Post: throughput", "ns a message", Base::Best);
    table.headline = Headline::Each("post");
    let results = comparison.measure_for_time_at(Placement::AllCores, "post", &[], 10_000);
    table.add("throughput", &results, 0);
    comparison.add(table);

    let mut table = Table::new("Post: round trip", "ns", Base::Best);
    table.headline = Headline::Each("post, round trip");
    let trips = comparison.options.scaled(TRIPS);
    let results = comparison.measure(
        "round_trip",
        |_| String::new(),
        |comparison, peer| {
            let mut worker = comparison.start(peer, "round_trip", &[], Placement::AllCores)?;
            worker.request(trips / 10)?;
            worker.request(trips)
        },
    );
    table.add("median", &results, 0);
    table.add("99 of 100", &results, 1);
    comparison.add(table);
}
