//! The program `mainspring`, which reads tapes from outside (docs/contract.md, R7 to R9).

mod files;
mod period;
#[allow(dead_code)]
#[path = "../../daemon/terminals/pty.rs"]
mod pty;
mod stuck;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mainspring::{EventLoop, Recorder, SelectorKind};

/// Returns the command of the program.
fn program<A: AsRef<OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring-under-test"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program to its end. Returns its exit code and what it printed to standard output and
/// error.
fn run<A: AsRef<OsStr>>(arguments: &[A]) -> (i32, String, String) {
    texts(program(arguments).output().unwrap())
}

fn texts(output: Output) -> (i32, String, String) {
    let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    (output.status.code().expect("no signal ended it"), out, err)
}

/// Returns the output of the program, which succeeds.
fn output<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!((code, &*err), (0, ""), "{out}");
    out
}

/// A path that is removed with the value, and no other test has.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let name = format!("mainspring-outside-{name}-{}", std::process::id());
        Temporary(std::env::temp_dir().join(name))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Environment variable of a victim: the path of its tape, or nothing for a ring in memory.
const VICTIM: &str = "MAINSPRING_TEST_STUCK";

/// A process with a loop that records, and a callback that does not return.
struct Victim(Child);

/// The line of the callback that does not return.
const STUCK_LINE: u32 = 79;

/// Runs the body of a victim, if this process is one.
fn be_victim() -> bool {
    let Ok(path) = std::env::var(VICTIM) else { return false };
    let recorder = if path.is_empty() { Recorder::ring(64) } else { Recorder::black_box(path) };
    let mut el = EventLoop::builder().record(recorder.turns(4096)).build().unwrap();
    let ticks = el.call_every(Duration::from_millis(1), |_, ()| {}).unwrap();
    assert!(el.set_name(ticks, "ticks"));
    el.call_later(Duration::from_millis(20), |el, ()| {
        el.call_soon(|_, ()| {
            loop {
                std::hint::spin_loop();
            }
        });
    });
    el.run().unwrap();
    true
}

impl Victim {
    /// Starts a victim by the test `name`, which calls [`be_victim`] first.
    fn start(name: &str, kind: SelectorKind, path: &str) -> Victim {
        Victim::start_with(name, kind, path, Stdio::null())
    }

    fn start_with(name: &str, kind: SelectorKind, path: &str, input: Stdio) -> Victim {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(VICTIM, path)
            .env("MAINSPRING_SELECTOR", kind.to_string())
            .stdin(input)
            .stdout(Stdio::null())
            .spawn();
        Victim(child.unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the text with which the stuck callback is named.
fn stuck_place() -> String {
    format!("callback {}:{STUCK_LINE}", file!())
}

/// Calls `attempt` until it returns true.
fn wait_until(mut attempt: impl FnMut() -> bool) {
    let start = Instant::now();
    while !attempt() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not happen within a minute");
        std::thread::yield_now();
    }
}
