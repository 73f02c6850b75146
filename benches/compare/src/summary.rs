//! The whole run in one table and in one picture, with ratios to the hand-written loop and to the
//! best peer.

use crate::chart::{
    FAINT, PAGE, RULE, colour, is_ours, line, page, text, text_around, text_ending_at,
};
use crate::table::{Base, Column, Headline, Table, figure};

/// A line of the picture.
#[derive(Debug, PartialEq)]
struct Line {
    name: String,
    /// Base of the ratios.
    base: &'static str,
    ratios: Vec<(&'static str, f64)>,
}

/// Peers that the picture shows: mainspring and the best known of the others.
const SHOWN: &[&str] =
    &["tokio", "monoio", "mio", "libuv", "libev", "uvloop", "mainspring-tasks", "mainspring"];

/// Returns a table with a row for each figure.
pub fn all_figures<'a>(tables: impl Iterator<Item = &'a Table>) -> String {
    let columns = ["subject", "unit", "raw", "best peer", "mainspring", "x raw", "x best"];
    let tasks = ["mainspring-tasks", "x raw", "x best"];
    let mut text = format!("| {} | {} |\n", columns.join(" | "), tasks.join(" | "));
    text += &format!("|---|---{}\n", "|---:".repeat(columns.len() + tasks.len() - 2) + "|");
    for table in tables.filter(|table| table.headline != Headline::No) {
        for column in &table.columns {
            text += &row(table, column);
        }
    }
    text
}

fn row(table: &Table, column: &Column) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    let ratio = |peer: &str, base: Option<&'static str>| {
        let ratio = base.and_then(|base| column.ratio(peer, base));
        ratio.map_or("-".to_owned(), |ratio| format!("{}x", figure(ratio)))
    };
    let best = column.best();
    let mut words = vec![format!("{}, {}", table.title, column.name), table.unit.to_owned()];
    words.push(shown(column.median_of("raw")));
    words.push(
        best.map_or("-".to_owned(), |best| format!("{best} {}", shown(column.median_of(best)))),
    );
    for ours in ["mainspring", "mainspring-tasks"] {
        words.push(shown(column.median_of(ours)));
        words.push(ratio(ours, Some("raw")));
        words.push(ratio(ours, best));
    }
    format!("| {} |\n", words.join(" | "))
}

fn lines<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<Line> {
    let mut lines = Vec::new();
    for table in tables {
        let columns: Vec<&Column> = table.columns.iter().collect();
        match &table.headline {
            Headline::Whole(name) => lines.extend(mean_line(table, name.clone(), &columns)),
            Headline::Each(word) => lines.extend(columns.iter().filter_map(|column| {
                mean_line(table, format!("{word}: {}", column.name), &[column])
            })),
            Headline::No => {}
        }
    }
    lines
}

/// Returns the geometric means of the ratios, for the peers with a figure in each column.
fn mean_line(table: &Table, name: String, columns: &[&Column]) -> Option<Line> {
    let bases = columns.iter().map(|column| table.base_of(column));
    let bases: Vec<&'static str> = bases.collect::<Option<_>>()?;
    let base = match table.base {
        Base::Peer(peer) => peer,
        Base::Best if bases.iter().all(|base| *base == bases[0]) => bases[0],
        Base::Best | Base::Nothing => "best peer",
    };
    let mean = |peer: &'static str| {
        let ratios = columns.iter().zip(&bases).map(|(column, base)| column.ratio(peer, base));
        let ratios: Vec<f64> = ratios.collect::<Option<_>>()?;
        let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        Some((peer, (logarithms / ratios.len() as f64).exp()))
    };
    let ratios: Vec<_> = table.peers().into_iter().filter_map(mean).collect();
    let count = columns.len();
    let name = if count > 1 { format!("{name} (mean of {count})") } else { name };
    ratios.iter().any(|(peer, _)| is_ours(peer)).then_some(Line { name, base, ratios })
}

const TOP: f64 = 74.0;
const ROW: f64 = 21.0;
/// The scale: its ends on the page, and the ratios at its ends.
const LEFT: f64 = 350.0;
const RIGHT: f64 = 740.0;
const LEAST: f64 = 0.25;
const GREATEST: f64 = 16.0;
const TICKS: &[f64] = &[0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// Returns the picture, with a line for each figure and a dot for each peer.
pub fn picture<'a>(tables: impl Iterator<Item = &'a Table>) -> String {
    let lines = lines(tables);
    let bottom = TOP + ROW * lines.len() as f64;
    let title = "mainspring compared: ratio to the hand-written loop (raw), or to the best peer";
    let mut svg = text(12.0, 22.0, "bold", colour("raw"), title);
    svg += &legend();
    svg += &scale(bottom);
    for (number, line) in lines.iter().enumerate() {
        svg += &draw(line, TOP + ROW * number as f64 + ROW / 2.0);
    }
    let note = "logarithmic scale; left is better; a dot at an end of the scale lies beyond it";
    svg += &text(LEFT, bottom + 30.0, "normal", FAINT, note);
    page(PAGE, bottom + 42.0, &svg)
}

fn legend() -> String {
    let (mut svg, mut x) = (String::new(), 12.0);
    for peer in SHOWN.iter().rev() {
        svg += &dot(peer, x + 5.0, 40.0);
        svg += &text(x + 14.0, 44.0, crate::chart::weight(peer), colour(peer), peer);
        x += 30.0 + 6.4 * peer.len() as f64;
    }
    svg
}

