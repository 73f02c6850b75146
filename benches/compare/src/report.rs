//! The files of a run: a page with pictures for each scenario, and an index with the summary.

use std::fs;
use std::io;
use std::path::Path;

use crate::chart;
use crate::curves;
use crate::lanes;
use crate::summary;
use crate::table::{Picture, Table};

/// The results of a scenario.
#[derive(Debug)]
pub struct Page {
    pub name: String,
    pub about: &'static str,
    /// Command line, machine and versions of the run.
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
of the ratios to the peer in the heading, round by round. Smaller is better. Peers take turns
(A B C, A B C ..) with a new process for each peer in each round, so other load on the machine affects
all of them. Figures are CPU time of the thread or of the server's process unless the unit names
something else. `raw` is an epoll loop, hand-written for the one purpose: the floor. `mainspring` uses
callbacks, `mainspring-tasks` futures. The best peer is the best of all others except `raw`.

In the picture each line is one figure, or the geometric mean of the sizes of a scenario; the table
below has all sizes. The base of a ratio is `raw` if it has the scenario, otherwise the best peer.
";

impl Page {
    /// Writes the page, one picture of all bars, and one for each table of curves.
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
            let svg = match table.picture {
                Picture::Curves(sizes) => curves::curves(table, sizes),
                Picture::Lanes => lanes::lanes(table),
                Picture::Bars | Picture::Magnitudes | Picture::Nothing => continue,
            };
            let picture = format!("{name}-{}.svg", slug(&table.title));
            fs::write(out.join(&picture), svg)?;
            text += &format!("\n![{}]({picture})\n", table.title);
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
            "# Results\n\nOne run of [the comparison](../compare). The first line is its command:\n\n\
             ```text\n{preamble}\n```\n\n![all scenarios](summary.svg)\n\n\
             ## How to read it\n\n{HOW_TO_READ}\n## Scenarios\n\n| page | subject |\n|---|---|\n\
             {pages}\n## All figures\n\n{table}"
        )
    }
}

/// Turns a title into a part of a file name.
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

    /// Checks that the page links to `count` pictures, and that they exist.
    fn assert_shown(folder: &Path, page: &str, count: usize) {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        let shown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let shown: Vec<&str> = shown.filter(|it| it.ends_with(".svg")).collect();
        assert_eq!(shown.len(), count, "{page}");
        shown.iter().for_each(|it| assert!(folder.join(it).exists(), "{it}"));
    }

    #[test]
    fn linked_pictures_are_written() {
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
