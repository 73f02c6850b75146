//! Always-readable fds: what a callback costs that does nothing but count.
//!
//! N pipes have a byte in them that nobody reads, so each turn of the loop reports all of them. CPU
//! nanoseconds for a callback; the kernel's share is the same for all and large. Whoever knows
//! edges only has no part in it.

use super::Scenario;
use crate::contest::Contest;
use crate::sheet::{RAW, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "dispatch", about: "always-readable fds: a callback that counts", run };

fn run(contest: &mut Contest) {
    let mut sheet = Sheet::new("Always-readable fds", contest.unit("ns CPU a callback"), RAW);
    for cell in contest.options.cells(&[&[10], &[100], &[1000], &[9000]]) {
        let race = contest.race_for_time("dispatch", &cell[..1], 1000);
        sheet.add(cell[0].to_string(), &race, 0);
    }
    contest.add(sheet);
}
