//! Pictures of fetches in time: a lane for each, all on one scale.

use crate::chart::{FAINT, PAGE, RULE, colour, line, page, text, text_around, weight};
use crate::table::{Table, figure};

const MARGIN: f64 = 12.0;
const NAME_WIDTH: f64 = 130.0;
const FIGURE_WIDTH: f64 = 80.0;
const LANE: f64 = 5.0;
const GAP: f64 = 9.0;
const TOP: f64 = 56.0;
const INK: &str = "#1f2328";

/// Times in a lane: start, first byte and end.
const TIMES: usize = 3;

/// Returns the picture. The columns of the table are the times of the fetches, in milliseconds.
pub fn lanes(table: &Table) -> String {
    let ends = table.columns.iter().skip(TIMES - 1).step_by(TIMES);
    let peers = table.peers();
    let last = |peer: &str| ends.clone().filter_map(|it| it.median_of(peer)).fold(0.0, f64::max);
    let longest = peers.iter().map(|peer| last(peer)).fold(1.0, f64::max);
    let scale = Scale { width: PAGE - 2.0 * MARGIN - NAME_WIDTH - FIGURE_WIDTH, longest };
    let mut svg = text(MARGIN, 22.0, "bold", INK, &format!("{}, milliseconds", table.title));
    svg += &text(MARGIN, 38.0, "normal", FAINT, "pale: until the first byte; full: until the end");
    let height = LANE * (table.columns.len() / TIMES) as f64;
    let bottom = TOP + (height + GAP) * peers.len() as f64;
    svg += &scale.draw(bottom);
    for (number, peer) in peers.iter().enumerate() {
        let top = TOP + (height + GAP) * number as f64;
        let (x, y) = (MARGIN, top + height / 2.0 + 4.0);
        svg += &text(x, y, weight(peer), INK, peer);
        for (lane, times) in table.columns.chunks(TIMES).enumerate() {
            let times: Vec<f64> = times.iter().filter_map(|it| it.median_of(peer)).collect();
            if let [start, first_byte, end] = times[..] {
                let y = top + LANE * lane as f64;
                svg += &scale.bar(y, start, first_byte, colour(peer), 0.35);
                svg += &scale.bar(y, first_byte, end, colour(peer), 1.0);
            }
        }
        let x = scale.x(last(peer)) + 6.0;
        svg += &text(x, y, weight(peer), INK, &figure(last(peer)));
    }
    page(PAGE, bottom + 22.0, &svg)
}

/// The scale of time.
struct Scale {
    width: f64,
    longest: f64,
}

impl Scale {
    fn x(&self, time: f64) -> f64 {
        MARGIN + NAME_WIDTH + self.width * time / self.longest
    }

    /// Draws a line for each 200 ms.
    fn draw(&self, bottom: f64) -> String {
        let times = (0..).map(|number| f64::from(number) * 200.0);
        let times = times.take_while(|time| *time <= self.longest);
        let rule = |time: f64| {
            let x = self.x(time);
            let label = text_around(x, bottom + 13.0, FAINT, &format!("{time:.0}"));
            line((x, TOP - 4.0), (x, bottom), RULE) + &label
        };
        times.map(rule).collect()
    }

    fn bar(&self, y: f64, from: f64, to: f64, colour: &str, opacity: f64) -> String {
        let (x, width) = (self.x(from), self.x(to) - self.x(from));
        format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
             fill=\"{colour}\" fill-opacity=\"{opacity}\"/>\n",
            LANE - 1.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::lanes;
    use crate::table::{Base, Column, Picture, Table};

    #[test]
    fn a_fetch_is_a_lane_on_the_common_scale() {
        let mut table = Table::new("fetches", "ms", Base::Nothing);
        table.picture = Picture::Lanes;
        for (index, times) in [[0.0, 0.0], [150.0, 150.0], [200.0, 400.0]].iter().enumerate() {
            let figures = vec![("threads", vec![times[0]]), ("tokio", vec![times[1]])];
            table.columns.push(Column { name: index.to_string(), figures });
        }
        let svg = lanes(&table);
        assert_eq!(svg.matches("fill-opacity=\"0.35\"").count(), 2);
        assert!(svg.contains(">200<") && svg.contains(">400<") && !svg.contains(">600<"));
        assert!(!table.markdown().contains('|'));
    }
}
