//! Tables of text, aligned or in Markdown.

use std::iter;

use super::options::{Effort, Options};

pub struct Table {
    /// Rows of cells, the heading first.
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heading: &[&str]) -> Table {
        Table { rows: vec![heading.iter().map(|word| (*word).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints the table, except in a smoke test.
    pub fn print(&self, options: &Options) {
        if options.effort == Effort::Smoke {
            return;
        }
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            println!("{}", line(row, &widths, options.markdown));
            if number == 0 && options.markdown {
                let rules = widths.iter().map(|width| "-".repeat(*width));
                println!("| {} |", rules.collect::<Vec<_>>().join(" | "));
            }
        }
        println!();
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows[0].len();
        let width = |at: usize| self.rows.iter().map(|row| row[at].len()).max();
        (0..columns).map(|at| width(at).unwrap_or(0)).collect()
    }
}

/// Pads a cell: the first column on the right, figures on the left.
fn line(row: &[String], widths: &[usize], markdown: bool) -> String {
    let first = iter::once(format!("{:<width$}", row[0], width = widths[0]));
    let rest = row.iter().zip(widths).skip(1).map(|(cell, width)| format!("{cell:>width$}"));
    let cells: Vec<String> = first.chain(rest).collect();
    if markdown { format!("| {} |", cells.join(" | ")) } else { cells.join("   ") }
}
