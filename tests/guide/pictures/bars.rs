//! A run as bars on a scale of time: a lane for each task, full where it runs and pale where it
//! waits.

use std::time::Duration;

use super::figure::{Anchor, COLOURS, Figure, MARGIN, WIDTH};
use super::{Step, in_words, turns_of};

const NAMES: f64 = 60.0;
const LANE: f64 = 26.0;
const BAR: f64 = 14.0;

/// Draws the turns of `lanes`, with a mark on the scale of time for each `mark`.
pub fn draw(title: &str, steps: &[Step], lanes: &[&str], mark: Duration) -> String {
    let mut figure = Figure::new(title);
    let all = || lanes.iter().flat_map(|name| turns_of(steps, name));
    let end = all().map(Step::end).max().expect("a turn");
    let left = MARGIN + NAMES;
    let scale = (WIDTH - MARGIN - 8.0 - left) / end.as_secs_f64();
    let x = |time: Duration| left + time.as_secs_f64() * scale;
    let bottom = MARGIN + LANE * lanes.len() as f64;
    for number in 0..=(end.as_nanos() / mark.as_nanos()) as u32 {
        let at = x(mark * number);
        figure.line("rule", &[(at, MARGIN), (at, bottom)]);
        figure.note((at, bottom + 14.0), Anchor::Middle, &(mark * number).as_millis().to_string());
    }
    figure.note((MARGIN, bottom + 14.0), Anchor::Start, "ms");
    for (lane, name) in lanes.iter().enumerate() {
        let (top, class) = (MARGIN + LANE * lane as f64 + 6.0, COLOURS[lane]);
        figure.text((MARGIN, top + 11.0), Anchor::Start, "", name);
        let turns = turns_of(steps, name);
        let (Some(first), Some(last)) = (turns.first(), turns.last()) else { continue };
        let size = (x(last.end()) - x(first.at), 4.0);
        figure.rect(&format!("{class} wait"), (x(first.at), top + 5.0), size, 0.0);
        let times = |turn: &&Step| format!("{} to {}", turn.at.as_millis(), in_words(turn.end()));
        let times: Vec<String> = turns.iter().map(times).collect();
        figure.describe(&format!("{name} runs from {}; it waits in between.", times.join(", ")));
        for turn in turns {
            // A short turn must still be seen.
            let width = (x(turn.end()) - x(turn.at)).max(2.0);
            figure.rect(class, (x(turn.at), top), (width, BAR), 1.0);
        }
    }
    figure.svg(bottom + 24.0)
}
