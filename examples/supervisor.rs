//! A supervisor: services in a task group, each with a time limit, started again when it fails.
//!
//! ```text
//! cargo run --example supervisor [-- --doomed]
//! ```
//!
//! Three services do one piece of work each. One succeeds, one panics at first, one hangs at first.
//! With `--doomed` there is a fourth that cannot succeed: when its supervisor gives up, the group
//! cancels the others, and the program says why and fails.

use std::env;
use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use mainspring::{Error, EventLoop, Result, TaskGroup, sleep, timeout};

/// How long one attempt may take, how many there are, and the pause after the first; it grows.
const LIMIT: Duration = Duration::from_millis(300);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// What a service does in one attempt.
async fn serve(name: &'static str, attempt: u32) -> Result<()> {
    sleep(Duration::from_millis(5)).await;
    match (name, attempt) {
        ("clumsy", 1) => panic!("dropped the plates"),
        ("sleepy", 1 | 2) => pending().await,
        ("doomed", _) => Err(Error::other("nothing ever works")),
        _ => Ok(()),
    }
}

/// Starts a service again until it has succeeded, or there is no hope.
async fn supervise(name: &'static str) -> Result<()> {
    for attempt in 1..=ATTEMPTS {
        match attempt_once(name, attempt).await {
            Ok(()) => {
                println!("{name}: done in attempt {attempt}");
                return Ok(());
            }
            Err(error) => println!("{name}: attempt {attempt}: {}", error.chain()),
        }
        if attempt < ATTEMPTS {
            sleep(PAUSE * attempt).await;
        }
    }
    Err(Error::other(format!("{name}: given up after {ATTEMPTS} attempts")))
}

/// The service is a child of its own, so that its panic is an error here; and it is over when this
/// is, also if this is cancelled.
async fn attempt_once(name: &'static str, attempt: u32) -> Result<()> {
    let child = TaskGroup::run(async |group| {
        group.spawn(serve(name, attempt))?.named(name);
        Ok(())
    });
    Ok(timeout(LIMIT, child).await??)
}

fn run(names: &[&'static str]) -> Result<()> {
    let mut el = EventLoop::new()?;
    let outcome = el.run_until_complete(TaskGroup::run(async |group| {
        for name in names {
            group.spawn(supervise(name))?.named(name);
        }
        Ok(())
    }))?;
    Ok(outcome?)
}

fn main() -> ExitCode {
    // A panic of a service is the supervisor's business, which prints it in its own words.
    std::panic::set_hook(Box::new(|_| {}));
    let names = match env::args().nth(1).as_deref() {
        None => &["steady", "clumsy", "sleepy"][..],
        Some("--doomed") => &["steady", "clumsy", "sleepy", "doomed"],
        Some(other) => {
            eprintln!("supervisor: unexpected argument {other:?}; usage: supervisor [--doomed]");
            return ExitCode::from(2);
        }
    };
    match run(names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
