//! What a run writes: a page and pictures for each scenario, and for a run of all scenarios an index
//! with the summary.

use std::fs;
use std::io;
use std::path::Path;

use crate::chart;
use crate::curves;
use crate::summary;
use crate::table::{Picture, Table};

/// What a scenario has given.
#[derive(Debug)]
pub struct Page {
    pub name: String,
    pub about: &'static str,
    /// The facts of the run.
    pub preamble: String,
    pub tables: Vec<Table>,
}

/// All pages of a run.
#[derive(Debug, Default)]
pub struct Report {
    pub pages: Vec<Page>,
}

const HOW_TO_READ: &str = "\
`4.91 ±2% 1.03x` is the median of the rounds, half the distance between the extremes, and the median
of the ratios of the rounds to the peer that the heading names. Small is good. Rounds go in turn
(A B C, A B C ..), and each peer has a new process in each round, so what the machine does meanwhile
falls upon all. Figures are CPU time of the thread or of the server's process unless the unit says
otherwise. `raw` is an epoll loop written by hand for the one purpose: the floor. `mainspring` has
callbacks, `mainspring-tasks` futures. The best peer is the best of all others but `raw`.

In the picture a line is a figure, or the geometric mean of a scenario's cells; all cells are in the
table below. It shows ratios to `raw` where that has the scenario, and else to the best peer.
";

impl Page {
    /// Writes the page, one picture of all its bars, and one for each growth.
    pub fn write(&self, out: &Path) -> io::Result<()> {
        fs::create_dir_all(out)?;
        let Page { name, about, preamble, tables } = self;
        let mut text = format!("# {name}\n\n{about}\n\n```text\n{preamble}\n```\n");
        if let Some(svg) = chart::bars(tables) {
            fs::write(out.join(format!("{name}.svg")), svg)?;
            text += &format!("\n![{about}]({name}.svg)\n");
        }
        for table in tables {
            text += &format!("\n{}", table.markdown());
            if let Picture::Curves(sizes) = table.picture {
                let picture = format!("{name}-{}.svg", slug(&table.title));
                fs::write(out.join(&picture), curves::curves(table, sizes))?;
                text += &format!("\n![{}]({picture})\n", table.title);
            }
        }
        fs::write(out.join(format!("{name}.md")), text)
    }
}

impl Report {
    /// Writes the index and the summary.
    pub fn write(&self, preamble: &str, out: &Path) -> io::Result<()> {
        let tables = || self.pages.iter().flat_map(|page| &page.tables);
        fs::write(out.join("summary.svg"), summary::picture(tables()))?;
        fs::write(out.join("README.md"), self.index(preamble, &summary::all_figures(tables())))
    }

    fn index(&self, preamble: &str, table: &str) -> String {
        let page = |page: &Page| format!("| [{0}]({0}.md) | {1} |\n", page.name, page.about);
        let pages: String = self.pages.iter().map(page).collect();
        format!(
            "# Results of the comparison\n\nOne run of [the comparison](../compare), as its first line \
             says:\n\n```text\n{preamble}\n```\n\n![all scenarios](summary.svg)\n\n\
             ## How to read it\n\n{HOW_TO_READ}\n## Scenarios\n\n| page | what |\n|---|---|\n\
             {pages}\n## All figures\n\n{table}"
        )
    }
}

/// A title as a part of a file's name.
fn slug(title: &str) -> String {
    let words = title.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs, process};

    use super::{Page, Report, slug};
    use crate::table::{Column, Headline, RAW, Table};

    fn page() -> Page {
        let figures = vec![("raw", vec![1.0]), ("mainspring", vec![1.5])];
        let mut bars = Table::new("Bars", "ns", RAW);
        bars.headline = Headline::Each("bars");
        bars.columns.push(Column { name: "10".to_owned(), figures: figures.clone() });
        let mut curves = Table::curves("Timers: insert + run", "timers", "ns", RAW);
        curves.columns.push(Column { name: "10".to_owned(), figures });
        let (name, preamble) = ("work".to_owned(), "facts".to_owned());
        Page { name, about: "some work", preamble, tables: vec![bars, curves] }
    }

    /// All pictures that a page shows are there.
    fn assert_shown(folder: &Path, page: &str, count: usize) {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        let shown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let shown: Vec<&str> = shown.filter(|it| it.ends_with(".svg")).collect();
        assert_eq!(shown.len(), count, "{page}");
        shown.iter().for_each(|it| assert!(folder.join(it).exists(), "{it}"));
    }

    #[test]
    fn what_a_page_shows_is_written() {
        let folder = env::temp_dir().join(format!("compare-report-{}", process::id()));
        let report = Report { pages: vec![page()] };
        report.pages[0].write(&folder).unwrap();
        report.write("facts", &folder).unwrap();
        assert_shown(&folder, "work.md", 2);
        assert_shown(&folder, "README.md", 1);
        let index = fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(index.contains("[work](work.md)") && index.contains("| Bars, 10 | ns | 1.00 |"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_slug_has_no_spaces() {
        assert_eq!(slug("Timers: insert + run"), "timers-insert-run");
    }
}
