//! The command line of a bench.

use std::process;
use std::str::FromStr;

/// Duration of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// `cargo test --benches`: one iteration without output.
    Smoke,
    /// `cargo bench`.
    Short,
    /// `cargo bench -- --full`: all cells, long rounds.
    Full,
}

/// The options. A bench ignores those that do not apply to it.
#[derive(Debug)]
pub struct Options {
    pub effort: Effort,
    /// Number of pairs of rounds.
    pub rounds: usize,
    /// Length of a round.
    pub seconds: f64,
    pub cells: Option<Vec<Vec<usize>>>,
    pub markdown: bool,
    /// Count system calls instead of time.
    pub count: bool,
    /// Count instructions instead of time.
    pub instructions: bool,
}

const USAGE: &str = "options:
  --full           every cell, and rounds of 0.7 s
  --rounds N       pairs of rounds, default 5
  --seconds S      the length of a round
  --cells AxB,...  only these cells, named as in the table
  --markdown       print tables in Markdown
  --count          echo: count system calls, with strace
  --instructions   dispatch, pipes, echo: count instructions in user space, with valgrind";

impl Options {
    /// Parses the command line. On an unknown option it prints the usage and exits. Words without
    /// dashes are filters for tests, which cargo passes on.
    pub fn parse(words: Vec<String>) -> Options {
        let (mut effort, mut seconds) = (Effort::Smoke, None);
        let (mut rounds, mut cells) = (None, None);
        let (mut markdown, mut count, mut instructions) = (false, false, false);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" if effort == Effort::Smoke => effort = Effort::Short,
                "--bench" => {}
                "--full" => effort = Effort::Full,
                "--rounds" => rounds = Some(value(words.next())),
                "--seconds" => seconds = Some(value(words.next())),
                "--cells" => cells = Some(parse_cells(&value::<String>(words.next()))),
                "--markdown" => markdown = true,
                "--count" => count = true,
                "--instructions" => instructions = true,
                word if word.starts_with('-') => refuse(),
                _ => {}
            }
        }
        let (default_rounds, default_seconds) = match effort {
            Effort::Smoke => (1, 0.002),
            Effort::Short => (5, 0.2),
            Effort::Full => (7, 0.7),
        };
        let rounds = rounds.unwrap_or(default_rounds);
        let seconds = seconds.unwrap_or(default_seconds);
        Options { effort, rounds, seconds, cells, markdown, count, instructions }
    }

    /// Returns the requested cells, or those of the effort.
    pub fn cells(
        &self,
        smoke: &[&[usize]],
        short: &[&[usize]],
        full: &[&[usize]],
    ) -> Vec<Vec<usize>> {
        if let Some(cells) = &self.cells {
            return cells.clone();
        }
        let default = match self.effort {
            Effort::Smoke => smoke,
            Effort::Short => short,
            Effort::Full => full,
        };
        default.iter().map(|cell| cell.to_vec()).collect()
    }

    /// Prints the current step on standard error.
    pub fn progress(&self, step: &str) {
        if self.effort != Effort::Smoke {
            eprintln!("  {step}");
        }
    }
}

fn parse_cells(text: &str) -> Vec<Vec<usize>> {
    let numbers = |cell: &str| cell.split('x').map(|it| value(Some(it.to_owned()))).collect();
    text.split(',').map(numbers).collect()
}

fn value<T: FromStr>(word: Option<String>) -> T {
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| refuse())
}

fn refuse() -> ! {
    eprintln!("{USAGE}");
    process::exit(2)
}