fn scale(bottom: f64) -> String {
    let zero = x_of(1.0);
    let mut svg = format!(
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#f0f7ff\"/>\n",
        zero - LEFT,
        bottom - TOP
    );
    for tick in TICKS {
        let (x, ink) = (x_of(*tick), if *tick == 1.0 { FAINT } else { RULE });
        svg += &line((x, TOP), (x, bottom), ink);
        svg += &text_around(x, bottom + 14.0, FAINT, &format!("{tick}x"));
    }
    let heads =
        [(LEFT - 8.0, "base"), (806.0, "mainspring"), (852.0, "tasks"), (968.0, "best peer")];
    let head = |(x, word): (f64, &str)| text_ending_at(x, TOP - 6.0, FAINT, word);
    svg + &heads.map(head).concat()
}

fn draw(line: &Line, y: f64) -> String {
    let of = |name: &str| line.ratios.iter().find(|it| it.0 == name).map(|it| it.1);
    let shown = |name: &str| of(name).map_or("-".to_owned(), figure);
    let mut svg = crate::chart::line((12.0, y + ROW / 2.0), (968.0, y + ROW / 2.0), "#eff2f5");
    svg += &text(12.0, y + 4.0, "normal", colour("raw"), &line.name);
    svg += &text_ending_at(LEFT - 8.0, y + 4.0, FAINT, line.base);
    svg += &text_ending_at(806.0, y + 4.0, colour("mainspring"), &shown("mainspring"));
    svg += &text_ending_at(852.0, y + 4.0, colour("mainspring-tasks"), &shown("mainspring-tasks"));
    let others = line.ratios.iter().filter(|(peer, _)| !is_ours(peer) && *peer != "raw");
    if let Some((best, ratio)) = others.min_by(|one, other| one.1.total_cmp(&other.1)) {
        svg += &text_ending_at(968.0, y + 4.0, FAINT, &format!("{best} {}", figure(*ratio)));
    }
    for peer in SHOWN {
        if let Some(ratio) = of(peer) {
            svg += &dot(peer, x_of(ratio), y);
        }
    }
    svg
}

fn x_of(ratio: f64) -> f64 {
    let part = (ratio.clamp(LEAST, GREATEST) / LEAST).ln() / (GREATEST / LEAST).ln();
    LEFT + (RIGHT - LEFT) * part
}

fn dot(peer: &str, x: f64, y: f64) -> String {
    let radius = if is_ours(peer) { 5.5 } else { 4.0 };
    format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\" stroke=\"white\"/>\n",
        colour(peer)
    )
}

#[cfg(test)]
mod tests {
    use super::{LEFT, Line, RIGHT, all_figures, lines, picture, x_of};
    use crate::table::{Base, Column, Headline, RAW, Table};

    type Figures = &'static [(&'static str, f64)];

    fn table(base: Base, headline: Headline, columns: &[Figures]) -> Table {
        let mut table = Table::new("title", "ns", base);
        table.headline = headline;
        for (number, figures) in columns.iter().enumerate() {
            let figures = figures.iter().map(|(peer, it)| (*peer, vec![*it])).collect();
            table.columns.push(Column { name: number.to_string(), figures });
        }
        table
    }

    const TWO: [Figures; 2] =
        [&[("raw", 1.0), ("mainspring", 2.0), ("mio", 3.0)], &[("raw", 1.0), ("mainspring", 8.0)]];

    #[test]
    fn line_is_the_geometric_mean_of_peers_with_all_figures() {
        let whole = table(RAW, Headline::Whole("echo".to_owned()), &TWO);
        let line = lines([whole].iter()).remove(0);
        assert_eq!((line.name.as_str(), line.base), ("echo (mean of 2)", "raw"));
        assert!((line.ratios[1].1 - 4.0).abs() < 1e-9);
        assert_eq!(line.ratios.len(), 2, "mio has no figure in the second column");
    }

    #[test]
    fn best_peer_is_that_of_the_column() {
        let figures: Figures = &[("raw", 1.0), ("mainspring", 2.0), ("mio", 4.0), ("tokio", 8.0)];
        let each = table(Base::Best, Headline::Each("post"), &[figures]);
        let ratios = vec![("raw", 0.25), ("mainspring", 0.5), ("mio", 1.0), ("tokio", 2.0)];
        let line = Line { name: "post: 0".to_owned(), base: "mio", ratios };
        assert_eq!(lines([each].iter()), [line]);
    }

    #[test]
    fn table_has_both_ratios_and_marks_missing_figures() {
        let each = table(Base::Best, Headline::Each("post"), &TWO[..1]);
        let row = all_figures([each].iter()).lines().last().unwrap().to_owned();
        let words = "title, 0 | ns | 1.00 | mio 3.00 | 2.00 | 2.00x | 0.67x | - | - | -";
        assert_eq!(row, format!("| {words} |"));
    }

    #[test]
    fn ratio_beyond_the_scale_is_at_its_end() {
        assert_eq!((x_of(0.01), x_of(1000.0)), (LEFT, RIGHT));
        assert!(picture([table(RAW, Headline::No, &TWO)].iter()).contains("</svg>"));
    }
}
