//! Charts of costs over sizes: a line for each peer, both axes logarithmic.

use crate::chart::{
    FAINT, RULE, colour, is_ours, line, page, text, text_around, text_ending_at, weight,
};
use crate::table::{Column, Table, figure};

const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
const NAME_WIDTH: f64 = 130.0;
/// Least distance between two names. Names of lines with close ends are moved apart.
const LINE_HEIGHT: f64 = 13.0;

/// Returns a chart with a line through the points (size, figure) of each peer.
pub fn curves(table: &Table, sizes: &str) -> String {
    let mut peers = table.peers();
    peers.sort_by_key(|peer| is_ours(peer)); // Drawn last, above the others.
    let curves: Vec<Curve> = peers.into_iter().map(|peer| Curve::of(table, peer)).collect();
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let plot = Plot {
        x: Axis::around(points().map(|point| point.0)),
        y: Axis::around(points().map(|point| point.1)),
    };
    let heading = format!("{} ({}; lower is better)", table.title, table.unit);
    let mut svg = text(12.0, 20.0, "bold", colour("raw"), &heading);
    svg += &plot.grid();
    let axis = format!("{sizes} (both axes are logarithmic)");
    svg += &text_around(LEFT + WIDTH / 2.0, TOP + HEIGHT + 34.0, FAINT, &axis);
    curves.iter().for_each(|curve| svg += &plot.curve(curve));
    svg += &plot.names(&curves);
    page(LEFT + WIDTH + NAME_WIDTH, TOP + HEIGHT + 46.0, &svg)
}

struct Curve {
    peer: &'static str,
    points: Vec<(f64, f64)>,
}

impl Curve {
    fn of(table: &Table, peer: &'static str) -> Curve {
        let point = |column: &Column| Some((column.name.parse().ok()?, column.median_of(peer)?));
        Curve { peer, points: table.columns.iter().filter_map(point).collect() }
    }
}

/// A logarithmic axis that contains all figures and ends at round numbers.
struct Axis {
    least: f64,
    greatest: f64,
}

impl Axis {
    fn around(figures: impl Iterator<Item = f64> + Clone) -> Axis {
        let least = figures.clone().fold(f64::INFINITY, f64::min).max(1e-3);
        let greatest = figures.fold(1e-3, f64::max);
        let ends = || ticks().filter(|(tick, _)| *tick > 0.0).map(|(tick, _)| tick);
        let below = ends().take_while(|tick| *tick <= least.min(greatest) * 1.0001).last();
        let above = ends().find(|tick| *tick >= greatest * 0.9999);
        let least = below.unwrap_or(1e-3);
        Axis { least, greatest: above.unwrap_or(1e9).max(least * 2.0) }
    }

    /// Returns the position of a figure, from 0 to 1.
    fn place(&self, figure: f64) -> f64 {
        (figure / self.least).log10() / (self.greatest / self.least).log10()
    }

    /// Returns the round numbers on the axis. A number without a label has no room for one.
    fn ticks(&self) -> impl Iterator<Item = (f64, Option<String>)> {
        let is_narrow = self.greatest / self.least <= 1000.0;
        let is_on = |tick: f64| tick >= self.least * 0.999 && tick <= self.greatest * 1.001;
        ticks()
            .filter(move |(tick, _)| is_on(*tick))
            .map(move |(tick, is_power)| (tick, (is_power || is_narrow).then(|| label(tick))))
    }
}

