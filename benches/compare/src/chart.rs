//! Pictures of tables as SVG, without embedded fonts, scripts or styles. A white background keeps
//! them readable on light and dark pages.

use crate::table::{Base, Column, Picture, Table, figure};

pub const PAGE: f64 = 980.0;
const MARGIN: f64 = 12.0;
const PANELS_IN_A_ROW: usize = 4;
const NAME_WIDTH: f64 = 120.0;
const FIGURE_WIDTH: f64 = 56.0;
const ROW: f64 = 15.0;
const HEADING: f64 = 30.0;

/// Longest bar, as a multiple of the base. A longer one is cut, to keep the others distinguishable.
const LONGEST_BAR: f64 = 3.0;

const OURS: &str = "#0969da";
const OUR_TASKS: &str = "#54aeff";
const INK: &str = "#1f2328";
pub const FAINT: &str = "#59636e";
pub const RULE: &str = "#d1d9e0";

/// Returns a panel of bars for each column of the tables with bars, the shortest bar first. `None`
/// if no table has bars.
pub fn bars(tables: &[Table]) -> Option<String> {
    let tables: Vec<&Table> = tables.iter().filter(|table| is_bars(table.picture)).collect();
    let most = tables.iter().map(|table| table.columns.len()).max()?;
    let beside = most.clamp(1, PANELS_IN_A_ROW);
    let (mut svg, mut top) = (String::new(), MARGIN);
    for table in tables {
        svg += &text(MARGIN, top + 14.0, "bold", INK, &heading(table));
        top += HEADING;
        for row in table.columns.chunks(beside) {
            let width = (PAGE - MARGIN) / beside as f64;
            for (number, column) in row.iter().enumerate() {
                let left = MARGIN + width * number as f64;
                svg += &Panel { left, top, width: width - MARGIN, table, column }.draw();
            }
            let rows = row.iter().map(|column| column.figures.len()).max().unwrap_or(0);
            top += ROW * (rows + 1) as f64 + MARGIN;
        }
        top += MARGIN;
    }
    Some(page(PAGE, top, &svg))
}

fn is_bars(picture: Picture) -> bool {
    matches!(picture, Picture::Bars | Picture::Magnitudes)
}

fn heading(table: &Table) -> String {
    let base = match table.base {
        Base::Peer(peer) => format!("ratio to {peer}"),
        Base::Best => "ratio to the best peer".to_owned(),
        Base::Nothing => "no ratio".to_owned(),
    };
    match table.picture {
        Picture::Magnitudes => format!("{} (bars are logarithmic)", table.title),
        _ => format!(
            "{}, {} ({base}; shorter is better; » marks a cut bar)",
            table.title, table.unit
        ),
    }
}

/// A panel with the bars of a column.
struct Panel<'a> {
    left: f64,
    top: f64,
    width: f64,
    table: &'a Table,
    column: &'a Column,
}

impl Panel<'_> {
    fn draw(&self) -> String {
        let (table, column) = (self.table, self.column);
        let with_median =
            |(name, _): &(&'static str, Vec<f64>)| Some((*name, column.median_of(name)?));
        let mut bars: Vec<_> = column.figures.iter().filter_map(with_median).collect();
        bars.sort_by(|one, other| one.1.total_cmp(&other.1));
        let base = table.base_of(column).and_then(|base| Some((base, column.median_of(base)?)));
        let base = base.filter(|_| table.picture == Picture::Bars);
        let of_base = base.map(|(_, value)| format!(" (1x = {})", figure(value)));
        let title = format!("{}{}", column.name, of_base.unwrap_or_default());
        let mut svg = text(self.left, self.top + 10.0, "bold", FAINT, &title);
        let (shortest, longest) = ends(&bars);
        for (number, (name, value)) in bars.iter().enumerate() {
            let ratio = base.and_then(|(base, _)| column.ratio(name, base));
            let (part, is_cut) = match (table.picture, ratio) {
                (Picture::Magnitudes, _) => (magnitude(*value, shortest, longest), false),
                (_, Some(_)) => length(*value, base.map_or(shortest, |base| base.1), longest),
                (_, None) => length(*value, shortest, longest),
            };
            let label = ratio.map_or(short(*value), |ratio| format!("{}x", figure(ratio)));
            let label = format!("{}{label}", if is_cut { "» " } else { "" });
            svg += &self.bar(number, name, part, &label);
        }
        svg
    }

    fn bar(&self, number: usize, name: &str, part: f64, label: &str) -> String {
        let (x, y) = (self.left + NAME_WIDTH, self.top + ROW * (number + 1) as f64);
        let width = (self.width - NAME_WIDTH - FIGURE_WIDTH) * part;
        let (colour, top) = (bar_colour(name), y + 1.0);
        let mut svg = text(self.left, y + 10.0, weight(name), INK, name);
        svg += &format!(
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"11\" \
             fill=\"{colour}\"/>\n"
        );
        svg + &text(x + width + 3.0, y + 10.0, weight(name), INK, label)
    }
}

/// Formats a figure in a few characters, even if it is large.
fn short(value: f64) -> String {
    if value < 1e6 { figure(value) } else { format!("{:.1}M", value / 1e6) }
}

