//! A tape as text: one line for each registration, with the times at which it ran.

use std::collections::HashMap;
use std::time::Duration;

use super::reading::Tape;
use super::turn::Turn;

/// Width of the chart, in characters.
const WIDTH: usize = 60;
/// Maximum number of lanes in a diagram; further registrations are counted.
pub(super) const MAX_LANES: usize = 40;

/// The turns of one registration.
pub(super) struct Lane<'a> {
    pub(super) label: String,
    pub(super) turns: Vec<&'a Turn>,
}

impl Tape {
    /// Draws the tape as text: a line for each callback and each task that ran, in the order of
    /// their first turns. The lines of tasks continue between their turns, while they wait.
    ///
    /// ```
    /// use mainspring::testing::SimClock;
    /// use mainspring::{EventLoop, Recorder, sleep, spawn};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock).record(Recorder::ring(64)).build()?;
    /// el.spawn(async {
    ///     sleep(Duration::from_secs(10)).await;
    /// })
    /// .detach();
    /// el.run()?;
    /// let lanes = el.tape().unwrap().lanes();
    /// assert!(lanes.lines().next().unwrap().ends_with(&format!("█{}█", "─".repeat(58))));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn lanes(&self) -> String {
        let (lanes, left_out) = self.lane_turns();
        let (begin, length) = self.extent();
        let column = |at: Duration| {
            let share = at.saturating_sub(begin).as_secs_f64() / length.as_secs_f64();
            ((share * WIDTH as f64) as usize).min(WIDTH - 1)
        };
        let width = lanes.iter().map(|lane| lane.label.chars().count()).max().unwrap_or(0);
        let mut picture = String::new();
        for Lane { label, turns } in &lanes {
            let mut cells = vec![' '; WIDTH];
            let (Some(first), Some(last)) = (turns.first(), turns.last()) else { continue };
            cells[column(first.at)..=column(last.at)].fill('─');
            for turn in turns {
                let end = turn.at + turn.lasted.unwrap_or_default();
                cells[column(turn.at)..=column(end)].fill('█');
            }
            let cells: String = cells.iter().collect();
            picture += format!("{label:width$}  {cells}").trim_end();
            picture.push('\n');
        }
        if left_out > 0 {
            picture += &format!("{left_out} further registrations\n");
        }
        picture + "\n████ running    ──── waiting, while others run\n"
    }

    /// Returns the turns of each registration, in the order of their first turns, and the number of
    /// registrations that are left out.
    pub(super) fn lane_turns(&self) -> (Vec<Lane<'_>>, usize) {
        let mut positions = HashMap::new();
        let mut lanes: Vec<Lane<'_>> = Vec::new();
        for turn in self.turns().iter().filter(|turn| turn.kind.is_callback()) {
            let at = *positions.entry((turn.kind, &*turn.place, turn.key)).or_insert(lanes.len());
            if at == lanes.len() {
                let label = format!("{} {}", turn.kind, turn.place);
                lanes.push(Lane { label, turns: Vec::new() });
            }
            lanes[at].turns.push(turn);
        }
        let left_out = lanes.len().saturating_sub(MAX_LANES);
        lanes.truncate(MAX_LANES);
        (lanes, left_out)
    }

    /// Returns the time of the first turn, and the time from there to the end of the last one. The
    /// sleeps before and after them are left out.
    pub(super) fn extent(&self) -> (Duration, Duration) {
        let mut ran = self.turns().iter().filter(|turn| turn.kind.is_callback());
        let Some(first) = ran.next() else { return (Duration::ZERO, Duration::from_nanos(1)) };
        let last = ran.next_back().unwrap_or(first);
        let end = last.at + last.lasted.unwrap_or_default();
        (first.at, end.saturating_sub(first.at).max(Duration::from_nanos(1)))
    }
}
