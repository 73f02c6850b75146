//! Pictures of tapes for the pages of the guide.
//!
//! A picture is an SVG inside of a page. Positions in time are percentages and texts are pixels, so
//! a text has the same size on a phone. Colours follow the text colour of the page. No style sheet:
//! one inside of an SVG would apply to the whole page.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mainspring::{Tape, Turn, TurnKind};

pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Variable that replaces files which differ, instead of failing.
const WRITE: &str = "MAINSPRING_WRITE_FIGURES";

/// Heights in pixels: of a title, of a lane with its label, and of the axis.
const TITLE: usize = 30;
const LANE: usize = 40;
const AXIS: usize = 24;
/// Parts of the time axis.
const STEPS: u32 = 4;

/// Lanes of one or more runs on one time scale.
pub struct Figure {
    length: Duration,
    parts: Vec<(String, Vec<Lane>)>,
}

/// The turns of one name in a run.
struct Lane {
    name: String,
    ran: Vec<(Duration, Duration)>,
    /// The time in which a task existed.
    waited: Option<(Duration, Duration)>,
}

impl Figure {
    /// Creates a picture of the first `length` of each run.
    pub fn new(length: Duration) -> Figure {
        Figure { length, parts: Vec::new() }
    }

    /// Adds a run. A lane is a name, so registrations without a name are left out. `alive` has the
    /// tasks that have not ended.
    pub fn add(&mut self, title: &str, tape: &Tape, alive: &[String]) {
        let mut lanes: Vec<Lane> = Vec::new();
        let mut positions = HashMap::new();
        let turns = tape.turns().iter().filter(|turn| turn.kind.is_callback());
        for turn in turns.filter(|turn| turn.at <= self.length) {
            let Some(name) = name(turn) else { continue };
            let at = *positions.entry(name.to_owned()).or_insert(lanes.len());
            if at == lanes.len() {
                lanes.push(Lane { name: name.to_owned(), ran: Vec::new(), waited: None });
            }
            let end = (turn.at + turn.lasted.unwrap_or_default()).min(self.length);
            let lane = &mut lanes[at];
            lane.ran.push((turn.at, end));
            if turn.kind == TurnKind::Task {
                let (begin, _) = lane.waited.unwrap_or((turn.at, end));
                let is_alive = alive.iter().any(|it| it == name);
                lane.waited = Some((begin, if is_alive { self.length } else { end }));
            }
        }
        lanes.sort_by(|one, other| one.name.cmp(&other.name));
        self.parts.push((title.to_owned(), lanes));
    }

