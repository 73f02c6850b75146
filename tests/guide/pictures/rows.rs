//! A run as rows from top to bottom: the time, what ran, and why. Each callback and task has a
//! column, thick where it runs and thin where it waits.

use std::time::Duration;

use super::figure::{Anchor, COLOURS, Figure, MARGIN, WIDTH};
use super::{Step, in_words};

const ROW: f64 = 36.0;
const TIMES: f64 = 78.0;
const LANES: f64 = 90.0;
const LANE: f64 = 15.0;
const BAR: f64 = 8.0;

/// A row.
#[derive(Debug)]
pub struct Row {
    /// Number of a step of the guide, or empty.
    pub number: &'static str,
    pub at: Duration,
    /// Name of the lane that runs.
    pub lane: Option<String>,
    pub text: String,
    pub note: String,
}

impl Row {
    /// Returns a row of something that is not on the tape.
    pub fn untaped(number: &'static str, at: Duration, text: &str, note: &str) -> Row {
        Row { number, at, lane: None, text: text.to_owned(), note: note.to_owned() }
    }

    /// Returns the row of a step of the tape.
    pub fn of_step(number: &'static str, step: &Step, note: &str) -> Row {
        let text = match step.is_sleep() {
            true if step.lasted.is_zero() => "select".to_owned(),
            true => format!("select sleeps {}", in_words(step.lasted)),
            false if step.lasted.is_zero() => format!("{} runs", step.name),
            false => format!("{} runs {}", step.name, in_words(step.lasted)),
        };
        let lane = (!step.is_sleep()).then(|| step.name.clone());
        Row { number, at: step.at, lane, text, note: note.to_owned() }
    }
}

/// Draws rows. `lanes` are the names of the columns, from left to right.
pub fn draw(title: &str, lanes: &[&str], rows: &[Row]) -> String {
    let mut figure = Figure::new(title);
    let x = |lane: usize| LANES + LANE * lane as f64;
    let top = |row: usize| MARGIN + ROW * row as f64;
    let text_at = x(lanes.len()) + 4.0;
    for (lane, name) in lanes.iter().enumerate() {
        let runs = |row: &Row| row.lane.as_deref() == Some(*name);
        let (Some(first), Some(last)) = (rows.iter().position(runs), rows.iter().rposition(runs))
        else {
            panic!("{name} does not run");
        };
        let (class, middle) = (COLOURS[lane], x(lane) + BAR / 2.0 - 1.0);
        let height = top(last) - top(first);
        figure.rect(&format!("{class} wait"), (middle, top(first) + ROW / 2.0), (2.0, height), 0.0);
        for row in (0..rows.len()).filter(|row| runs(&rows[*row])) {
            figure.rect(class, (x(lane), top(row) + 2.0), (BAR, ROW - 6.0), 2.0);
        }
    }
    for (index, row) in rows.iter().enumerate() {
        let step = match row.number {
            "" => "At".to_owned(),
            number => format!("Step {number}, at"),
        };
        figure.describe(&format!("{step} {}: {} ({}).", in_words(row.at), row.text, row.note));
        let (first, second) = (top(index) + 14.0, top(index) + 28.0);
        if index > 0 {
            let (from, to) = (text_at, WIDTH - MARGIN);
            figure.line("rule", &[(from, top(index) - 1.5), (to, top(index) - 1.5)]);
        }
        if !row.number.is_empty() {
            figure.rect("box", (MARGIN, top(index) + 3.0), (16.0, 16.0), 8.0);
            figure.text((MARGIN + 8.0, first + 1.0), Anchor::Middle, "", row.number);
        }
        let is_new = index == 0 || rows[index - 1].at != row.at;
        if is_new {
            figure.note((TIMES, first), Anchor::End, &in_words(row.at));
        }
        let class = if row.lane.is_some() { "" } else { "faint" };
        figure.text((text_at, first), Anchor::Start, class, &row.text);
        figure.note((text_at, second), Anchor::Start, &row.note);
    }
    figure.svg(top(rows.len()) + MARGIN - 4.0)
}
