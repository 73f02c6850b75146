//! Tests of the example `black_box`: the tape of a killed daemon.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use mainspring::{Tape, Turn, TurnKind};
use rustix::process::Signal;

use super::program::{Program, run};

/// The path of a tape. The files are removed with the value.
struct TapeFile(PathBuf);

impl TapeFile {
    fn new() -> TapeFile {
        let name = format!("mainspring-black-box-{}", std::process::id());
        TapeFile(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TapeFile {
    fn drop(&mut self) {
        for path in [self.0.clone(), self.0.with_extension("old")] {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[test]
fn the_next_start_names_the_callback_in_which_the_daemon_was_killed() {
    let tape = TapeFile::new();
    let mut daemon = Program::start("black_box", &[tape.path()]);
    let works = daemon.line();
    let pid = works.strip_prefix("process ").and_then(|rest| rest.strip_suffix(" works")).unwrap();
    let is_timer = |turn: &Turn| turn.kind == TurnKind::Timer;
    while !Tape::open(tape.path()).is_ok_and(|tape| tape.turns().iter().any(is_timer)) {
        std::thread::yield_now();
    }
    daemon.send(Signal::USR1);
    assert_eq!(daemon.line(), "a callback does not return");
    daemon.send(Signal::KILL);
    assert_eq!(daemon.end().status.signal(), Some(9));

    let source = include_str!("../../examples/black_box.rs").lines();
    let line = source.take_while(|line| !line.contains("call_soon(")).count() + 1;
    let place = format!("callback examples/black_box.rs:{line}");
    let mut daemon = Program::start("black_box", &[tape.path()]);
    assert_eq!(daemon.line(), format!("process {pid} crashed in {place}"));
    let lanes: Vec<String> = (0..4).map(|_| daemon.line()).collect();
    let has_lane =
        |name: &str| lanes.iter().any(|lane| lane.starts_with(name) && lane.ends_with('█'));
    assert!(has_lane("timer work (examples/black_box.rs:") && has_lane(&place), "{lanes:#?}");
    while !daemon.line().ends_with(" works") {}
    daemon.send(Signal::TERM);
    assert_eq!(daemon.end().success(), "");

    assert!(!tape.0.exists(), "a regular end leaves no tape");
}

#[test]
fn a_file_that_is_no_tape_is_not_replaced() {
    let tape =
        TapeFile(std::env::temp_dir().join(format!("mainspring-none-{}", std::process::id())));
    std::fs::write(&tape.0, "a text").unwrap();
    let error = run("black_box", &[tape.path()]).error_line(1);
    assert_eq!(error, format!("black_box: {}: the file is not a tape\n", tape.path()));
    assert_eq!(std::fs::read_to_string(&tape.0).unwrap(), "a text");
    run("black_box", &[]).error_line(2);
}
