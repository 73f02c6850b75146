//! The transcript of the page about a stuck daemon, produced by a daemon that is stuck
//! (docs/contract.md, G12).

mod daemon;
mod transcript;
mod waiting;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use mainspring::testing::SimClock;

use self::transcript::Transcript;
use crate::pictures::files::{ROOT, assert_file};

/// Parts of the page: before and after its picture.
const STUCK: &str = "src/guide/debugging_a_stuck_daemon/stuck.md";
const LATE: &str = "src/guide/debugging_a_stuck_daemon/late.md";
const LANES: &str = "src/guide/debugging_a_stuck_daemon/lanes.svg";
/// Page about the program, with its help and with commands that read the same tape.
const PROGRAM: &str = "src/guide/the_program_mainspring.md";
/// Variables of a process that is a daemon: its folder, and which of the two it is.
const FOLDER: &str = "MAINSPRING_TEST_STUCK_DAEMON";
const WAITS: &str = "MAINSPRING_TEST_WAITING_DAEMON";
/// First line of the daemon that waits.
const STARTED: &str = "counter: started\n";
const NAME: &str = "stuck_daemon::g12_the_transcript_is_what_the_programs_print";

#[test]
fn g12_the_transcript_is_what_the_programs_print() {
    if let Some(folder) = env::var_os(FOLDER) {
        match env::var_os(WAITS) {
            Some(_) => waiting::run(&SimClock::new()).unwrap(),
            None => daemon::run(&Path::new(&folder).join("tape"), &SimClock::new()).unwrap(),
        }
        return;
    }
    if !fs::exists("/proc/self/fd").unwrap() {
        println!("skipped: there is no /proc");
        return;
    }
    let (mut daemon, waiting) = (Stuck::start(), Stuck::start_waiting());
    let page = |path| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let mut transcript = Transcript::new(daemon.0.id(), &daemon.1);
    for part in [STUCK, LATE] {
        let filled = transcript.fill(&page(part), |command| match command {
            "kill -9 4711" => {
                daemon.kill();
                String::new()
            }
            "journalctl -u counter -o cat" => daemon.reports(),
            "kill -QUIT 4712" => waiting.dump(),
            _ => panic!("the transcript has the unknown command {command}"),
        });
        assert_file(part, &filled);
    }
    assert_file(LANES, &transcript.picture());
    let filled = transcript.fill(&page(PROGRAM), |command| panic!("the unknown command {command}"));
    assert_file(PROGRAM, &filled);
}

fn pause() {
    thread::sleep(Duration::from_millis(10));
}

/// A daemon that hangs, and its folder.
struct Stuck(Child, PathBuf);

impl Stuck {
    /// Starts the daemon, and waits until it is stuck.
    fn start() -> Stuck {
        let stuck = Stuck::spawn("callback", &mut Command::new(env::current_exe().unwrap()));
        let tape = stuck.1.join("tape").into_os_string();
        while stuck.reports().is_empty() {
            pause(); // Until the watchdog has reported it.
        }
        // In two readings, so that it is not an ordinary turn.
        let mut readings = 0;
        while readings < 2 {
            pause();
            let text = transcript::output(&["ps".into(), tape.clone()]);
            readings = if text.contains("now      watcher frames (") { readings + 1 } else { 0 };
        }
        stuck
    }

    /// Starts the daemon that waits, and waits until its loop runs.
    fn start_waiting() -> Stuck {
        let mut command = Command::new(env::current_exe().unwrap());
        let stuck = Stuck::spawn("await", command.env(WAITS, "1"));
        while stuck.log() != STARTED {
            pause();
        }
        stuck
    }

    fn spawn(name: &str, command: &mut Command) -> Stuck {
        let folder = env::temp_dir().join(format!("mainspring-stuck-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        command.args(["--exact", NAME, "--nocapture"]).env(FOLDER, &folder).stdout(Stdio::null());
        let log = fs::File::create(folder.join("log")).unwrap();
        Stuck(command.stderr(log).spawn().unwrap(), folder)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.1.join("log")).unwrap()
    }

    /// Returns what the daemon writes at the signal QUIT.
    fn dump(&self) -> String {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
        let mut dump = String::new();
        // Its last line is a task.
        while !(dump.contains("\"right\"") && dump.ends_with('\n')) {
            pause();
            dump = self.log()[STARTED.len()..].to_owned();
        }
        dump
    }

    /// Returns the reports of the watchdog.
    fn reports(&self) -> String {
        let log = self.log();
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
