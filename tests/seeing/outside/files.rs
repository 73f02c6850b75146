//! Files that are tapes, and files that are not (docs/contract.md, R8, R9).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Recorder, Tape};
use mainspring_sys::shared_map::SharedMap;
use proptest::prelude::*;

use super::stuck::has_proc;
use super::{Temporary, output, program, run, texts, wait_until};
use crate::support::cases;
use crate::support::process::alone;

/// Records 30 turns in a file.
pub fn record(path: &Temporary) {
    let recorder = Recorder::black_box(&path.0).turns(64);
    let mut el = EventLoop::builder().clock(SimClock::new()).record(recorder).build().unwrap();
    for seconds in 1..=10 {
        el.call_later(Duration::from_secs(seconds), |_, _| {});
    }
    el.run().unwrap();
}

/// The bytes of a tape.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = Temporary::new("bytes");
    record(&path);
    fs::read(&path.0).unwrap()
});

#[test]
fn r8_a_trace_is_written_in_each_form() {
    let (path, to) = (Temporary::new("trace"), Temporary::new("picture"));
    record(&path);
    let tape = Tape::open(&path.0).unwrap();
    let (mut perfetto, mut chrome) = (Vec::new(), Vec::new());
    tape.perfetto(&mut perfetto).unwrap();
    tape.chrome_json(&mut chrome).unwrap();
    let forms =
        [("--svg", tape.svg().into_bytes()), ("--perfetto", perfetto), ("--chrome", chrome)];
    for (option, expected) in forms {
        assert_eq!(output(&["trace", path.text(), option, to.text()]), "");
        assert!(fs::read(&to.0).unwrap() == expected, "{option}");
        let printed = program(&["trace", path.text(), &format!("{option}=-")]).output().unwrap();
        assert!(printed.status.success() && printed.stdout == expected, "{option}");
    }
    assert_eq!(output(&["trace", path.text()]), tape.lanes());
    let last = tape.clone().last(Duration::from_millis(2500));
    assert_eq!(output(&["trace", path.text(), "--last", "2500ms"]), last.lanes());
    assert_ne!(last.lanes(), tape.lanes());
}

#[test]
fn r8_blame_names_what_ran_before_the_latest_turns() {
    let path = Temporary::new("late");
    let clock = SimClock::new();
    let recorder = Recorder::black_box(&path.0).turns(64);
    let mut el = EventLoop::builder().clock(clock.clone()).record(recorder).build().unwrap();
    for seconds in 1..=12 {
        let timer = el.call_later(Duration::from_secs(seconds), |_, _| {});
        assert!(el.set_name(timer, &format!("timer {seconds}")));
    }
    let slow = el.call_soon(move |_, _| clock.advance(Duration::from_secs(20)));
    assert!(el.set_name(slow, "slow"));
    el.run().unwrap();
    let late = output(&["blame", path.text()]);
    assert_eq!(late.lines().count(), 10);
    let first = late.lines().next().unwrap();
    assert!(first.contains(" UTC  timer timer 1 (") && first.contains("ran 19.0s late"), "{first}");
    assert!(first.contains(": 19.0s of it callback slow ("), "{first}");
    let one = output(&["blame", path.text(), "timer 12 ("]);
    assert!(one.lines().count() == 1 && one.contains("ran 8.0s late"), "{one}");
    let none = output(&["blame", path.text(), "no such place"]);
    assert_eq!(none, "no turn has a place with \"no such place\"\n");
    assert_eq!(output(&["blame", path.text(), "slow"]), "no turn was late\n");
}

