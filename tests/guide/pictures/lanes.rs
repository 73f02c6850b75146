//! Runs as lanes on one scale of time: thick where a callback or a task runs, thin where a task
//! waits.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use mainspring::{Tape, Turn, TurnKind};

use super::figure::{Anchor, COLOURS, Figure, MARGIN, NOTE, TEXT, WIDTH, width_of};
use super::{Step, turns_of};

const LANE: f64 = 24.0;
const BAR: f64 = 14.0;
/// Height of a bar while its task waits.
const WAIT: f64 = 4.0;
/// Height of the title of a run.
const TITLE: f64 = 24.0;
/// Width of the shortest turn, and of the gap between two turns that follow each other.
const SHORTEST: f64 = 2.0;
const GAP: f64 = 0.6;

/// The turns of one registration.
#[derive(Debug)]
pub struct Lane {
    name: String,
    /// Beginning and end of each turn.
    ran: Vec<(Duration, Duration)>,
    /// The time in which a task existed; none for a callback.
    existed: Option<(Duration, Duration)>,
}

/// Runs with the same scale of time, one below the other.
#[derive(Debug)]
pub struct Chart {
    pub title: String,
    pub length: Duration,
    /// Time between two marks of the scale.
    pub mark: Duration,
    /// The title of each run, and its lanes.
    pub runs: Vec<(String, Vec<Lane>)>,
}

impl Lane {
    /// Returns the lane of a task, from its first turn to its last one.
    pub(super) fn of_task(steps: &[Step], name: &str) -> Lane {
        let ran: Vec<_> = turns_of(steps, name).iter().map(|step| (step.at, step.end())).collect();
        let existed = ran.first().zip(ran.last()).map(|((begin, _), (_, end))| (*begin, *end));
        Lane { name: name.to_owned(), ran, existed }
    }

    /// Returns the lanes of a tape until `length`, in the order of their names. A registration
    /// without a name has none. `alive` has the tasks that have not ended.
    pub fn of_tape(tape: &Tape, length: Duration, alive: &[String]) -> Vec<Lane> {
        let turns = tape.turns().iter().filter(|turn| turn.kind.is_callback());
        let named: Vec<(&str, &Turn)> = turns
            .filter(|turn| turn.at <= length)
            .filter_map(|turn| Some((turn.place.split_once(" (")?.0, turn)))
            .collect();
        let names: BTreeSet<&str> = named.iter().map(|(name, _)| *name).collect();
        let lane = |name: &str| {
            let turns = || named.iter().filter(|(it, _)| *it == name).map(|(_, turn)| turn);
            let end = |turn: &Turn| (turn.at + turn.lasted.unwrap_or_default()).min(length);
            let ran: Vec<_> = turns().map(|turn| (turn.at, end(turn))).collect();
            let is_task = turns().any(|turn| turn.kind == TurnKind::Task);
            let existed = ran.first().zip(ran.last()).filter(|_| is_task);
            let is_alive = alive.iter().any(|it| it == name);
            let existed = existed
                .map(|((begin, _), (_, end))| (*begin, if is_alive { length } else { *end }));
            Lane { name: name.to_owned(), ran, existed }
        };
        names.into_iter().map(lane).collect()
    }

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
        if let Some((begin, end)) = self.existed {
            text += &format!("; the task exists from {} to {}", in_words(begin), in_words(end));
        }
        text + "."
    }
}

