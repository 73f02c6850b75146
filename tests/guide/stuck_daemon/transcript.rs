//! Commands of a page, and their output with the times and numbers of each run replaced.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pictures::files::wrapped;

/// The pid and the folder of the daemon, as the page has them.
const PID: &str = "4711";
const FOLDER: &str = "/run/counter";
/// The file of the picture.
const PICTURE: &str = "lanes.svg";
/// The time of day at which the loop of the page is created.
const CREATED: &str = "03:00:00.000";

pub struct Transcript {
    pid: String,
    folder: PathBuf,
    /// The time of day at which the loop was created, in milliseconds.
    created: Option<u64>,
}

impl Transcript {
    pub fn new(pid: u32, folder: &Path) -> Transcript {
        Transcript { pid: pid.to_string(), folder: folder.to_owned(), created: None }
    }

    /// Returns the page with the output of each command of its `console` blocks. `act` runs the
    /// commands of the system.
    pub fn fill(&mut self, page: &str, mut act: impl FnMut(&str) -> String) -> String {
        let mut filled = String::new();
        let mut is_console = false;
        for line in page.lines() {
            if line.starts_with("```") {
                is_console = line == "```console";
            }
            let command = line.strip_prefix("$ ").filter(|_| is_console);
            if !is_console || line.starts_with("```") || command.is_some() {
                filled += &format!("{line}\n");
            }
            if let Some(command) = command {
                match command.strip_prefix("mainspring ") {
                    Some(arguments) => filled += &self.run(arguments),
                    None => {
                        for line in act(command).lines() {
                            filled += &divided(&self.normalised(line, true));
                        }
                    }
                }
            }
        }
        filled
    }

    fn run(&mut self, command: &str) -> String {
        let (arguments, lines) = command.split_once(" | head -").unwrap_or((command, "1000"));
        // The times of a running process keep changing.
        let is_live = arguments.contains(PID);
        let folder = self.folder.to_str().expect("a folder of text");
        let arguments: Vec<String> = arguments
            .split(' ')
            .map(|word| match word {
                PID => self.pid.clone(),
                PICTURE => format!("{folder}/{PICTURE}"),
                _ => word.replace(FOLDER, folder),
            })
            .collect();
        let text = output(&arguments).replace(folder, FOLDER);
        let lines = text.lines().take(lines.parse().expect("a number of lines"));
        lines.map(|line| divided(&self.normalised(line, is_live))).collect()
    }

    /// Returns the picture that a command has written.
    pub fn picture(&self) -> String {
        fs::read_to_string(self.folder.join(PICTURE)).expect("the page has the command")
    }

    /// Returns a line with the pid, the times of day and the real durations of the page.
    fn normalised(&mut self, line: &str, is_live: bool) -> String {
        let line = line.replace(&format!("process  {} ", self.pid), &format!("process  {PID} "));
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for index in 0..words.len() {
            if let Some(time) = milliseconds(&words[index]) {
                let created = *self.created.get_or_insert(time);
                words[index] = time_of_day(time.saturating_sub(created));
                words[index - 1] = "2026-11-30".to_owned();
            }
            let is_time = words.get(index + 1).is_some_and(|it| it.starts_with(char::is_numeric));
            if is_live && is_time && matches!(&*words[index], "for" | "in") {
                let end = if words[index + 1].ends_with(',') { "," } else { "" };
                words[index + 1] = format!("2.3s{end}");
            }
            if words[index] == "fd" {
                words[index + 1] = "9".to_owned();
            }
        }
        words.join(" ")
    }
}

/// Length from which on a sentence of the output is divided.
const LONG: usize = 100;

/// Returns a long sentence of the output in parts that fit on the page. A line of a table or of a
/// picture stays whole.
fn divided(line: &str) -> String {
    let is_whole = line.len() <= LONG || line.starts_with(' ') || line.contains(['─', '█']);
    // The first column of a sentence is a label.
    let columns = line.get(10..).unwrap_or_default();
    if is_whole || columns.contains("   ") { format!("{line}\n") } else { wrapped(line) }
}

/// Parses a time of day, `HH:MM:SS.mmm`.
fn milliseconds(word: &str) -> Option<u64> {
    let (time, fraction) = word.split_once('.')?;
    let [hours, minutes, seconds] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let number = |digits: &str| digits.parse::<u64>().ok();
    let minutes = number(hours)? * 60 + number(minutes)?;
    Some((minutes * 60 + number(seconds)?) * 1000 + number(fraction)?)
}

fn time_of_day(after: u64) -> String {
    let time = milliseconds(CREATED).expect("a time of day") + after;
    let (seconds, fraction) = (time / 1000, time % 1000);
    format!("{:02}:{:02}:{:02}.{fraction:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Returns what the program `mainspring` prints.
pub fn output<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring-under-test"));
    let ending = command.args(arguments).output().unwrap();
    String::from_utf8(ending.stdout).unwrap() + &String::from_utf8(ending.stderr).unwrap()
}
