//! Five fetches at once, on one thread.
//!
//! ```text
//! cargo run --release --example tour [-- [--tasks] [--svg FILE] [--perfetto FILE] [URL ...]]
//! ```
//!
//! Without URLs it starts five local servers with different latencies, on the same loop, and
//! fetches from all of them at once. It prints each step with its time, then one lane of the loop's
//! tape for each fetch, and the total time of the same fetches one after the other. With `http://`
//! URLs it fetches those. The files contain the lanes as a picture, and the whole tape as a trace
//! for <https://ui.perfetto.dev>.
//!
//! The fetches are callbacks (`fetch`), or tasks with `--tasks` (`tasks`).

use std::env;
use std::fs::{self, File};
use std::io::BufWriter;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mainspring::{Error, EventLoop, LoopHandle, Recorder, Result, Tape};

mod fetch;
mod origin;
mod tasks;

use fetch::Url;
use origin::Latency;

/// State of the loop, shared by the callbacks of all fetches.
struct Tour {
    start: Instant,
    /// Lanes of completed fetches.
    completed: Vec<usize>,
    bytes: usize,
}

impl Tour {
    /// Prints a step of a fetch.
    fn step(&self, el: &LoopHandle<Tour>, lane: usize, what: &str) {
        let at = el.now().duration_since(self.start);
        println!("T={:<7} {}: {what}", format!("{}ms:", at.as_millis()), name(lane));
    }

    fn completed(&mut self, el: &LoopHandle<Tour>, lane: usize, bytes: usize) {
        self.step(el, lane, &format!("RESUMES, {bytes} bytes of body, done"));
        self.completed.push(lane);
        self.bytes += bytes;
    }

    fn failed(&mut self, el: &LoopHandle<Tour>, lane: usize, error: &Error) {
        self.step(el, lane, &format!("failed: {}", error.chain()));
    }
}

/// Returns the name of a fetch, in the printed steps and on the tape.
fn name(lane: usize) -> String {
    format!("URL{}", lane + 1)
}

/// The command line.
#[derive(Default)]
struct Options {
    tasks: bool,
    svg: Option<String>,
    perfetto: Option<String>,
    urls: Vec<Url>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options::default();
        while let Some(word) = words.next() {
            match &*word {
                "--tasks" => options.tasks = true,
                "--svg" => options.svg = Some(words.next().ok_or_else(missing)?),
                "--perfetto" => options.perfetto = Some(words.next().ok_or_else(missing)?),
                url => options.urls.push(Url::parse(url)?),
            }
        }
        Ok(options)
    }
}

fn missing() -> Error {
    Error::other("the name of the file is missing")
}

fn main() -> ExitCode {
    match Options::parse(env::args().skip(1)).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tour: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

/// Returns true if every fetch was completed.
fn run(options: Options) -> Result<bool> {
    let start = Instant::now();
    let tour = Tour { start, completed: Vec::new(), bytes: 0 };
    let mut el = EventLoop::builder().record(Recorder::ring(10_000)).build_with(tour)?;
    let urls = if options.urls.is_empty() { local_origins(&el)? } else { options.urls };
    let count = urls.len();

    if options.tasks {
        let fetches = tasks::fetch_all(el.handle().clone(), urls);
        el.run_until_complete(fetches)??;
    } else {
        el.call_soon(move |el, tour| {
            for (lane, url) in urls.into_iter().enumerate() {
                fetch::start(el, tour, lane, url);
            }
        });
        el.run()?; // until nothing more can arrive
    }
    let total = start.elapsed();
    let tape = el.tape().ok_or_else(|| Error::other("the loop does not record"))?;
    if let Some(path) = options.perfetto {
        tape.perfetto(BufWriter::new(File::create(path)?))?;
    }
    let lanes = tape.filter(|turn| turn.place.starts_with("URL"));
    if let Some(path) = options.svg {
        fs::write(path, lanes.svg())?;
    }
    print(el.state(), &lanes, total);
    Ok(el.state().completed.len() == count)
}

/// Delays before the headers and before the body, in milliseconds.
const LATENCIES: [(u64, u64); 5] = [(150, 50), (100, 80), (190, 50), (120, 100), (60, 150)];

fn local_origins(el: &LoopHandle<Tour>) -> Result<Vec<Url>> {
    let origins = LATENCIES.iter().enumerate().map(|(index, (headers, body))| {
        let latency = Latency {
            headers: Duration::from_millis(*headers),
            body: Duration::from_millis(*body),
        };
        let server = origin::start(el, latency, format!("origin {}\n", index + 1).repeat(64))?;
        Url::parse(&format!("http://{}/", server.local_addr()?))
    });
    origins.collect()
}

fn print(tour: &Tour, lanes: &Tape, total: Duration) {
    let sum: Duration = tour.completed.iter().map(|lane| duration(lanes, *lane)).sum();
    let speedup = sum.as_secs_f64() / total.as_secs_f64();
    println!("\n{}", lanes.lanes());
    println!("Fetched {} URLs, {} bytes, in {total:.0?}", tour.completed.len(), tour.bytes);
    println!("One after the other: {sum:.0?} (the sum of the parts)");
    println!("Speedup: {speedup:.1}x");
}

/// Returns the time from the first to the last turn of a fetch.
fn duration(lanes: &Tape, lane: usize) -> Duration {
    let name = name(lane) + " (";
    let mut turns = lanes.turns().iter().filter(|turn| turn.place.starts_with(&name));
    let first = turns.next().map(|turn| turn.at).unwrap_or_default();
    turns.next_back().map_or(first, |turn| turn.at) - first
}
