//! Always-readable fds: what a callback costs that does nothing but count.
//!
//! N pipes have a byte in them that nobody reads, so each turn of the loop reports all of them. CPU
//! nanoseconds for a callback; the kernel's share is the same for all and large. Whoever knows
//! edges only has no part in it.

use super::Scenario;
use crate::contest::Contest;
use crate::sheet::{Headline, RAW, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "dispatch", about: "always-readable fds: a callback that counts", run };

const CELLS: &[&[usize]] = &[&[10], &[100], &[1000], &[9000]];

fn run(contest: &mut Contest) {
    let mut sheet = Sheet::new("Always-readable fds", "ns CPU a callback", RAW);
    sheet.headline = Headline::Whole("always-readable fds".to_owned());
    for cell in contest.options.cells(&CELLS[1..3], CELLS) {
        let race = contest.race_for_time("dispatch", &cell[..1], 1000);
        sheet.add(format!("{} fds", cell[0]), &race, 0);
    }
    contest.add(sheet);
}