#[test]
fn r9_files_that_are_not_tapes_are_refused_with_the_reason() {
    let (path, whole) = (Temporary::new("refused"), &*WHOLE);
    let with = |at: usize, change: &[u8]| {
        let mut bytes = whole.to_vec();
        bytes[at..at + change.len()].copy_from_slice(change);
        bytes
    };
    let first = u64::from_ne_bytes(whole[..8].try_into().unwrap());
    let versions = [first + 1, first.swap_bytes()].map(|word| with(0, &word.to_ne_bytes()));
    let [newer, swapped] = versions;
    let [this, other] = [first, first + 1].map(|word| word as u16);
    let other_version = format!("the tape has version {other}, not {this}");
    let refused: [(&[u8], &str); 10] = [
        (b"", "the file is empty"),
        (b"mstape", "the file is not a tape"),
        (b"#!/bin/sh\n", "the file is not a tape"),
        (&[0; 4096], "the file is not a tape, or its loop has not started"),
        (&whole[..8], "the tape is cut off"),
        (&whole[..whole.len() - 1], "the tape is cut off"),
        (&with(8, &u64::MAX.to_ne_bytes()), "the tape is cut off"),
        (&with(8, &0_u64.to_ne_bytes()), "the tape is cut off"),
        (&newer, &other_version),
        (&swapped, "the tape is of a machine with another byte order"),
    ];
    for (bytes, reason) in refused {
        fs::write(&path.0, bytes).unwrap();
        for command in ["ps", "top", "trace", "blame"] {
            let expected = format!("mainspring: cannot read {}: {reason}\n", path.text());
            assert_eq!(run(&[command, path.text()]), (1, String::new(), expected));
        }
    }
}

#[test]
fn r9_files_that_cannot_be_read_are_errors() {
    let path = Temporary::new("unreadable");
    let error = |name: &str, reason: &str| {
        (1, String::new(), format!("mainspring: cannot read {name}: {reason}\n"))
    };
    let missing = error(path.text(), "No such file or directory");
    assert_eq!(run(&["ps", path.text()]), missing);
    assert_eq!(run(&["ps", "/dev/null"]), error("/dev/null", "not a regular file"));
    assert_eq!(run(&["ps", "/"]), error("/", "not a regular file"));
    assert!(Command::new("mkfifo").arg(&path.0).status().unwrap().success());
    assert_eq!(run(&["ps", path.text()]), error(path.text(), "not a regular file"));
    drop(path);
    let path = Temporary::new("forbidden");
    record(&path);
    let mut command = program(&["ps", path.text()]);
    if rustix::process::getuid().is_root() {
        command.uid(65534).gid(65534);
    } else {
        fs::set_permissions(&path.0, fs::Permissions::from_mode(0o000)).unwrap();
    }
    // The user may be forbidden to reach the program, too.
    if let Ok(ending) = command.output() {
        assert_eq!(texts(ending), error(path.text(), "Permission denied"));
    }
    let to = "/no/such/folder/file";
    let (code, _, text) = run(&["trace", path.text(), "--svg", to]);
    let expected = format!("mainspring: cannot write {to}: No such file or directory\n");
    assert!(code == 1 && (text == expected || text.contains("Permission denied")), "{text}");
}

/// A process that was killed, and that its parent has not waited for.
#[test]
fn r9_a_process_that_has_ended_is_not_one_without_a_recorder() {
    if !has_proc() {
        return;
    }
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id().to_string();
    let state = format!("/proc/{pid}/stat");
    wait_until(|| fs::read_to_string(&state).unwrap().contains(") Z "));
    let (code, out, text) = run(&["ps", &pid]);
    child.wait().unwrap();
    let expected = format!("mainspring: process {pid} has ended; name the file of its tape\n");
    assert_eq!((code, out, text), (1, String::new(), expected));
}

