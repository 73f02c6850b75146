//! What a bench was asked for on its command line.

use std::process;
use std::str::FromStr;

/// How long a bench may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// `cargo test --benches`: whether it runs at all, in silence.
    Smoke,
    /// `cargo bench`.
    Short,
    /// `cargo bench -- --full`: every cell, long rounds.
    Full,
}

/// The options; not every bench heeds all.
#[derive(Debug)]
pub struct Options {
    pub effort: Effort,
    /// Pairs of rounds.
    pub rounds: usize,
    /// How long a round is to take.
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
    /// Ends the process where a word is not understood. Words without dashes are cargo's filters
    /// for tests.
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
        let (usual_rounds, usual_seconds) = match effort {
            Effort::Smoke => (1, 0.002),
            Effort::Short => (5, 0.2),
            Effort::Full => (7, 0.7),
        };
        let rounds = rounds.unwrap_or(usual_rounds);
        let seconds = seconds.unwrap_or(usual_seconds);
        Options { effort, rounds, seconds, cells, markdown, count, instructions }
    }

    /// The cells that were asked for, or else those for the effort.
    pub fn cells(
        &self,
        smoke: &[&[usize]],
        short: &[&[usize]],
        full: &[&[usize]],
    ) -> Vec<Vec<usize>> {
        if let Some(cells) = &self.cells {
            return cells.clone();
        }
        let usual = match self.effort {
            Effort::Smoke => smoke,
            Effort::Short => short,
            Effort::Full => full,
        };
        usual.iter().map(|cell| cell.to_vec()).collect()
    }

    /// Says what is being done, on standard error.
    pub fn progress(&self, what: &str) {
        if self.effort != Effort::Smoke {
            eprintln!("  {what}");
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
