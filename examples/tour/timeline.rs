//! Timeline of the fetches: each step as a line of text, and a chart with one line for each fetch.

use std::time::{Duration, Instant};

/// Width of the chart, in characters.
const WIDTH: usize = 60;

/// A fetch in the chart: the times at which it ran. It is suspended in between.
#[derive(Debug, Default)]
struct Lane {
    running: Vec<Duration>,
    ended: Option<Duration>,
}

/// Timeline of the whole tour.
#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    lanes: Vec<Lane>,
}

impl Timeline {
    pub fn new(start: Instant, lanes: usize) -> Timeline {
        Timeline { start, lanes: (0..lanes).map(|_| Lane::default()).collect() }
    }

    /// Prints a step of a fetch, and records that it runs now.
    pub fn step(&mut self, lane: usize, now: Instant, what: &str) {
        let at = now.duration_since(self.start);
        println!("T={:<7} URL{}: {what}", format!("{}ms:", at.as_millis()), lane + 1);
        self.lanes[lane].running.push(at);
    }

    /// Ends a fetch. Returns its duration, counted from its own first step.
    pub fn end(&mut self, lane: usize, now: Instant) -> Duration {
        let lane = &mut self.lanes[lane];
        let at = now.duration_since(self.start);
        lane.ended = Some(at);
        at.saturating_sub(lane.running.first().copied().unwrap_or(at))
    }

    /// Returns the chart, with one line for each fetch.
    pub fn draw(&self) -> String {
        let longest = self.lanes.iter().filter_map(|lane| lane.ended).max().unwrap_or_default();
        let column = |at: Duration| {
            let share = at.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
            ((share * WIDTH as f64) as usize).min(WIDTH - 1)
        };
        let mut picture = String::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            let last = lane.ended.map_or(0, column);
            let mut cells = vec!['─'; last + 1];
            let first = lane.running.first().map_or(0, |at| column(*at).min(last));
            cells[..first].fill(' '); // Not started yet.
            for at in &lane.running {
                cells[column(*at).min(last)] = '█';
            }
            picture += &format!("URL{}: {}\n", index + 1, cells.iter().collect::<String>());
        }
        picture + "\n████ running    ──── suspended, while the others run\n"
    }
}