impl Chart {
    /// Draws the lanes, the scale and a legend. A name has the same colour in each run.
    pub fn svg(&self) -> String {
        let mut figure = Figure::new(&self.title);
        let lanes = || self.runs.iter().flat_map(|(_, lanes)| lanes);
        let names: BTreeSet<&str> = lanes().map(|lane| lane.name.as_str()).collect();
        let widest = names.iter().map(|name| width_of(name, TEXT)).fold(0.0, f64::max);
        let left = MARGIN + widest + 8.0;
        let scale = (WIDTH - MARGIN - 10.0 - left) / self.length.as_secs_f64();
        let scale = Scale { left, scale };
        let mut top = MARGIN;
        for (run, lanes) in &self.runs {
            if !run.is_empty() {
                figure.text((MARGIN, top + 12.0), Anchor::Start, "strong", run);
                top += TITLE;
            }
            let bottom = top + LANE * lanes.len() as f64;
            for mark in self.marks() {
                figure.line("rule", &[(scale.x(mark), top), (scale.x(mark), bottom)]);
            }
            for lane in lanes {
                let colour = names.iter().position(|name| *name == lane.name).unwrap_or(0);
                draw(&mut figure, lane, COLOURS[colour % COLOURS.len()], top, scale);
                let run = if run.is_empty() { String::new() } else { format!("{run}: ") };
                figure.describe(&(run + &lane.description()));
                top += LANE;
            }
            top += 4.0;
        }
        self.draw_axis(&mut figure, top, scale);
        draw_legend(&mut figure, top + 34.0, lanes().any(|lane| lane.existed.is_some()));
        figure.svg(top + 44.0)
    }

    fn marks(&self) -> impl Iterator<Item = Duration> {
        let count = self.length.as_nanos() / self.mark.as_nanos();
        (0..=count as u32).map(|number| self.mark * number)
    }

    fn draw_axis(&self, figure: &mut Figure, top: f64, scale: Scale) {
        let are_seconds = self.mark >= Duration::from_secs(1);
        let unit = if are_seconds { "s" } else { "ms" };
        figure.note((MARGIN, top + 12.0), Anchor::Start, unit);
        for mark in self.marks() {
            let number = if are_seconds { mark.as_secs().into() } else { mark.as_millis() };
            figure.note((scale.x(mark), top + 12.0), Anchor::Middle, &number.to_string());
        }
    }
}

/// Positions on the scale of time.
#[derive(Debug, Clone, Copy)]
struct Scale {
    left: f64,
    scale: f64,
}

impl Scale {
    fn x(self, time: Duration) -> f64 {
        self.left + time.as_secs_f64() * self.scale
    }
}

fn draw(figure: &mut Figure, lane: &Lane, class: &str, top: f64, scale: Scale) {
    let top = top + (LANE - BAR) / 2.0;
    figure.text((MARGIN, top + 11.0), Anchor::Start, "", &lane.name);
    if let Some((begin, end)) = lane.existed {
        let (from, width) = (scale.x(begin), scale.x(end) - scale.x(begin));
        let at = (from, top + (BAR - WAIT) / 2.0);
        figure.rect(&format!("{class} wait"), at, (width, WAIT), 0.0);
    }
    let mut before = None;
    for (number, &(begin, end)) in lane.ran.iter().enumerate() {
        let width = scale.x(end) - scale.x(begin);
        let is_followed = lane.ran.get(number + 1).is_some_and(|(next, _)| *next == end);
        let gap = if is_followed && width > SHORTEST { GAP } else { 0.0 };
        // Several turns at one time look like one.
        if before != Some((begin, end)) {
            let size = ((width - gap).max(SHORTEST), BAR);
            figure.rect(class, (scale.x(begin), top), size, 0.0);
        }
        before = Some((begin, end));
    }
}

fn draw_legend(figure: &mut Figure, y: f64, with_tasks: bool) {
    figure.rect("faint", (MARGIN, y - 9.0), (12.0, 10.0), 0.0);
    figure.note((MARGIN + 18.0, y), Anchor::Start, "runs");
    if with_tasks {
        let left = MARGIN + 18.0 + width_of("runs", NOTE) + 16.0;
        figure.rect("faint wait", (left, y - 6.0), (12.0, WAIT), 0.0);
        figure.note((left + 18.0, y), Anchor::Start, "waits");
    }
}

/// Turns without a pause between them.
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