    /// Returns the picture as lines of SVG.
    pub fn svg(&self, title: &str) -> String {
        let lanes: usize = self.parts.iter().map(|(_, lanes)| lanes.len()).sum();
        let bottom = self.parts.len() * TITLE + lanes * LANE + 6;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100%\" height=\"{}\" \
             style=\"max-width: 44em\" font-family=\"sans-serif\" font-size=\"14\" \
             fill=\"currentColor\" role=\"img\">\n<title>{title}</title>\n<desc>\n{}</desc>\n",
            bottom + AXIS,
            self.description()
        );
        svg += &self.axis(bottom);
        let mut top = 0;
        for (title, lanes) in &self.parts {
            svg +=
                &format!("<text x=\"5\" y=\"{}\" font-weight=\"bold\">{title}</text>\n", top + 20);
            top += TITLE;
            for lane in lanes {
                svg += &self.lane(lane, top);
                top += LANE;
            }
        }
        svg + "</svg>\n"
    }

    /// Returns a line for each lane, for readers that do not see the picture.
    fn description(&self) -> String {
        let lanes = |(title, lanes): &(String, Vec<Lane>)| -> String {
            lanes.iter().map(|lane| format!("{title}: {}\n", lane.description())).collect()
        };
        self.parts.iter().map(lanes).collect()
    }

    fn axis(&self, bottom: usize) -> String {
        let mut svg = String::new();
        for step in 0..=STEPS {
            let x = 100 * step / STEPS;
            svg += &format!(
                "<line x1=\"{x}%\" x2=\"{x}%\" y1=\"{TITLE}\" y2=\"{bottom}\" \
                 stroke=\"currentColor\" stroke-opacity=\"0.15\"/>\n"
            );
            let anchor = match step {
                0 => "start",
                STEPS => "end",
                _ => "middle",
            };
            let text = in_words(self.length * step / STEPS);
            svg += &format!(
                "<text x=\"{x}%\" y=\"{}\" text-anchor=\"{anchor}\" opacity=\"0.7\">{text}</text>\n",
                bottom + 18
            );
        }
        svg
    }

    fn lane(&self, lane: &Lane, top: usize) -> String {
        let y = top + 20;
        let mut svg = format!("<text x=\"5\" y=\"{}\">{}</text>\n", top + 14, lane.name);
        if let Some((begin, end)) = lane.waited {
            svg += &self.bar(begin, end, y, "fill=\"#3b82f6\" fill-opacity=\"0.3\"");
        }
        for (number, (begin, end)) in lane.ran.iter().enumerate() {
            let is_followed = lane.ran.get(number + 1).is_some_and(|(next, _)| next == end);
            let turn = self.turn(*begin, *end, is_followed, y);
            // Several turns at one time look like one.
            if !svg.ends_with(&turn) {
                svg += &turn;
            }
        }
        svg
    }

    /// Draws a turn. A gap divides it from one that follows at once, and a short turn gets an
    /// outline, so that it is seen.
    fn turn(&self, begin: Duration, end: Duration, is_followed: bool, y: usize) -> String {
        let width = self.percent(end) - self.percent(begin);
        match width {
            0.6.. if is_followed => {
                let gap = self.length.mul_f64(0.002);
                self.bar(begin, end - gap, y, "fill=\"#3b82f6\"")
            }
            0.3.. => self.bar(begin, end, y, "fill=\"#3b82f6\""),
            _ => self.bar(begin, end, y, "fill=\"#3b82f6\" stroke=\"#3b82f6\""),
        }
    }

    fn bar(&self, begin: Duration, end: Duration, y: usize, style: &str) -> String {
        let x = self.percent(begin);
        let width = (self.percent(end) - x).max(0.01);
        format!("<rect x=\"{x:.2}%\" y=\"{y}\" width=\"{width:.2}%\" height=\"12\" {style}/>\n")
    }

    fn percent(&self, time: Duration) -> f64 {
        100.0 * time.as_secs_f64() / self.length.as_secs_f64()
    }
}

impl Lane {
    /// Returns the lane in words. Turns that follow each other at once are one span.
    fn description(&self) -> String {
        let mut spans: Vec<Span> = Vec::new();
        for &(begin, end) in &self.ran {
            match spans.last_mut() {
                Some(last) if last.end == begin => {
                    last.turns += usize::from(begin != end);
                    last.end = end;
                }
                _ => spans.push(Span { begin, end, turns: 1 }),
            }
        }
        let spans: Vec<String> = spans.iter().map(Span::to_string).collect();
        let mut text = format!("{} runs at {}", self.name, spans.join(", "));
        if let Some((begin, end)) = self.waited {
            text += &format!("; the task exists from {} to {}", in_words(begin), in_words(end));
        }
        text + "."
    }
}

/// Turns without a pause in between.
struct Span {
    begin: Duration,
    end: Duration,
    turns: usize,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", in_words(self.begin))?;
        if self.begin != self.end {
            write!(f, " to {}", in_words(self.end))?;
        }
        if self.turns > 1 { write!(f, " in {} turns", self.turns) } else { Ok(()) }
    }
}

fn in_words(time: Duration) -> String {
    if time.is_zero() { "0".to_owned() } else { format!("{time:?}") }
}

/// Returns the name of a turn: its place is `NAME (FILE:LINE)`, or `FILE:LINE` without a name.
fn name(turn: &Turn) -> Option<&str> {
    turn.place.rsplit_once(" (").map(|(name, _)| name)
}

/// Asserts that a file has this text, or writes it if the variable is set.
#[track_caller]
pub fn assert_file(path: &str, text: &str) {
    let file = Path::new(ROOT).join(path);
    if fs::read_to_string(&file).is_ok_and(|found| found == text) {
        return;
    }
    assert!(env::var_os(WRITE).is_some(), "{path} is not what the run draws; {WRITE}=1 writes it");
    fs::write(file, text).unwrap();
}
