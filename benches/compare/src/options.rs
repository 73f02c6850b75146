//! The command line.

use std::path::PathBuf;
use std::process;
use std::str::FromStr;

/// Names that the command line accepts.
#[derive(Debug)]
pub struct Choices {
    /// Names and descriptions.
    pub scenarios: Vec<(&'static str, &'static str)>,
    pub peers: Vec<&'static str>,
}

/// Size of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Few cells and small amounts: shows that everything works.
    Quick,
    /// All cells, with short rounds.
    Normal,
    /// All cells, with long rounds. The published results have this size.
    Full,
}

/// The options of a run. A scenario ignores those that do not apply to it.
#[derive(Debug)]
pub struct Options {
    /// Requested scenarios; empty for all.
    pub scenarios: Vec<String>,
    /// Requested peers; empty for all.
    peers: Vec<String>,
    pub size: Size,
    pub rounds: usize,
    /// Length of a round of one peer, for scenarios without a fixed amount of work.
    pub seconds: f64,
    /// Requested sizes; `None` for those of the scenario.
    cells: Option<Vec<Vec<usize>>>,
    /// Folder of the pages and charts.
    pub out: PathBuf,
}

/// The reason why the command line gives no options.
#[derive(Debug)]
enum Refusal {
    Help,
    Invalid(String),
}

impl Options {
    /// Parses the command line. If it is not valid, prints the usage and exits.
    pub fn parse(words: Vec<String>, choices: &Choices) -> Options {
        match Options::try_parse(words, choices) {
            Ok(options) => options,
            Err(Refusal::Help) => usage(choices, 0),
            Err(Refusal::Invalid(word)) => {
                eprintln!("compare: invalid argument: {word:?}\n");
                usage(choices, 2)
            }
        }
    }

    fn try_parse(words: Vec<String>, choices: &Choices) -> Result<Options, Refusal> {
        let (mut rounds, mut seconds) = (None, None);
        let mut options = Options::default();
        let is_scenario = |word: &str| choices.scenarios.iter().any(|it| it.0 == word);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--peers" => options.peers = names(words.next(), &choices.peers)?,
                "--size" => options.size = size_of(&value::<String>(words.next())?)?,
                "--rounds" => rounds = Some(value::<usize>(words.next())?.max(1)),
                "--seconds" => seconds = Some(value(words.next())?),
                "--cells" => options.cells = Some(cells_of(&value::<String>(words.next())?)?),
                "--out" => options.out = value(words.next())?,
                word if is_scenario(word) => options.scenarios.push(word.to_owned()),
                "--help" => return Err(Refusal::Help),
                word => return Err(Refusal::Invalid(word.to_owned())),
            }
        }
        let (default_rounds, default_seconds) = match options.size {
            Size::Quick => (1, 0.03),
            Size::Normal => (3, 0.1),
            Size::Full => (5, 0.2),
        };
        options.rounds = rounds.unwrap_or(default_rounds);
        options.seconds = seconds.unwrap_or(default_seconds);
        Ok(options)
    }

    pub fn includes_scenario(&self, name: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|it| it == name)
    }

    pub fn includes_peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|it| it == name)
    }

    /// Returns the requested cells. Without a request these are `few` in a quick run, else `all`.
    pub fn cells(&self, few: &[&[usize]], all: &[&[usize]]) -> Vec<Vec<usize>> {
        let default = if self.size == Size::Quick { few } else { all };
        let default = || default.iter().map(|cell| cell.to_vec()).collect();
        self.cells.clone().unwrap_or_else(default)
    }

    /// Returns the first number of the requested cells. Without a request it is `default`, scaled.
    pub fn amount(&self, default: u64) -> u64 {
        let requested = self.cells.as_ref().and_then(|cells| cells.first()?.first().copied());
        requested.map_or(self.scaled(default), |amount| amount as u64)
    }

    /// Returns the amount, or a tenth of it in a quick run.
    pub fn scaled(&self, amount: u64) -> u64 {
        if self.size == Size::Quick { amount / 10 } else { amount }
    }

    /// Returns a command line that repeats the run, without `--out`.
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

