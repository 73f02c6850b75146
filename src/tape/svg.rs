//! A tape as a picture.

use std::time::Duration;

use super::lanes::Lane;
use super::reading::Tape;
use super::turn::Turn;

/// Width of the picture, of the margin at both sides, and height of a lane, in pixels.
const WIDTH: f64 = 720.0;
const MARGIN: f64 = 12.0;
const LANE: f64 = 34.0;

/// Colours of light and of dark pages.
const STYLE: &str = "<style>
svg { background: #fff; font: 13px ui-monospace, monospace; }
text { fill: #24292f; } .time { fill: #57606a; font-size: 11px; }
.wait { fill: #d0d7de; } .run { fill: #0969da; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .time { fill: #8d96a0; }
.wait { fill: #30363d; } .run { fill: #4493f8; }
}
</style>
";

impl Tape {
    /// Draws the tape as an SVG file that needs no other file: a bar for each callback and task,
    /// with its turns. It has colours for light and for dark pages, and fits the width of its page.
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
        let height = lanes.len() as f64 * LANE + 2.0 * LANE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"100%\">\n{STYLE}"
        );
        let scale = (WIDTH - 2.0 * MARGIN) / length.as_secs_f64();
        let x = |at: Duration| MARGIN + at.saturating_sub(begin).as_secs_f64() * scale;
        for (index, lane) in lanes.iter().enumerate() {
            draw(&mut svg, lane, index as f64 * LANE + MARGIN, x);
        }
        let y = lanes.len() as f64 * LANE + MARGIN + 20.0;
        let end = WIDTH - MARGIN;
        svg += &format!("<text class=\"time\" x=\"{MARGIN}\" y=\"{y}\">0</text>\n");
        svg += &format!(
            "<text class=\"time\" x=\"{end}\" y=\"{y}\" text-anchor=\"end\">{length:.1?}</text>\n"
        );
        if left_out > 0 {
            svg += &format!("<text x=\"60\" y=\"{y}\">{left_out} further registrations</text>\n");
        }
        svg + "</svg>\n"
    }
}

fn draw(svg: &mut String, lane: &Lane<'_>, y: f64, x: impl Fn(Duration) -> f64) {
    let end = |turn: &Turn| x(turn.at + turn.lasted.unwrap_or_default());
    let (Some(first), Some(last)) = (lane.turns.first(), lane.turns.last()) else { return };
    let (from, to) = (x(first.at), end(last));
    *svg += &format!("<text x=\"{MARGIN}\" y=\"{}\">{}</text>\n", y + 12.0, escaped(&lane.label));
    let bar = |class: &str, from: f64, to: f64| {
        // At least one pixel wide, so that a short turn is seen.
        let (width, y) = ((to - from).max(1.0), y + 16.0);
        format!(
            "<rect class=\"{class}\" x=\"{from:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"12\"/>\n"
        )
    };
    *svg += &bar("wait", from, to);
    let mut drawn = f64::MIN;
    for turn in &lane.turns {
        // A turn that lies within the pixel of the one before changes nothing.
        if end(turn) > drawn {
            *svg += &bar("run", x(turn.at), end(turn));
            drawn = x(turn.at) + 1.0;
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
