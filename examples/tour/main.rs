//! Five fetches at once, on one thread.
//!
//! ```text
//! cargo run --release --example tour [-- [--tasks] [URL ...]]
//! ```
//!
//! Without URLs it starts five local servers with different latencies, on the same loop, and
//! fetches from all of them at once. It prints each step with its time, then one line of the time
//! chart for each fetch, and the total time of the same fetches one after the other. With `http://`
//! URLs it fetches those.
//!
//! The fetches are callbacks (`fetch`), or tasks with `--tasks` (`tasks`).

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mainspring::{Error, EventLoop, LoopHandle, Result};

mod fetch;
mod origin;
mod tasks;
mod timeline;

use fetch::Url;
use origin::Latency;
use timeline::Timeline;

/// State of the loop, shared by the callbacks of all fetches.
struct Tour {
    timeline: Timeline,
    /// Duration of each completed fetch.
    parts: Vec<Duration>,
    bytes: usize,
}

impl Tour {
    fn completed(&mut self, el: &LoopHandle<Tour>, lane: usize, bytes: usize) {
        self.timeline.step(lane, el.now(), &format!("RESUMES, {bytes} bytes of body, done"));
        self.parts.push(self.timeline.end(lane, el.now()));
        self.bytes += bytes;
    }

    fn failed(&mut self, el: &LoopHandle<Tour>, lane: usize, error: &Error) {
        self.timeline.step(lane, el.now(), &format!("failed: {}", error.chain()));
        self.timeline.end(lane, el.now());
    }
}

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tour: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

/// Returns true if every fetch was completed.
fn run(args: &[String]) -> Result<bool> {
    let (with_tasks, urls) = match args {
        [flag, urls @ ..] if flag == "--tasks" => (true, urls),
        urls => (false, urls),
    };
    let given: Vec<Url> = urls.iter().map(|url| Url::parse(url)).collect::<Result<_>>()?;
    let lanes = if given.is_empty() { LATENCIES.len() } else { given.len() };
    let start = Instant::now();
    let (parts, bytes) = (Vec::new(), 0);
    let mut el =
        EventLoop::with_state(Tour { timeline: Timeline::new(start, lanes), parts, bytes })?;
    let urls = if given.is_empty() { local_origins(&el)? } else { given };

    if with_tasks {
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
    print(el.state(), start.elapsed());
    Ok(el.state().parts.len() == lanes)
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

fn print(tour: &Tour, total: Duration) {
    let sum: Duration = tour.parts.iter().sum();
    let speedup = sum.as_secs_f64() / total.as_secs_f64();
    println!("\n{}", tour.timeline.draw());
    println!("Fetched {} URLs, {} bytes, in {total:.0?}", tour.parts.len(), tour.bytes);
    println!("One after the other: {sum:.0?} (the sum of the parts)");
    println!("Speedup: {speedup:.1}x");
}
