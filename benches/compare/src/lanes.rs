//! Pictures of fetches in time: a lane for each, all on one scale. The guide shows them, so they
//! have the style and the width of its figures.

use crate::chart::is_ours;
use crate::table::{Table, figure};

/// The style of the guide's figures: colours for light and for dark pages.
const STYLE: &str = include_str!("../../../src/guide/figures/style.css");
/// Width of the picture: its text has its real size on a phone.
const WIDTH: f64 = 360.0;
const MARGIN: f64 = 12.0;
const NAME_WIDTH: f64 = 124.0;
/// Sizes of texts, as in the other figures.
const TEXT: u32 = 12;
const NOTE: u32 = 11;
const FIGURE_WIDTH: f64 = 38.0;
const LANE: f64 = 5.0;
const GAP: f64 = 9.0;
const TOP: f64 = 56.0;

/// Times in a lane: start, first byte and end.
const TIMES: usize = 3;

/// Returns the picture. The columns of the table are the times of the fetches, in milliseconds.
pub fn lanes(table: &Table) -> String {
    let ends = table.columns.iter().skip(TIMES - 1).step_by(TIMES);
    let peers = table.peers();
    let last = |peer: &str| ends.clone().filter_map(|it| it.median_of(peer)).fold(0.0, f64::max);
    let longest = peers.iter().map(|peer| last(peer)).fold(1.0, f64::max);
    let scale = Scale { width: WIDTH - 2.0 * MARGIN - NAME_WIDTH - FIGURE_WIDTH, longest };
    let title = format!("{}, milliseconds", table.title);
    let mut svg = text((MARGIN, 24.0), "start", "", TEXT, &title);
    let legend = "pale: until the first byte; full: until the end";
    svg += &text((MARGIN, 40.0), "start", "faint", NOTE, legend);
    let height = LANE * (table.columns.len() / TIMES) as f64;
    let bottom = TOP + (height + GAP) * peers.len() as f64;
    svg += &scale.draw(bottom);
    for (number, peer) in peers.iter().enumerate() {
        let top = TOP + (height + GAP) * number as f64;
        let y = top + height / 2.0 + 4.0;
        let ink = if is_ours(peer) { "" } else { "faint" };
        svg += &text((MARGIN, y), "start", ink, TEXT, peer);
        for (lane, times) in table.columns.chunks(TIMES).enumerate() {
            let times: Vec<f64> = times.iter().filter_map(|it| it.median_of(peer)).collect();
            if let [start, first_byte, end] = times[..] {
                let y = top + LANE * lane as f64;
                svg += &scale.bar(y, start, first_byte, &format!("{} wait", class(peer)));
                svg += &scale.bar(y, first_byte, end, class(peer));
            }
        }
        svg += &text((scale.x(last(peer)) + 5.0, y), "start", ink, TEXT, &figure(last(peer)));
    }
    let ends = peers
        .iter()
        .map(|peer| format!("{peer}: the last fetch ends after {} ms.\n", figure(last(peer))));
    page(&title, &ends.collect::<String>(), bottom + 24.0, &svg)
}

/// Returns the class of the bars of a peer, which is their colour.
fn class(peer: &str) -> &'static str {
    match peer {
        "mainspring" => "a",
        "mainspring-tasks" => "b",
        "libuv" => "c",
        "asyncio" | "uvloop" => "d",
        "tokio" => "e",
        _ => "faint",
    }
}

fn text((x, y): (f64, f64), anchor: &str, class: &str, size: u32, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" \
         font-size=\"{size}\">{words}</text>\n"
    )
}

fn page(title: &str, description: &str, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"loop-figure\" role=\"img\" \
         style=\"max-width:540px\" \
         viewBox=\"0 0 {WIDTH:.0} {height:.0}\">\n<title>{title}</title>\n\
         <desc>\n{description}</desc>\n\
         <style>\n{STYLE}</style>\n\
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\"/>\n\
         {content}</svg>\n",
        WIDTH - 1.0,
        height - 1.0
    )
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
            let (x, top) = (self.x(time), TOP - 4.0);
            let rule =
                format!("<path class=\"rule\" d=\"M{x:.1} {top:.1}L{x:.1} {bottom:.1}\"/>\n");
            rule + &text((x, bottom + 13.0), "middle", "faint", NOTE, &format!("{time:.0}"))
        };
        times.map(rule).collect()
    }

    fn bar(&self, y: f64, from: f64, to: f64, class: &str) -> String {
        let (x, width) = (self.x(from), self.x(to) - self.x(from));
        format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{:.1}\"/>\n",
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
        assert_eq!(svg.matches(" wait\"").count(), 2);
        assert!(svg.contains(">200<") && svg.contains(">400<") && !svg.contains(">600<"));
        assert!(!table.markdown().contains('|'));
    }
}