impl Default for Options {
    fn default() -> Options {
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
}

/// Returns the name of a cell: its sizes with an `x` between them.
pub fn joined(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn names(word: Option<String>, valid: &[&str]) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = value::<String>(word)?.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !valid.contains(&name.as_str())) {
        Some(name) => Err(Refusal::Invalid(name.clone())),
        None => Ok(names),
    }
}

fn size_of(word: &str) -> Result<Size, Refusal> {
    match word {
        "quick" => Ok(Size::Quick),
        "normal" => Ok(Size::Normal),
        "full" => Ok(Size::Full),
        _ => Err(Refusal::Invalid(word.to_owned())),
    }
}

fn cells_of(text: &str) -> Result<Vec<Vec<usize>>, Refusal> {
    let numbers = |cell: &str| cell.split('x').map(|it| value(Some(it.to_owned()))).collect();
    text.split(',').map(numbers).collect()
}

fn value<T: FromStr>(word: Option<String>) -> Result<T, Refusal> {
    let word = word.unwrap_or_default();
    word.parse().map_err(|_| Refusal::Invalid(word))
}

fn usage(choices: &Choices, status: i32) -> ! {
    eprintln!("usage: compare [SCENARIO ..] [OPTION ..]\n\nscenarios (default: all):");
    for (name, about) in &choices.scenarios {
        eprintln!("  {name:<12} {about}");
    }
    eprintln!(
        "
options:
  --size SIZE      quick (three minutes; few cells, shows that everything works),
                   normal (default; all cells, 3 rounds of 0.1 s),
                   full (the published size; 5 rounds of 0.2 s, half an hour)
  --peers A,B,..   only these peers: {}
  --rounds N       number of rounds; all peers take their turn in each round
  --seconds S      length of a round of one peer, for scenarios without a fixed amount of work
  --cells AxB,..   only these sizes, named as in the table; for one scenario
  --out DIR        folder of the tables and charts, by default benches/results. Only a run of all
                   scenarios writes the index and the summary",
        choices.peers.join(",")
    );
    process::exit(status)
}

#[cfg(test)]
mod tests {
    use super::{Choices, Options};

    fn parse(words: &str) -> Options {
        let choices = Choices { scenarios: vec![("echo", "")], peers: vec!["raw", "mio"] };
        Options::try_parse(words.split_whitespace().map(str::to_owned).collect(), &choices).unwrap()
    }

    #[test]
    fn size_sets_rounds_and_seconds_unless_requested() {
        let full = parse("--size full");
        assert_eq!((full.rounds, full.seconds), (5, 0.2));
        let requested = parse("--rounds 7 --size full");
        assert_eq!((requested.rounds, requested.seconds), (7, 0.2));
    }

    #[test]
    fn quick_run_has_fewer_cells_and_less_work() {
        let (few, all): ([&[usize]; 1], [&[usize]; 2]) = ([&[1]], [&[1], &[2]]);
        assert_eq!(parse("--size quick").cells(&few, &all).len(), 1);
        assert_eq!(parse("").cells(&few, &all).len(), 2);
        assert_eq!(parse("--size quick --cells 3x4").cells(&few, &all), [[3, 4]]);
        assert_eq!(parse("--size quick").amount(1000), 100);
        assert_eq!(parse("--size quick --cells 7").amount(1000), 7);
    }

    #[test]
    fn command_repeats_the_run() {
        let words = "echo --size quick --rounds 2 --seconds 0.5 --peers raw,mio --cells 64x1,64x50";
        let command = parse(words).command();
        assert_eq!(command, format!("cargo run --release -p compare -- {words}"));
    }

    #[test]
    fn unknown_names_are_refused() {
        let choices = Choices { scenarios: vec![], peers: vec!["raw"] };
        for words in [["--peers", "raw,nowhere"], ["--size", "huge"], ["--rounds", "x"]] {
            let words = words.map(str::to_owned).to_vec();
            assert!(Options::try_parse(words, &choices).is_err());
        }
    }
}
