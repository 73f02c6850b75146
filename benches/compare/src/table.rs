//! A table of one scenario. Rows are peers, columns are sizes; a cell has median, spread and ratio.

use std::fmt;

use crate::figures::{Spread, median};
use crate::peers::peer::Peer;

/// The figures of one peer: for each round as many as its worker prints.
pub type Rounds = Vec<Vec<f64>>;

/// The figures of all peers of a measurement.
pub type Results = Vec<(&'static Peer, Rounds)>;

/// Base of the ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// One of the peers.
    Peer(&'static str),
    /// The best peer of the column, except mainspring and the hand-written loop.
    Best,
    /// The table has no ratios.
    Nothing,
}

/// Ratios to the hand-written loop.
pub const RAW: Base = Base::Peer("raw");

/// The picture of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Bars, as long as the figure.
    Bars,
    /// Bars, as long as the logarithm of the figure, for figures of different magnitudes.
    Magnitudes,
    /// Lines over the sizes. The names of the columns are numbers; the text names their unit.
    Curves(&'static str),
    /// A lane for each fetch, with the times that the columns have. The table has no rows.
    Lanes,
    /// The table has no picture.
    Nothing,
}

/// The part of a table in the summary of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Headline {
    /// One line of this name with the mean: the columns are sizes of the same work.
    Whole(String),
    /// A line for each column. Its name begins with this word.
    Each(&'static str),
    /// The summary does not contain the table.
    No,
}

/// A table. Smaller figures are better.
#[derive(Debug)]
pub struct Table {
    pub title: String,
    pub unit: &'static str,
    pub base: Base,
    pub picture: Picture,
    pub headline: Headline,
    /// True if the table is about some peers only: a note about the others would be wrong.
    pub is_partial: bool,
    pub columns: Vec<Column>,
    notes: Vec<String>,
}

/// The figures of one size.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    /// Peers, with a figure for each round.
    pub figures: Vec<(&'static str, Vec<f64>)>,
}

impl Table {
    pub fn new(title: impl Into<String>, unit: &'static str, base: Base) -> Table {
        Table {
            title: title.into(),
            unit,
            base,
            picture: Picture::Bars,
            headline: Headline::No,
            is_partial: false,
            columns: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A table of costs over sizes, with curves as its picture.
    pub fn curves(title: &str, sizes: &'static str, unit: &'static str, base: Base) -> Table {
        Table { picture: Picture::Curves(sizes), ..Table::new(title, unit, base) }
    }

    /// A table of different quantities. The names of the columns contain the units.
    pub fn magnitudes(title: &str, base: Base) -> Table {
        Table { picture: Picture::Magnitudes, is_partial: true, ..Table::new(title, "", base) }
    }

    /// Adds a column of the figures at `index` in each round.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        results: &[(&'static Peer, Rounds)],
        index: usize,
    ) {
        let pick = |(peer, rounds): &(&'static Peer, Rounds)| {
            (peer.name, rounds.iter().map(|figures| figures[index]).collect())
        };
        self.columns
            .push(Column { name: name.into(), figures: results.iter().map(pick).collect() });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Returns the peers that have a figure, in the order of their first appearance.
    pub fn peers(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, _) in self.columns.iter().flat_map(|column| &column.figures) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    /// Returns the base of the ratios of a column.
    pub fn base_of(&self, column: &Column) -> Option<&'static str> {
        match self.base {
            Base::Peer(peer) => Some(peer),
            Base::Best => column.best(),
            Base::Nothing => None,
        }
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let base = match self.base {
            Base::Peer(peer) => format!("x {peer}"),
            Base::Best => "x the best peer".to_owned(),
            Base::Nothing => String::new(),
        };
        let heading = [self.unit, &base].into_iter().filter(|word| !word.is_empty());
        let mut rows = vec![vec![heading.collect::<Vec<_>>().join(", ")]];
        rows[0].extend(self.columns.iter().map(|column| column.name.clone()));
        for peer in self.peers() {
            let entry = |column: &Column| self.entry(column, peer);
            let entries = self.columns.iter().map(entry);
            rows.push([peer.to_owned()].into_iter().chain(entries).collect());
        }
        rows
    }

    /// Returns median, half the distance of the extremes, and median of the ratios:
    /// `4.91 ±2% 1.03x`.
    fn entry(&self, column: &Column, peer: &str) -> String {
        let Some(figures) = column.figures_of(peer) else { return "-".to_owned() };
        let spread = Spread::of(figures.iter().copied());
        let half = (spread.greatest - spread.least) / 2.0 / spread.median * 100.0;
        let ratio = self.base_of(column).and_then(|base| column.ratio(peer, base));
        let ratio = ratio.map(|ratio| format!(" {}x", figure(ratio))).unwrap_or_default();
        let half = if figures.len() > 1 { format!(" ±{half:.0}%") } else { String::new() };
        format!("{}{half}{ratio}", figure(spread.median))
    }

    pub fn markdown(&self) -> String {
        let rows = if self.picture == Picture::Lanes { Vec::new() } else { self.rows() };
        let mut text = format!("## {}\n\n", self.title);
        for (number, row) in rows.iter().enumerate() {
            text += &format!("| {} |\n", row.join(" | "));
            if number == 0 {
                text += &format!("|---|{}\n", "---:|".repeat(row.len() - 1));
            }
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }
}

/// Formats a figure with at least three digits.
pub fn figure(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => grouped(&format!("{value:.0}")),
    }
}

/// Inserts commas between groups of three digits, if there are five digits or more.
fn grouped(digits: &str) -> String {
    if digits.len() < 5 {
        return digits.to_owned();
    }
    let is_before_three = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    let comma = |at| if is_before_three(at) { "," } else { "" };
    digits.char_indices().map(|(at, digit)| format!("{}{digit}", comma(at))).collect()
}

impl Column {
    pub fn figures_of(&self, peer: &str) -> Option<&[f64]> {
        let found = self.figures.iter().find(|(name, _)| *name == peer);
        found.map(|(_, figures)| &figures[..]).filter(|figures| !figures.is_empty())
    }

    pub fn median_of(&self, peer: &str) -> Option<f64> {
        Some(median(self.figures_of(peer)?.iter().copied()))
    }

    /// Returns the peer with the least median, except mainspring and the hand-written loop.
    pub fn best(&self) -> Option<&'static str> {
        let is_peer = |name: &str| !name.starts_with("mainspring") && name != "raw";
        let others = self.figures.iter().filter(|(name, _)| is_peer(name));
        let others = others.filter_map(|(name, _)| Some((*name, self.median_of(name)?)));
        others.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(name, _)| name)
    }

    /// Returns the widest spread of rounds, as a fraction of their median, and its peer.
    pub fn widest_spread(&self) -> Option<(f64, &'static str)> {
        let apart = |(name, figures): &(&'static str, Vec<f64>)| {
            let spread = Spread::of(self.figures_of(name)?.iter().copied());
            let part = (spread.greatest - spread.least) / spread.median;
            (figures.len() > 1).then_some((part, *name))
        };
        let all = self.figures.iter().filter_map(apart);
        all.max_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// Returns the median of the ratios of the rounds.
    pub fn ratio(&self, peer: &str, base: &str) -> Option<f64> {
        let pairs = self.figures_of(peer)?.iter().zip(self.figures_of(base)?);
        Some(median(pairs.map(|(figure, base)| figure / base)))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        writeln!(f, "{}", self.title)?;
        for row in &rows {
            write!(f, "  {:<w$}", row[0], w = width(0))?;
            for (at, cell) in row.iter().enumerate().skip(1) {
                write!(f, "   {cell:>w$}", w = width(at))?;
            }
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Base, Column, RAW, Table};

    fn table(base: Base, figures: &[(&'static str, &[f64])]) -> Table {
        let mut table = Table::new("title", "ns", base);
        let figures = figures.iter().map(|(peer, figures)| (*peer, figures.to_vec())).collect();
        table.columns.push(Column { name: "column".to_owned(), figures });
        table
    }

    #[test]
    fn ratio_is_the_median_of_the_ratios_of_rounds() {
        let rounds: [&[f64]; 2] = [&[10.0, 20.0, 40.0], &[11.0, 30.0, 44.0]];
        let table = table(RAW, &[("raw", rounds[0]), ("mio", rounds[1])]);
        assert_eq!(table.entry(&table.columns[0], "mio"), "30.0 ±55% 1.10x");
    }

    #[test]
    fn best_peer_excludes_mainspring() {
        let figures: [(_, &[f64]); 3] =
            [("mainspring", &[1.0]), ("mio", &[3.0]), ("tokio", &[2.0])];
        let table = table(Base::Best, &figures);
        assert_eq!(table.entry(&table.columns[0], "mainspring"), "1.00 0.50x");
    }

    #[test]
    fn missing_peer_has_no_figure_and_no_ratio() {
        let table = table(RAW, &[("mio", &[3.0]), ("tokio", &[])]);
        assert_eq!(table.entry(&table.columns[0], "mio"), "3.00");
        assert_eq!(table.entry(&table.columns[0], "tokio"), "-");
    }

    #[test]
    fn widest_spread_is_found() {
        let figures: [(_, &[f64]); 3] =
            [("raw", &[10.0, 10.0]), ("mio", &[9.0, 10.0, 12.0]), ("tokio", &[5.0])];
        assert_eq!(table(RAW, &figures).columns[0].widest_spread(), Some((0.3, "mio")));
        assert_eq!(table(RAW, &figures[2..]).columns[0].widest_spread(), None);
    }

    #[test]
    fn table_without_a_base_has_no_ratios() {
        let table = table(Base::Nothing, &[("raw", &[2.0])]);
        assert_eq!(table.rows(), [["ns", "column"], ["raw", "2.00"]]);
    }

    #[test]
    fn long_figures_have_commas() {
        let figures = [0.5, 9.994, 12.34, 999.6, 9999.0, 10_000.0, 1_234_567.0];
        let shown = ["0.50", "9.99", "12.3", "1000", "9999", "10,000", "1,234,567"];
        assert_eq!(figures.map(super::figure), shown);
    }

    #[test]
    fn markdown_has_a_row_for_each_peer_and_the_notes() {
        let mut table = table(RAW, &[("raw", &[2.0, 2.0]), ("mio", &[3.0, 3.0])]);
        table.note("A note.");
        let lines = [
            "## title",
            "",
            "| ns, x raw | column |",
            "|---|---:|",
            "| raw | 2.00 ±0% 1.00x |",
            "| mio | 3.00 ±0% 1.50x |",
            "",
            "A note.",
            "",
        ];
        assert_eq!(table.markdown(), lines.join("\n"));
    }
}
