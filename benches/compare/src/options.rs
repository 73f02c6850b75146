//! What the contest was asked for on its command line.

use std::path::PathBuf;
use std::process;
use std::str::FromStr;

use crate::peers;
use crate::scenarios::SCENARIOS;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Few cells and small amounts, to see that all is well.
    Quick,
    /// All cells, with short rounds.
    Normal,
    /// What is published.
    Full,
}

/// The options; not every scenario heeds all.
#[derive(Debug)]
pub struct Options {
    pub scenarios: Vec<String>,
    pub peers: Vec<String>,
    pub size: Size,
    pub rounds: usize,
    /// How long a round of one peer is to take, where the scenario does not fix the work.
    pub seconds: f64,
    pub cells: Option<Vec<Vec<usize>>>,
    /// The folder for what is written.
    pub out: PathBuf,
}

impl Options {
    /// Ends the process where a word is not understood.
    pub fn parse(words: Vec<String>) -> Options {
        let (mut rounds, mut seconds) = (None, None);
        let mut options = Options::usual();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--peers" => options.peers = names(words.next(), peers::is_known),
                "--size" => options.size = size_of(&value::<String>(words.next())),
                "--rounds" => rounds = Some(value::<usize>(words.next()).max(1)),
                "--seconds" => seconds = Some(value(words.next())),
                "--cells" => options.cells = Some(cells_of(&value::<String>(words.next()))),
                "--out" => options.out = value(words.next()),
                word if is_scenario(word) => options.scenarios.push(word.to_owned()),
                "--help" => usage(0),
                word => refuse(word),
            }
        }
        let usual = match options.size {
            Size::Quick => (1, 0.03),
            Size::Normal => (3, 0.1),
            Size::Full => (5, 0.2),
        };
        options.rounds = rounds.unwrap_or(usual.0);
        options.seconds = seconds.unwrap_or(usual.1);
        options
    }

    /// What holds if nothing is asked for.
    pub fn usual() -> Options {
        Options {
            scenarios: Vec::new(),
            peers: Vec::new(),
            size: Size::Normal,
            rounds: 3,
            seconds: 0.1,
            cells: None,
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../results")),
        }
    }

    /// The cells that were asked for, or else those of the size of the run.
    pub fn cells(&self, few: &[&[usize]], all: &[&[usize]]) -> Vec<Vec<usize>> {
        let usual = if self.size == Size::Quick { few } else { all };
        let usual = || usual.iter().map(|cell| cell.to_vec()).collect();
        self.cells.clone().unwrap_or_else(usual)
    }

    /// The one number that was asked for as a cell, or else a fixed amount of work.
    pub fn amount(&self, usual: u64) -> u64 {
        let asked = self.cells.as_ref().and_then(|cells| cells.first()?.first().copied());
        asked.map_or(self.scaled(usual), |amount| amount as u64)
    }

    /// A fixed amount of work, or a tenth of it in a quick run.
    pub fn scaled(&self, usual: u64) -> u64 {
        if self.size == Size::Quick { usual / 10 } else { usual }
    }

    /// The command line that asks for the same again; `--out` makes no difference to the figures.
    pub fn command(&self) -> String {
        let mut words = vec!["cargo run --release -p compare --".to_owned()];
        words.extend(self.scenarios.iter().cloned());
        let size = match self.size {
            Size::Quick => "quick",
            Size::Normal => "normal",
            Size::Full => "full",
        };
        words.push(format!("--size {size} --rounds {} --seconds {}", self.rounds, self.seconds));
        if !self.peers.is_empty() {
            words.push(format!("--peers {}", self.peers.join(",")));
        }
        if let Some(cells) = &self.cells {
            let cells: Vec<String> = cells.iter().map(|cell| joined(cell)).collect();
            words.push(format!("--cells {}", cells.join(",")));
        }
        words.join(" ")
    }
}

/// The name of a cell: its sizes with an `x` between them.
pub fn joined(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn is_scenario(word: &str) -> bool {
    SCENARIOS.iter().any(|scenario| scenario.name == word)
}

fn names(word: Option<String>, is_known: fn(&str) -> bool) -> Vec<String> {
    let names: Vec<String> = value::<String>(word).split(',').map(str::to_owned).collect();
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        refuse(unknown);
    }
    names
}

fn size_of(word: &str) -> Size {
    match word {
        "quick" => Size::Quick,
        "normal" => Size::Normal,
        "full" => Size::Full,
        _ => refuse(word),
    }
}

fn cells_of(text: &str) -> Vec<Vec<usize>> {
    let numbers = |cell: &str| cell.split('x').map(|it| value(Some(it.to_owned()))).collect();
    text.split(',').map(numbers).collect()
}

fn value<T: FromStr>(word: Option<String>) -> T {
    let word = word.unwrap_or_default();
    word.parse().unwrap_or_else(|_| refuse(&word))
}

fn refuse(word: &str) -> ! {
    eprintln!("compare: not understood: {word:?}\n");
    usage(2)
}

fn usage(status: i32) -> ! {
    eprintln!(
        "usage: compare [SCENARIO ..] [OPTION ..]\n\nscenarios, all of them if none is named:"
    );
    for scenario in SCENARIOS {
        eprintln!("  {:<12} {}", scenario.name, scenario.about);
    }
    eprintln!(
        "
options:
  --size SIZE      quick (three minutes: few cells, to see that all is well), normal (the default:
                   all cells, 3 rounds of 0.1 s), full (what is published:
                   5 rounds of 0.2 s, half an hour)
  --peers A,B,..   only these: {}
  --rounds N       rounds, each of which has all peers in turn
  --seconds S      how long one peer works in a round, where that is free
  --cells AxB,..   only these sizes, named as in the table; for one scenario
  --out DIR        where tables and charts are written; default benches/results. The index and
                   the summary are written by a run of all scenarios",
        peers::ALL.iter().map(|peer| peer.name).collect::<Vec<_>>().join(",")
    );
    process::exit(status)
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(words: &str) -> Options {
        Options::parse(words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn a_size_gives_rounds_unless_they_are_asked_for() {
        let full = parse("--size full");
        assert_eq!((full.rounds, full.seconds), (5, 0.2));
        let asked = parse("--rounds 7 --size full");
        assert_eq!((asked.rounds, asked.seconds), (7, 0.2));
    }

    #[test]
    fn a_quick_run_has_fewer_cells_and_less_work() {
        let (few, all): ([&[usize]; 1], [&[usize]; 2]) = ([&[1]], [&[1], &[2]]);
        assert_eq!(parse("--size quick").cells(&few, &all).len(), 1);
        assert_eq!(parse("").cells(&few, &all).len(), 2);
        assert_eq!(parse("--size quick --cells 3x4").cells(&few, &all), [[3, 4]]);
        assert_eq!(parse("--size quick").amount(1000), 100);
        assert_eq!(parse("--size quick --cells 7").amount(1000), 7);
    }

    #[test]
    fn the_command_asks_for_the_same_again() {
        let words = "echo --size quick --rounds 2 --seconds 0.5 --peers raw,mio --cells 64x1,64x50";
        let command = parse(words).command();
        assert_eq!(command, format!("cargo run --release -p compare -- {words}"));
    }
}
