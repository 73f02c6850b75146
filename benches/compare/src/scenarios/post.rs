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

use super::Scenario;
use crate::contest::Contest;
use crate::cores::Place;
use crate::sheet::{Base, Headline, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "post", about: "messages from another thread: throughput, round trip", run };

const TRIPS: u64 = 20_000;

fn run(contest: &mut Contest) {
    let mut sheet = Sheet::new("Post: throughput", "ns a message", Base::Best);
    sheet.headline = Headline::Each("post");
    let race = contest.race_for_time_at(Place::Anywhere, "post", &[], 10_000);
    sheet.add("throughput", &race, 0);
    contest.add(sheet);

    let mut sheet = Sheet::new("Post: round trip", "ns", Base::Best);
    sheet.headline = Headline::Each("post, round trip");
    let trips = contest.options.scaled(TRIPS);
    let race = contest.race(
        "round_trip",
        |_| String::new(),
        |contest, peer| {
            let mut worker = contest.start(peer, "round_trip", &[], Place::Anywhere)?;
            worker.ask(trips / 10)?;
            worker.ask(trips)
        },
    );
    sheet.add("median", &race, 0);
    sheet.add("99 of 100", &race, 1);
    contest.add(sheet);
}
