//! A table of one scenario: peers as rows, figures as columns, each with its spread and its ratio.

use std::fmt;

use crate::chart;
use crate::contest::Rounds;
use crate::curves;
use crate::figures::{Spread, median};
use crate::peers::Peer;

/// What the ratios are to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// One of the peers.
    To(&'static str),
    /// Whichever peer is best in the column, mainspring aside.
    Best,
}

/// The hand-written loop.
pub const RAW: Base = Base::To("raw");

/// The table; small figures are better.
#[derive(Debug)]
pub struct Sheet {
    pub title: String,
    pub unit: &'static str,
    base: Base,
    /// What the names of the columns count, where they are the sizes of a growth.
    pub sizes: Option<&'static str>,
    pub columns: Vec<Column>,
    notes: Vec<String>,
}

/// What one scenario gives at one size.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    /// By peer, a figure for each round.
    pub figures: Vec<(&'static str, Vec<f64>)>,
}

impl Sheet {
    pub fn new(title: impl Into<String>, unit: &'static str, base: Base) -> Sheet {
        let (columns, notes) = (Vec::new(), Vec::new());
        Sheet { title: title.into(), unit, base, sizes: None, columns, notes }
    }

    /// A table of a growth: the columns are sizes.
    pub fn curves(title: &str, sizes: &'static str, unit: &'static str, base: Base) -> Sheet {
        Sheet { sizes: Some(sizes), ..Sheet::new(title, unit, base) }
    }

    /// Adds a column of a race: the figures at `index` of what the workers gave.
    pub fn add(&mut self, name: impl Into<String>, race: &[(&'static Peer, Rounds)], index: usize) {
        let pick = |(peer, rounds): &(&'static Peer, Rounds)| {
            (peer.name, rounds.iter().map(|figures| figures[index]).collect())
        };
        self.columns.push(Column { name: name.into(), figures: race.iter().map(pick).collect() });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The peers that have a figure, in the order in which they were first met.
    pub fn peers(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, _) in self.columns.iter().flat_map(|column| &column.figures) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    /// The peer that the ratios of a column are to.
    fn base_of(&self, column: &Column) -> Option<&'static str> {
        let others = column.figures.iter().filter(|(name, _)| !name.starts_with("mainspring"));
        let best = others.min_by(|one, other| of(&one.1).total_cmp(&of(&other.1)));
        match self.base {
            Base::To(peer) => Some(peer),
            Base::Best => best.map(|(name, _)| *name),
        }
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let base = match self.base {
            Base::To(peer) => format!("x {peer}"),
            Base::Best => "x the best peer".to_owned(),
        };
        let mut rows = vec![vec![format!("{}, {base}", self.unit)]];
        rows[0].extend(self.columns.iter().map(|column| column.name.clone()));
        for peer in self.peers() {
            let entry = |column: &Column| self.entry(column, peer);
            let entries = self.columns.iter().map(entry);
            rows.push([peer.to_owned()].into_iter().chain(entries).collect());
        }
        rows
    }

    /// `4.91 ±2% 1.03x`: the median, half the distance of the extremes, the median of the ratios.
    fn entry(&self, column: &Column, peer: &str) -> String {
        let Some(figures) = column.figures_of(peer) else { return "-".to_owned() };
        let spread = Spread::of(figures.iter().copied());
        let half = (spread.greatest - spread.least) / 2.0 / spread.median * 100.0;
        let base = self.base_of(column).and_then(|base| column.figures_of(base));
        let Some(base) = base else { return format!("{} ±{half:.0}%", figure(spread.median)) };
        let ratio = median(figures.iter().zip(base).map(|(figure, base)| figure / base));
        format!("{} ±{half:.0}% {ratio:.2}x", figure(spread.median))
    }

    pub fn markdown(&self) -> String {
        let rows = self.rows();
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

    pub fn chart(&self) -> String {
        match self.sizes {
            None => chart::bars(self),
            Some(sizes) => curves::curves(self, sizes),
        }
    }
}

/// A figure with three digits or more.
pub fn figure(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

impl Column {
    pub fn figures_of(&self, peer: &str) -> Option<&[f64]> {
        let found = self.figures.iter().find(|(name, _)| *name == peer);
        found.map(|(_, figures)| &figures[..]).filter(|figures| !figures.is_empty())
    }
}

/// The median, and the end of the list for nobody.
fn of(figures: &[f64]) -> f64 {
    if figures.is_empty() { f64::INFINITY } else { median(figures.iter().copied()) }
}

impl fmt::Display for Sheet {
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
    use super::{Base, Column, RAW, Sheet};

    fn sheet(base: Base, figures: &[(&'static str, &[f64])]) -> Sheet {
        let mut sheet = Sheet::new("title", "ns", base);
        let figures = figures.iter().map(|(peer, figures)| (*peer, figures.to_vec())).collect();
        sheet.columns.push(Column { name: "column".to_owned(), figures });
        sheet
    }

    #[test]
    fn ratios_are_those_of_rounds_and_not_of_medians() {
        let rounds: [&[f64]; 2] = [&[10.0, 20.0, 40.0], &[11.0, 30.0, 44.0]];
        let sheet = sheet(RAW, &[("raw", rounds[0]), ("mio", rounds[1])]);
        assert_eq!(sheet.entry(&sheet.columns[0], "mio"), "30.0 ±55% 1.10x");
    }

    #[test]
    fn mainspring_is_no_peer_of_itself() {
        let figures: [(_, &[f64]); 3] =
            [("mainspring", &[1.0]), ("mio", &[3.0]), ("tokio", &[2.0])];
        let sheet = sheet(Base::Best, &figures);
        assert_eq!(sheet.entry(&sheet.columns[0], "mainspring"), "1.00 ±0% 0.50x");
    }

    #[test]
    fn who_is_missing_has_no_figure_and_no_ratio() {
        let sheet = sheet(RAW, &[("mio", &[3.0]), ("tokio", &[])]);
        assert_eq!(sheet.entry(&sheet.columns[0], "mio"), "3.00 ±0%");
        assert_eq!(sheet.entry(&sheet.columns[0], "tokio"), "-");
    }
}