/// Returns the first and the last figure of sorted bars.
fn ends(bars: &[(&str, f64)]) -> (f64, f64) {
    let value = |bar: Option<&(&str, f64)>| bar.map_or(1.0, |bar| bar.1);
    (value(bars.first()), value(bars.last()))
}

/// Returns the length of a bar as a fraction of the longest possible one, and true if it is cut.
fn length(value: f64, base: f64, longest: f64) -> (f64, bool) {
    let limit = longest.min(base * LONGEST_BAR).max(f64::MIN_POSITIVE);
    (value.min(limit) / limit, value > limit)
}

/// Returns the length of a logarithmic bar. The scale begins at the power of ten below the
/// shortest.
fn magnitude(value: f64, shortest: f64, longest: f64) -> f64 {
    let from = shortest.log10().floor();
    let to = longest.log10().ceil().max(from + 1.0);
    ((value.log10() - from) / (to - from)).clamp(0.01, 1.0)
}

pub fn is_ours(peer: &str) -> bool {
    peer.starts_with("mainspring")
}

pub fn weight(peer: &str) -> &'static str {
    if is_ours(peer) { "bold" } else { "normal" }
}

fn bar_colour(peer: &str) -> &'static str {
    match peer {
        "mainspring" | "mainspring-tasks" => colour(peer),
        "raw" => "#59636e",
        _ => "#afb8c1",
    }
}

/// Returns the colour of the lines and dots of a peer.
pub fn colour(peer: &str) -> &'static str {
    match peer {
        "mainspring" => OURS,
        "mainspring-tasks" => OUR_TASKS,
        "raw" => "#1f2328",
        "mio" => "#8250df",
        "polling" => "#c297ff",
        "calloop" => "#953800",
        "tokio" => "#cf222e",
        "smol" => "#fa4549",
        "monoio" => "#d4a72c",
        "libuv" => "#1a7f37",
        "libev" => "#4ac26b",
        "libevent" => "#7d8590",
        "asyncio" => "#9a6700",
        "uvloop" => "#e16f24",
        "trio" => "#bf3989",
        _ => "#afb8c1",
    }
}

pub fn text(x: f64, y: f64, weight: &str, colour: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-weight=\"{weight}\" fill=\"{colour}\">{text}</text>\n"
    )
}

/// Returns a text that ends at `x`.
pub fn text_ending_at(x: f64, y: f64, colour: &str, words: &str) -> String {
    text(x, y, "normal", colour, words).replacen("<text", "<text text-anchor=\"end\"", 1)
}

/// Returns a text with its middle at `x`.
pub fn text_around(x: f64, y: f64, colour: &str, words: &str) -> String {
    text(x, y, "normal", colour, words).replacen("<text", "<text text-anchor=\"middle\"", 1)
}

pub fn line((x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) -> String {
    format!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"{colour}\"/>\n")
}

pub fn page(width: f64, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\" fill=\"white\" \
         stroke=\"{RULE}\"/>\n{content}</svg>\n",
        width - 1.0,
        height - 1.0
    )
}

#[cfg(test)]
mod tests {
    use super::{bars, length, magnitude};
    use crate::table::{Column, Picture, RAW, Table};

    fn table(figures: &[(&'static str, f64)]) -> Table {
        let mut table = Table::new("a < b", "ns", RAW);
        let figures = figures.iter().map(|(peer, figure)| (*peer, vec![*figure])).collect();
        table.columns.push(Column { name: "column".to_owned(), figures });
        table
    }

    #[test]
    fn bar_is_cut_at_three_times_the_base() {
        assert_eq!(length(2.0, 1.0, 2.0), (1.0, false));
        assert_eq!(length(1.5, 1.0, 100.0), (0.5, false));
        assert_eq!(length(100.0, 1.0, 100.0), (1.0, true));
    }

    #[test]
    fn large_figures_are_short() {
        assert_eq!([999_999.0, 1e6, 1e7].map(super::short), ["999,999", "1.0M", "10.0M"]);
    }

    #[test]
    fn logarithmic_length_is_a_fraction_of_the_powers_of_ten() {
        assert_eq!(magnitude(1000.0, 20.0, 9000.0), 2.0 / 3.0);
        assert_eq!(magnitude(5.0, 5.0, 5.0), 5f64.log10());
    }

    #[test]
    fn shortest_bar_comes_first_and_text_is_escaped() {
        let svg = bars(&[table(&[("raw", 2.0), ("mio", 1.0)])]).unwrap();
        assert!(svg.find(">mio<").unwrap() < svg.find(">raw<").unwrap());
        assert!(svg.contains("a &lt; b") && svg.contains(">0.50x<") && svg.contains("(1x = 2.00)"));
    }

    #[test]
    fn curves_alone_give_no_bars() {
        assert!(bars(&[Table::curves("title", "fds", "ns", RAW)]).is_none());
        let mut without = table(&[("raw", 2.0)]);
        without.picture = Picture::Nothing;
        assert!(bars(&[without]).is_none());
    }
}
