//! What the contest was asked for on its command line.

use std::path::PathBuf;
use std::process;
use std::str::FromStr;

use crate::peers;
use crate::scenarios::SCENARIOS;

/// The options; not every scenario heeds all.
#[derive(Debug)]
pub struct Options {
    pub scenarios: Vec<String>,
    pub peers: Vec<String>,
    pub rounds: usize,
    /// How long a round of one peer is to take, where the scenario does not fix the work.
    pub seconds: f64,
    pub cells: Option<Vec<Vec<usize>>>,
    /// Count instructions instead of time.
    pub instructions: bool,
    /// The folder for what is written.
    pub out: PathBuf,
}

impl Options {
    /// Ends the process where a word is not understood.
    pub fn parse(words: Vec<String>) -> Options {
        let (rounds, seconds, cells) = (5, 0.3, None);
        let out = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results"));
        let (scenarios, peers) = (Vec::new(), Vec::new());
        let instructions = false;
        let mut options = Options { scenarios, peers, rounds, seconds, cells, instructions, out };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--peers" => options.peers = names(words.next(), peers::is_known),
                "--rounds" => options.rounds = value::<usize>(words.next()).max(1),
                "--seconds" => options.seconds = value(words.next()),
                "--cells" => options.cells = Some(cells_of(&value::<String>(words.next()))),
                "--instructions" => options.instructions = true,
                "--out" => options.out = value(words.next()),
                word if is_scenario(word) => options.scenarios.push(word.to_owned()),
                "--help" => usage(0),
                word => refuse(word),
            }
        }
        options
    }

    /// The cells that were asked for, or else the usual ones.
    pub fn cells(&self, usual: &[&[usize]]) -> Vec<Vec<usize>> {
        let usual = || usual.iter().map(|cell| cell.to_vec()).collect();
        self.cells.clone().unwrap_or_else(usual)
    }
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
  --peers A,B,..   only these: {}
  --rounds N       rounds, each of which has all peers in turn; default 5
  --seconds S      how long one peer works in a round, where that is free; default 0.3
  --cells AxB,..   only these sizes, named as in the table; for one scenario
  --instructions   count instructions in user space, with valgrind, in: tasks (time), timers
                   (re-arm), soon, dispatch, pipes
  --out DIR        where tables and charts are written; default benches/compare/results",
        peers::ALL.iter().map(|peer| peer.name).collect::<Vec<_>>().join(",")
    );
    process::exit(status)
}
