//! A tape as a picture.
//!
//! Times are percentages and text sizes are pixels, so text is as large on a phone as on a page.
//! Each lane has its label on a separate line, so labels never overlap.

use std::time::Duration;

use super::lanes::Lane;
use super::reading::Tape;
use super::turn::Turn;

/// Heights in pixels: of a lane, of its bar, and of the axis with the legend.
const LANE: usize = 42;
const BAR: usize = 12;
const AXIS: usize = 56;
/// Margin above and below the lanes in pixels, and at the sides in percent.
const MARGIN: usize = 10;
const SIDE: f64 = 2.0;
/// Width of the shortest turn in percent: a pixel on a phone.
const SHORTEST: f64 = 0.3;
/// Number of letters that fit on a phone. Longer labels are cut at the left, where paths begin.
const LETTERS: usize = 38;

/// Colours for light and dark pages.
const STYLE: &str = "<style>
.mainspring-tape { background: #fff; font: 13px ui-monospace, 'DejaVu Sans Mono', monospace; }
.mainspring-tape text { fill: #24292f; stroke: #fff; stroke-width: 4px; paint-order: stroke; }
.mainspring-tape .time { fill: #57606a; font-size: 12px; }
.mainspring-tape .wait { fill: #d0d7de; } .mainspring-tape .run { fill: #0969da; }
.mainspring-tape .now { fill: #cf222e; } .mainspring-tape .grid { stroke: #d8dee4; }
@media (prefers-color-scheme: dark) {
.mainspring-tape { background: #0d1117; }
.mainspring-tape text { fill: #e6edf3; stroke: #0d1117; }
.mainspring-tape .time { fill: #9198a1; }
.mainspring-tape .wait { fill: #3d444d; } .mainspring-tape .run { fill: #4493f8; }
.mainspring-tape .now { fill: #f85149; } .mainspring-tape .grid { stroke: #2a313c; }
}
</style>
";

impl Tape {
    /// Draws the tape as a self-contained SVG file: a bar for each callback and task, with its
    /// turns. It has colours for light and dark pages, and fits the width of its page. A running
    /// turn has another colour.
    ///
    /// ```
    /// # use mainspring::{EventLoop, Recorder};
    /// let mut el = EventLoop::builder().record(Recorder::ring(64)).build()?;
    /// el.call_soon(|_, _| {});
    /// el.run()?;
    /// assert!(el.tape().unwrap().svg().starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn svg(&self) -> String {
        let (lanes, left_out) = self.lane_turns();
        let (begin, length) = self.extent();
        let bottom = MARGIN + lanes.len() * LANE;
        let height = bottom + AXIS + if left_out > 0 { 20 } else { 0 };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mainspring-tape\" width=\"100%\" \
             height=\"{height}\" role=\"img\">\n<title>Turns of an event loop</title>\n<desc>\n"
        );
        svg.extend(lanes.iter().map(|lane| described(lane, begin)));
        svg += "</desc>\n";
        svg += STYLE;
        draw_axis(&mut svg, length, bottom);
        let scale = (100.0 - 2.0 * SIDE) / length.as_secs_f64();
        let x = |at: Duration| SIDE + at.saturating_sub(begin).as_secs_f64() * scale;
        for (index, lane) in lanes.iter().enumerate() {
            draw(&mut svg, lane, MARGIN + index * LANE, x);
        }
        if left_out > 0 {
            let y = bottom + AXIS + 8;
            svg +=
                &format!("<text x=\"{SIDE}%\" y=\"{y}\">{left_out} further registrations</text>\n");
        }
        svg + "</svg>\n"
    }
}

/// Draws the times below the lanes, the lines at them, and the legend.
fn draw_axis(svg: &mut String, length: Duration, bottom: usize) {
    for (share, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let x = SIDE + share * (100.0 - 2.0 * SIDE);
        let time = in_words(length.mul_f64(share));
        *svg += &format!(
            "<line class=\"grid\" x1=\"{x}%\" x2=\"{x}%\" y1=\"{MARGIN}\" y2=\"{bottom}\"/>\n\
             <text class=\"time\" x=\"{x}%\" y=\"{}\" text-anchor=\"{anchor}\">{time}</text>\n",
            bottom + 16,
        );
    }
    // Pixels from the left margin: three texts fit on a phone.
    *svg += &format!("<svg x=\"{SIDE}%\" y=\"{}\" height=\"20\">\n", bottom + 32);
    for (x, class, text) in [(0, "run", "runs"), (74, "wait", "waits"), (156, "now", "still runs")]
    {
        *svg += &format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"1\" width=\"10\" height=\"10\"/>\n\
             <text class=\"time\" x=\"{}\" y=\"10\">{text}</text>\n",
            x + 16,
        );
    }
    *svg += "</svg>\n";
}

fn draw(svg: &mut String, lane: &Lane<'_>, y: usize, x: impl Fn(Duration) -> f64) {
    let (Some(first), Some(last)) = (lane.turns.first(), lane.turns.last()) else { return };
    let (name, full) = (escaped(&cut(&lane.label)), escaped(&lane.label));
    *svg += &format!("<text x=\"{SIDE}%\" y=\"{}\">{name}<title>{full}</title></text>\n", y + 13);
    let bar = |class: &str, from: f64, to: f64| {
        let (from, y) = (from.min(100.0 - SIDE - SHORTEST), y + 20);
        let width = (to - from).max(SHORTEST);
        format!(
            "<rect class=\"{class}\" x=\"{from:.2}%\" y=\"{y}\" width=\"{width:.2}%\" \
             height=\"{BAR}\"/>\n"
        )
    };
    *svg += &bar("wait", x(first.at), x(last.end()));
    let mut drawn = f64::MIN;
    for turn in &lane.turns {
        // A turn within the width of the previous one changes nothing.
        if x(turn.end()) > drawn || turn.lasted.is_none() {
            *svg += &bar(class(turn), x(turn.at), x(turn.end()));
            drawn = x(turn.at) + SHORTEST;
        }
    }
}

fn class(turn: &Turn) -> &'static str {
    if turn.lasted.is_none() { "now" } else { "run" }
}

/// Returns a lane in words, for readers that do not see the picture.
fn described(lane: &Lane<'_>, begin: Duration) -> String {
    let (Some(first), Some(last)) = (lane.turns.first(), lane.turns.last()) else {
        return String::new();
    };
    let count = lane.turns.len();
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let end = match last.lasted {
        Some(_) => format!("to {}", in_words(last.end().saturating_sub(begin))),
        None => "on, and still runs".to_owned(),
    };
    let from = in_words(first.at.saturating_sub(begin));
    format!("{} ran {times}, from {from} {end}.\n", escaped(&lane.label))
}

fn in_words(time: Duration) -> String {
    if time.is_zero() { "0".to_owned() } else { format!("{time:.1?}") }
}

/// Returns the beginning and the last letters of a text, if it is too long for a phone. The
/// beginning is the kind, and the name if there is one.
fn cut(text: &str) -> String {
    let letters = text.chars().count();
    if letters <= LETTERS {
        return text.to_owned();
    }
    let begin = match text.split_once(" (") {
        Some((name, _)) if name.chars().count() <= LETTERS / 2 => format!("{name} ("),
        _ => format!("{} ", text.split(' ').next().unwrap_or_default()),
    };
    let rest = LETTERS - begin.chars().count().min(LETTERS / 2 + 2) - 1;
    let end: String = text.chars().skip(letters - rest).collect();
    format!("{begin}…{end}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Recorder, Recording, Start, TurnKind};

    const MS: u64 = 1_000_000;

    /// Returns the picture of turns that begin at these times, alternating with the loop's own.
    fn picture(times: &[u64]) -> String {
        let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
        for (time, kind) in times.iter().zip([TurnKind::Soon, TurnKind::Loop].iter().cycle()) {
            recording.begin(*time, 0, Start { kind: *kind, ..Start::LOOP });
        }
        recording.tape().unwrap().svg()
    }

    /// Returns the number of bars of a class. The legend has one of each.
    fn bars(svg: &str, class: &str) -> usize {
        svg.matches(&format!("<rect class=\"{class}\"")).count() - 1
    }

    #[test]
    fn r5_a_running_turn_is_drawn_although_it_is_as_short_as_the_one_before() {
        let svg = picture(&[0, MS, 999 * MS, 1000 * MS, 1000 * MS + 1]);
        assert_eq!((bars(&svg, "run"), bars(&svg, "now")), (2, 1), "{svg}");
        let (x, width) = (100.0 - SIDE - SHORTEST, SHORTEST);
        let bar = format!("class=\"now\" x=\"{x:.2}%\" y=\"30\" width=\"{width:.2}%\"");
        assert!(svg.contains(&bar), "within the margin: {svg}");
    }

    #[test]
    fn r5_a_short_turn_after_a_long_one_is_drawn() {
        assert_eq!(
            bars(&picture(&[0, 500 * MS, 501 * MS, 502 * MS, 900 * MS, 1000 * MS]), "run"),
            3
        );
        // Within the width of the previous one.
        assert_eq!(bars(&picture(&[0, 1, 2, 3, 900 * MS, 1000 * MS]), "run"), 2);
    }

    #[test]
    fn r5_a_turn_is_described_with_its_beginning_and_its_end() {
        let once = picture(&[0, MS]);
        assert!(once.contains("callback  ran once, from 0 to 1.0ms.\n"), "{once}");
        let twice = picture(&[0, MS, 2 * MS, 5 * MS]);
        assert!(twice.contains("callback  ran 2 times, from 0 to 5.0ms.\n"), "{twice}");
    }

    #[test]
    fn r5_a_label_that_fits_is_not_cut() {
        let [fits, too_long] = [LETTERS, LETTERS + 1].map(|letters| "x".repeat(letters));
        assert_eq!(cut(&fits), fits);
        assert_ne!(cut(&too_long), too_long);
    }

    #[test]
    fn r5_a_long_place_is_cut_where_its_path_begins() {
        assert_eq!(cut("task src/main.rs:7"), "task src/main.rs:7");
        let text = "timer /usr/src/projects/daemon/source/session/handler.rs:1041";
        assert_eq!(cut(text), "timer …/source/session/handler.rs:1041");
        let named = "timer statistics (/usr/src/projects/daemon/source/session.rs:1041)";
        assert_eq!(cut(named), "timer statistics (…ce/session.rs:1041)");
        assert!(cut(&format!("signal handler {}", "x".repeat(200))).chars().count() <= LETTERS);
    }
}
