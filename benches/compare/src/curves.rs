//! Charts of a growth: a line for each peer, both axes logarithmic.

use crate::chart::{colour, page, text};
use crate::figures::median;
use crate::sheet::{Sheet, figure};

const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 320.0;
const NAMES: f64 = 130.0;
/// Names of lines that end close together are moved apart.
const LINE: f64 = 13.0;

/// A line through the points (size, figure) of each peer; lower is better, and flat is best.
pub fn curves(sheet: &Sheet, sizes: &str) -> String {
    let lines: Vec<Line> = sheet.peers().into_iter().map(|peer| Line::of(sheet, peer)).collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let plot = Plot {
        x: Axis::around(points().map(|point| point.0)),
        y: Axis::around(points().map(|point| point.1)),
    };
    let heading = format!("{} ({}, lower is better)", sheet.title, sheet.unit);
    let mut svg = text(8.0, 20.0, "bold", &heading);
    svg += &plot.grid();
    svg += &text(LEFT + WIDTH / 2.0 - 20.0, TOP + HEIGHT + 34.0, "normal", sizes);
    lines.iter().for_each(|line| svg += &plot.line(line));
    svg += &plot.names(&lines);
    page(LEFT + WIDTH + NAMES, TOP + HEIGHT + 44.0, &svg)
}

struct Line {
    peer: &'static str,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn of(sheet: &Sheet, peer: &'static str) -> Line {
        let point = |column: &crate::sheet::Column| {
            let figures = column.figures_of(peer)?.iter().copied();
            Some((column.name.parse().ok()?, median(figures)))
        };
        Line { peer, points: sheet.columns.iter().filter_map(point).collect() }
    }
}

/// From a power of ten to another one, around all figures.
struct Axis {
    least: i32,
    greatest: i32,
}

impl Axis {
    fn around(figures: impl Iterator<Item = f64> + Clone) -> Axis {
        let least = figures.clone().fold(f64::INFINITY, f64::min).max(1e-3);
        let greatest = figures.fold(1e-3, f64::max);
        let least = (least.min(greatest).log10() + 1e-9).floor() as i32;
        Axis { least, greatest: ((greatest.log10() - 1e-9).ceil() as i32).max(least + 1) }
    }

    /// Where a figure lies, from 0 to 1.
    fn place(&self, figure: f64) -> f64 {
        (figure.log10() - f64::from(self.least)) / f64::from(self.greatest - self.least)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.least..=self.greatest).map(|power| 10f64.powi(power))
    }
}

struct Plot {
    x: Axis,
    y: Axis,
}

impl Plot {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (LEFT + WIDTH * self.x.place(x), TOP + HEIGHT * (1.0 - self.y.place(y)))
    }

    fn grid(&self) -> String {
        let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
        let mut svg = String::new();
        let mut rule = |x1: f64, y1: f64, x2: f64, y2: f64| {
            svg += &format!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#d0d7de\"/>\n");
        };
        let mut labels = String::new();
        for decade in self.x.decades() {
            let x = LEFT + WIDTH * self.x.place(decade);
            rule(x, TOP, x, bottom);
            labels += &text(x - 12.0, bottom + 16.0, "normal", &label(decade));
        }
        for decade in self.y.decades() {
            let y = bottom - HEIGHT * self.y.place(decade);
            rule(LEFT, y, right, y);
            labels += &text(8.0, y + 4.0, "normal", &label(decade));
        }
        svg + &labels
    }

    fn line(&self, line: &Line) -> String {
        let points = line.points.iter().map(|point| {
            let (x, y) = self.at(*point);
            format!("{x:.1},{y:.1}")
        });
        let width = if line.peer.starts_with("mainspring") { 3.0 } else { 1.5 };
        format!(
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" points=\"{}\"/>\n",
            colour(line.peer),
            points.collect::<Vec<_>>().join(" ")
        )
    }

    /// The names at the ends of the lines, from the highest to the lowest.
    fn names(&self, lines: &[Line]) -> String {
        let end = |line: &Line| Some((self.at(*line.points.last()?), line.peer));
        let mut ends: Vec<_> = lines.iter().filter_map(end).collect();
        ends.sort_by(|one, other| one.0.1.total_cmp(&other.0.1));
        let (mut svg, mut lowest) = (String::new(), 0.0);
        for ((x, y), peer) in ends {
            let y = f64::max(y + 4.0, lowest + LINE);
            lowest = y;
            let weight = if peer.starts_with("mainspring") { "bold" } else { "normal" };
            svg += &text(x + 6.0, y, weight, peer);
        }
        svg
    }
}

fn label(decade: f64) -> String {
    match decade {
        1e6.. => format!("{:.0}M", decade / 1e6),
        1e3.. => format!("{:.0}k", decade / 1e3),
        1.0.. => format!("{decade:.0}"),
        _ => figure(decade),
    }
}
