//! Messages from another thread into the loop.
//!
//! * `throughput`: a thread posts as fast as it can; nanoseconds from the first message to the
//!   arrival of the last one, for each.
//! * `round trip`: a thread posts, waits for the reply, and posts again; the median and the 99th
//!   percentile of 20,000. The reply is a channel of std (in C a semaphore, in Python a queue).
//!
//! A message carries a number, and where it is to be answered the way back. Those who have a wakeup
//! and no channel get a list behind a lock, and are woken when it has been empty. Wall time, since
//! two threads share the work; they run on any core.

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