/// A limit of the file size fails like a full disk, if its signal is ignored.
#[test]
fn r9_a_trace_that_is_not_complete_is_removed() {
    let (path, to) = (Temporary::new("large"), Temporary::new("partial"));
    let linked = Temporary::new("linked");
    record(&path);
    let command = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let program = env!("CARGO_BIN_EXE_mainspring-under-test");
    let fails = |option| {
        let words = ["-c", command, "sh", program, "trace", path.text(), option, to.text()];
        let (code, out, text) = texts(Command::new("sh").args(words).output().unwrap());
        let expected = format!("mainspring: cannot write {}: File too large\n", to.text());
        assert_eq!((code, &*out, &*text), (1, "", &*expected), "{option}");
    };
    for option in ["--svg", "--perfetto", "--chrome"] {
        fails(option);
        assert!(!to.0.exists(), "{option}");
        // A link stays, and its file becomes empty.
        fs::write(&linked.0, "the trace before").unwrap();
        std::os::unix::fs::symlink(&linked.0, &to.0).unwrap();
        fails(option);
        assert!(to.0.is_symlink(), "{option}");
        assert_eq!(fs::read(&linked.0).unwrap(), b"", "{option}");
        fs::remove_file(&to.0).unwrap();
    }
    // A device stays. It has another name here, because root could remove it.
    if std::path::Path::new("/dev/full").exists() {
        std::os::unix::fs::symlink("/dev/full", &to.0).unwrap();
        let (code, _, text) = run(&["trace", path.text(), "--svg", to.text()]);
        let full = format!("mainspring: cannot write {}: No space left on device\n", to.text());
        assert_eq!((code, text), (1, full));
        assert!(to.0.is_symlink());
    }
}

/// The tape may be the file of a process that runs, which a shorter file would kill.
#[test]
fn r9_no_trace_replaces_a_tape() {
    let (path, other) = (Temporary::new("kept"), Temporary::new("newer"));
    let linked = Temporary::new("name-of-kept");
    record(&path);
    std::os::unix::fs::symlink(&path.0, &linked.0).unwrap();
    let mut newer = WHOLE.clone();
    newer[0] ^= 1; // the version
    fs::write(&other.0, &newer).unwrap();
    let before = fs::read(&path.0).unwrap();
    for to in [&path, &linked, &other] {
        for option in ["--svg", "--perfetto", "--chrome"] {
            let expected = format!("mainspring: cannot write {}: the file is a tape\n", to.text());
            let ended = run(&["trace", path.text(), option, to.text()]);
            assert_eq!(ended, (1, String::new(), expected), "{option}");
        }
    }
    assert!(fs::read(&path.0).unwrap() == before && fs::read(&other.0).unwrap() == newer);
}

#[test]
fn r9_wrong_arguments_print_the_usage() {
    let wrong: [(&[&str], &str); 13] = [
        (&[], "a command is missing"),
        (&["pz", "x"], "unknown command pz"),
        (&["ps"], "a tape or a process is missing"),
        (&["ps", ""], "a tape or a process is missing"),
        (&["ps", "x", "y"], "unexpected argument y"),
        (&["ps", "x", "--svg", "y"], "ps has no option --svg"),
        (&["ps", "x", "--what"], "unknown option --what"),
        (&["trace", "x", "--last"], "--last needs a value"),
        (&["trace", "x", "--svg", ""], "--svg needs a value"),
        (&["trace", "x", "--svg", "-", "--chrome=-"], "only one FILE can be -"),
        (&["trace", "x", "--last=5"], "--last 5 is not a time, such as 5s"),
        (&["top", "x", "--once=1"], "unknown option --once=1"),
        (&["top", "x", "--tape", "one"], "--tape one is not a number"),
    ];
    for (arguments, reason) in wrong {
        let (code, out, error) = run(arguments);
        let begin = format!("mainspring: {reason}\nusage: mainspring ps ");
        assert!(code == 2 && out.is_empty() && error.starts_with(&begin), "{error}");
    }
    assert!(output(&["--help"]).starts_with("usage: mainspring ps "));
    assert_eq!(output(&["--version"]), format!("mainspring {}\n", env!("CARGO_PKG_VERSION")));
    let (code, _, error) = run(&["ps", "4294967295"]);
    assert!(code == 1 && error.starts_with("mainspring: cannot look into process 4294967295: "));
}

