//! The transcript of the page about a stuck daemon, produced by a daemon that is stuck.

mod daemon;
mod transcript;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use mainspring::testing::SimClock;

use self::transcript::Transcript;
use crate::figures::assert_file;

const PAGE: &str = "src/guide/debugging_a_stuck_daemon.md";
/// Variable with the folder of the daemon, for the process that is the daemon.
const FOLDER: &str = "MAINSPRING_TEST_STUCK_DAEMON";
const NAME: &str = "stuck_daemon::the_transcript_is_what_the_programs_print";

#[test]
fn the_transcript_is_what_the_programs_print() {
    if let Some(folder) = env::var_os(FOLDER) {
        daemon::run(&Path::new(&folder).join("tape"), &SimClock::new()).unwrap();
        return;
    }
    if !fs::exists("/proc/self/fd").unwrap() {
        println!("skipped: there is no /proc");
        return;
    }
    let mut daemon = Stuck::start();
    let page = fs::read_to_string(Path::new(crate::figures::ROOT).join(PAGE)).unwrap();
    let mut transcript = Transcript::new(daemon.0.id(), &daemon.1);
    let filled = transcript.fill(&page, |command| match command {
        "kill -9 4711" => {
            daemon.kill();
            String::new()
        }
        "journalctl -u counter -o cat" => daemon.log(),
        _ => panic!("the transcript has the unknown command {command}"),
    });
    assert_file(PAGE, &filled);
}

/// A daemon that does not return from a callback, and its folder.
struct Stuck(Child, PathBuf);

impl Stuck {
    /// Starts the daemon, and waits until it is stuck.
    fn start() -> Stuck {
        let folder = env::temp_dir().join(format!("mainspring-stuck-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture"]).env(FOLDER, &folder).stdout(Stdio::null());
        let log = fs::File::create(folder.join("log")).unwrap();
        let stuck = Stuck(command.stderr(log).spawn().unwrap(), folder);
        let tape = stuck.1.join("tape").into_os_string();
        while stuck.log().is_empty() {
            thread::sleep(Duration::from_millis(10)); // Until the watchdog has reported it.
        }
        // In two readings, so that it is not an ordinary turn.
        let mut readings = 0;
        while readings < 2 {
            thread::sleep(Duration::from_millis(10));
            let text = transcript::output(&["ps".into(), tape.clone()]);
            readings = if text.contains("now      watcher frames (") { readings + 1 } else { 0 };
        }
        stuck
    }

    /// Returns the reports of the watchdog.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.1.join("log")).unwrap();
        let reports = log.lines().filter(|line| line.contains(" has been running for "));
        reports.map(|line| format!("{line}\n")).collect()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_dir_all(&self.1);
    }
}