/// Returns 1, 2, 5, 10, 20, 50 and so on, with true for powers of ten.
fn ticks() -> impl Iterator<Item = (f64, bool)> {
    (-3..=9).flat_map(|power| [1.0, 2.0, 5.0].map(|it| (it * 10f64.powi(power), it == 1.0)))
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
        let (mut svg, mut labels) = (String::new(), String::new());
        for (tick, name) in self.x.ticks() {
            let x = LEFT + WIDTH * self.x.place(tick);
            if let Some(name) = name {
                svg += &line((x, TOP), (x, bottom), RULE);
                labels += &text_around(x, bottom + 16.0, FAINT, &name);
            }
        }
        for (tick, name) in self.y.ticks() {
            let y = bottom - HEIGHT * self.y.place(tick);
            if let Some(name) = name {
                svg += &line((LEFT, y), (right, y), RULE);
                labels += &text_ending_at(LEFT - 6.0, y + 4.0, FAINT, &name);
            }
        }
        svg + &labels
    }

    fn curve(&self, curve: &Curve) -> String {
        let (colour, ours) = (colour(curve.peer), is_ours(curve.peer));
        let points: Vec<(f64, f64)> = curve.points.iter().map(|point| self.at(*point)).collect();
        let width = if ours { 3.0 } else { 1.2 };
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let mut svg = format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" points=\"{}\"/>\n",
            path.join(" ")
        );
        for (x, y) in points {
            let radius = if ours { 3.5 } else { 2.0 };
            svg += &format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>\n"
            );
        }
        svg
    }

    /// Returns the names of the peers beside the ends of their lines.
    fn names(&self, curves: &[Curve]) -> String {
        let end = |curve: &Curve| Some((self.at(*curve.points.last()?).1, curve.peer));
        let mut ends: Vec<(f64, &str)> = curves.iter().filter_map(end).collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let wanted: Vec<f64> = ends.iter().map(|(y, _)| y + 4.0).collect();
        let places = spread_apart(&wanted, LINE_HEIGHT, TOP + HEIGHT + 30.0);
        let name = |((_, peer), y): (&(f64, &str), f64)| {
            text(LEFT + WIDTH + 8.0, y, weight(peer), colour(peer), peer)
        };
        ends.iter().zip(places).map(name).collect()
    }
}

/// Moves sorted positions until they are at least `distance` apart, and none is beyond `end`.
fn spread_apart(wanted: &[f64], distance: f64, end: f64) -> Vec<f64> {
    let mut places = wanted.to_vec();
    for at in 1..places.len() {
        places[at] = places[at].max(places[at - 1] + distance);
    }
    let mut limit = end;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - distance;
    }
    places
}

fn label(tick: f64) -> String {
    match tick {
        1e6.. => format!("{:.0}M", tick / 1e6),
        1e3.. => format!("{:.0}k", tick / 1e3),
        1.0.. => format!("{tick:.0}"),
        _ => figure(tick),
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, curves, label, spread_apart};
    use crate::table::{Column, RAW, Table};

    #[test]
    fn axis_ends_at_round_numbers() {
        let axis = Axis::around([30.0, 9000.0].into_iter());
        assert_eq!((axis.least, axis.greatest), (20.0, 10_000.0));
        assert_eq!((axis.place(20.0), axis.place(10_000.0)), (0.0, 1.0));
    }

    #[test]
    fn axis_of_one_figure_has_a_length() {
        let axis = Axis::around([100.0].into_iter());
        assert_eq!((axis.least, axis.greatest), (100.0, 200.0));
    }

    #[test]
    fn names_are_moved_apart_within_the_page() {
        assert_eq!(spread_apart(&[0.0, 1.0, 50.0], 10.0, 100.0), [0.0, 10.0, 50.0]);
        assert_eq!(spread_apart(&[95.0, 99.0, 100.0], 10.0, 100.0), [80.0, 90.0, 100.0]);
    }

    #[test]
    fn tick_labels_are_short() {
        assert_eq!([0.5, 2.0, 50_000.0, 1e6].map(label), ["0.50", "2", "50k", "1M"]);
    }

    #[test]
    fn peer_without_the_largest_size_has_a_shorter_line() {
        let mut table = Table::curves("title", "fds", "ns", RAW);
        let columns = [("10", vec![("raw", 1.0), ("mio", 2.0)]), ("100", vec![("raw", 3.0)])];
        for (name, figures) in columns {
            let figures = figures.into_iter().map(|(peer, it)| (peer, vec![it])).collect();
            table.columns.push(Column { name: name.to_owned(), figures });
        }
        let svg = curves(&table, "fds");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<polyline").count(), 2);
    }
}