#[test]
fn r9_several_tapes_are_shown_one_after_the_other() {
    if !std::path::Path::new("/proc/self/fd").exists() {
        return;
    }
    // In its own process, which has no tapes of other tests.
    alone("outside::files::r9_several_tapes_are_shown_one_after_the_other", || {
        let recorded = || EventLoop::builder().record(Recorder::ring(16)).build().unwrap();
        let (mut one, mut other) = (recorded(), recorded());
        for (el, name) in [(&mut one, "first"), (&mut other, "second")] {
            let named = el.call_soon(|_, _| {});
            el.set_name(named, name);
            el.run().unwrap();
        }
        let pid = std::process::id().to_string();
        let all = output(&["ps", &pid]);
        assert_eq!(all.matches("tape     memory of process ").count(), 2, "{all}");
        assert!(all.contains("\n\ntape     "), "an empty line between them: {all}");
        for (number, name, not) in [("1", "first (", "second ("), ("2", "second (", "first (")] {
            let text = output(&["ps", &pid, "--tape", number]);
            assert!(text.contains(name) && !text.contains(not), "{text}");
        }
        let choose = "mainspring: the process has 2 tapes; choose one with --tape\n";
        assert_eq!(run(&["trace", &pid]).2, choose);
        for number in ["0", "3"] {
            let text = format!("mainspring: there is no tape {number}, only 2\n");
            assert_eq!(run(&["ps", &pid, "--tape", number]).2, text);
        }
    });
    let path = Temporary::new("only");
    record(&path);
    let none = (1, String::new(), "mainspring: there is no tape 2, only 1\n".to_owned());
    assert_eq!(run(&["ps", path.text(), "--tape", "2"]), none);
    let dash = "mainspring: cannot read -: No such file or directory\n".to_owned();
    assert_eq!(run(&["ps", "-"]), (1, String::new(), dash));
}

/// A process of another version of the crate has mapped its tape.
#[test]
fn r9_a_tape_of_another_version_in_a_process_is_refused_with_the_reason() {
    let name =
        "outside::files::r9_a_tape_of_another_version_in_a_process_is_refused_with_the_reason";
    if !std::path::Path::new("/proc/self/maps").exists() {
        return;
    }
    alone(name, || {
        let path = Temporary::new("version");
        let map = SharedMap::create(&path.0, WHOLE.len() / 8).unwrap();
        for (word, bytes) in map.iter().zip(WHOLE.chunks(8)) {
            word.store(u64::from_ne_bytes(bytes.try_into().unwrap()), Relaxed);
        }
        map[0].fetch_add(1, Relaxed);
        let (code, _, text) = run(&["ps", &std::process::id().to_string()]);
        let begin = format!("mainspring: cannot read {}: the tape has version ", path.text());
        assert!(code == 1 && text.starts_with(&begin), "{text}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    /// Words of the header and bytes anywhere in the file.
    #[test]
    fn r9_a_damaged_tape_is_read_or_refused(
        words in proptest::collection::vec((1_usize..8, any::<u64>()), 0..4),
        bytes_at in proptest::collection::vec((8_usize..70_000, any::<u8>()), 0..64),
        cut in proptest::option::of(0_usize..70_000),
    ) {
        let mut tape = WHOLE.to_vec();
        for (at, word) in words {
            tape[at * 8..at * 8 + 8].copy_from_slice(&word.to_ne_bytes());
        }
        for (at, byte) in bytes_at {
            let end = tape.len() - 1;
            tape[at.min(end)] = byte;
        }
        tape.truncate(cut.unwrap_or(tape.len()));
        if let Ok(tape) = Tape::read(&*tape) {
            tape.perfetto(std::io::sink()).unwrap();
            let turns = tape.turns().iter().filter_map(|turn| tape.blame_turn(turn.number));
            prop_assert!(turns.map(|blame| blame.to_string().len()).sum::<usize>() < 1_000_000);
            tape.chrome_json(std::io::sink()).unwrap();
            prop_assert!(tape.lanes().lines().count() < 100 && tape.svg().ends_with("</svg>\n"));
        }
    }
}
