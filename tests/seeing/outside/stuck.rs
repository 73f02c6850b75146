//! A callback that does not return, seen from another process (docs/contract.md, R7 and R9).

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use mainspring::{EventLoop, Recorder, SelectorKind};
use mainspring_sys::shared_map::SharedMap;

use super::pty::{Pty, has_setsid};
use super::{Temporary, Victim, be_victim, output, program, run, stuck_place, wait_until};
use crate::support::on_every_selector;
use crate::support::process::alone;

/// Returns true on systems that show the descriptors of processes.
pub fn has_proc() -> bool {
    let has =
        std::fs::read_dir("/proc/self/fd").is_ok() && std::fs::read("/proc/self/maps").is_ok();
    if !has {
        println!("skipped: there is no /proc");
    }
    has
}

#[test]
fn r7_a_callback_that_does_not_return_is_named_by_its_process() {
    if be_victim() || !has_proc() {
        return;
    }
    on_every_selector(|kind| {
        let name = "outside::stuck::r7_a_callback_that_does_not_return_is_named_by_its_process";
        let mut victim = Victim::start(name, kind, "");
        let now = format!("now      {} for ", stuck_place());
        let start = Instant::now();
        let mut text = String::new();
        wait_until(|| {
            let (_, out, _) = run(&["ps", &victim.pid()]); // Fails until the loop is built.
            text = out;
            text.contains(&now)
        });
        println!("named after {:?}, with the start of the process", start.elapsed());
        assert!(text.contains(&format!("process  {} runs; ", victim.pid())), "{text}");
        assert!(text.contains("queued by timer "), "{text}");
        let send = |signal: &str| {
            let sent = Command::new("kill").arg(signal).arg(victim.pid()).status().unwrap();
            assert!(sent.success());
        };
        for (signal, state) in [("-STOP", "is stopped"), ("-CONT", "runs")] {
            send(signal);
            let process = format!("process  {} {state}; ", victim.pid());
            wait_until(|| output(&["ps", &victim.pid()]).contains(&process));
        }
        assert!(text.contains("  ticks ("), "the places have names:\n{text}");
        // The longest sum is first: in the end, that of the callback.
        let first = || output(&["top", &victim.pid()]).lines().nth(5).unwrap().to_owned();
        wait_until(|| first().starts_with("callback "));
        victim.kill();
        let (code, _, error) = run(&["ps", &victim.pid()]);
        let expected = "mainspring: cannot look into process";
        assert!(code == 1 && error.starts_with(expected), "{code} {error}");
    });
}

#[test]
fn r7_a_file_names_the_callback_even_after_the_process_was_killed() {
    if be_victim() {
        return;
    }
    on_every_selector(|kind| {
        let name = "outside::stuck::r7_a_file_names_the_callback_even_after_the_process_was_killed";
        let path = Temporary::new("killed");
        let mut victim = Victim::start(name, kind, path.text());
        let now = format!("now      {} for ", stuck_place());
        wait_until(|| run(&["ps", path.text()]).1.contains(&now));
        if has_proc() {
            let by_process = output(&["ps", &victim.pid()]);
            assert!(by_process.contains(path.text()) && by_process.contains(&now), "{by_process}");
        }
        victim.0.kill().unwrap();
        if has_proc() {
            // Also before its parent waits for it, and without root.
            wait_until(|| output(&["ps", path.text()]).contains(" has ended; "));
        }
        victim.kill();
        let text = output(&["ps", path.text()]);
        if has_proc() {
            assert!(text.contains(" has ended; "), "{text}");
            assert!(text.contains(&format!("last     {}, since ", stuck_place())), "{text}");
        }
        let late = output(&["blame", path.text(), "ticks"]);
        assert!(late.lines().all(|line| line.contains("  timer ticks (")), "{late}");
        let lanes = output(&["trace", path.text(), "--last", "1s"]);
        assert!(lanes.contains(&stuck_place()) && lanes.contains("timer ticks ("), "{lanes}");
    });
}

#[test]
fn r7_top_refreshes_until_a_key_and_keeps_the_tape_of_a_killed_process() {
    if be_victim() || !has_proc() || !has_setsid() {
        return;
    }
    let name =
        "outside::stuck::r7_top_refreshes_until_a_key_and_keeps_the_tape_of_a_killed_process";
    let mut victim = Victim::start(name, mainspring::SelectorKind::available()[0], "");
    wait_until(|| run(&["ps", &victim.pid()]).1.contains(&stuck_place()));
    let mut pty = Pty::new();
    let before = pty.attributes();
    let mut top = pty.start("none", &words(&["top", &victim.pid()]));
    pty.wait_for(&format!("now      {}", stuck_place()));
    let rows = pty.wait_for("q ends");
    assert!(rows.contains("\ncallback ") && rows.contains("\ntimer "), "{rows}");
    victim.kill();
    pty.wait_for("has ended");
    pty.type_in("x"); // Another key only draws again.
    pty.wait_for("has ended");
    pty.type_in("q");
    assert!(top.wait().unwrap().success());
    assert!(pty.attributes() == before, "the terminal is as before");
}

/// One table, although standard output is a terminal.
#[test]
fn r7_top_with_once_ends_after_a_table() {
    if !has_setsid() {
        return;
    }
    let path = Temporary::new("once");
    super::files::record(&path);
    let mut pty = Pty::new();
    let mut top = pty.start("none", &words(&["top", path.text(), "--once"]));
    pty.wait_for("\ntimer ");
    wait_until(|| top.try_wait().unwrap().is_some_and(|status| status.success()));
}

/// Returns the command line of the program.
fn words(arguments: &[&str]) -> Vec<String> {
    let command = program(arguments);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_str().unwrap().to_owned()).collect()
}

#[test]
fn r9_an_output_without_a_reader_is_no_error_and_a_full_one_is() {
    let path = Temporary::new("pipe");
    super::files::record(&path);
    for command in ["ps", "top", "trace", "blame"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ending = program(&[command, path.text()]).stdout(writer).output().unwrap();
        assert!(ending.status.success() && ending.stderr.is_empty(), "{command}: {ending:?}");
    }
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let full = full.as_fd().try_clone_to_owned().unwrap();
    let ending = super::texts(program(&["ps", path.text()]).stdout(full).output().unwrap());
    let expected = "mainspring: cannot write to standard output: No space left on device\n";
    assert_eq!(ending, (1, String::new(), expected.to_owned()));
}

/// In its own process, which has no tapes of other tests.
#[test]
fn r7_other_files_of_a_process_are_no_tapes() {
    if !has_proc() {
        return;
    }
    alone("outside::stuck::r7_other_files_of_a_process_are_no_tapes", || {
        let other = Temporary::new("other");
        let Ok(map) = SharedMap::create(&other.0, 16) else { return println!("skipped: no map") };
        let el = EventLoop::builder().record(Recorder::ring(64)).build().unwrap();
        let text = output(&["ps", &std::process::id().to_string()]);
        assert_eq!(text.matches("tape     ").count(), 1, "{text}");
        drop((map, el));
    });
}

/// The victim has the tape of this process as its standard input.
#[test]
fn r7_a_tape_that_a_process_has_inherited_is_not_its_own() {
    if be_victim() || !has_proc() {
        return;
    }
    let name = "outside::stuck::r7_a_tape_that_a_process_has_inherited_is_not_its_own";
    alone(name, || {
        let el = EventLoop::builder().record(Recorder::ring(64)).build().unwrap();
        let is_tape = |path: &PathBuf| {
            let target = std::fs::read_link(path).unwrap_or_default();
            target.to_string_lossy().starts_with("/memfd:mainspring-tape")
        };
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let tape = descriptors.map(|entry| entry.unwrap().path()).find(is_tape);
        let Some(tape) = tape else { return println!("skipped: the ring is private memory") };
        let tape = std::fs::File::open(tape).unwrap();
        let victim = Victim::start_with(name, SelectorKind::available()[0], "", tape.into());
        let now = format!("now      {} for ", stuck_place());
        let mut text = String::new();
        wait_until(|| {
            text = run(&["ps", &victim.pid()]).1;
            text.contains(&now)
        });
        assert_eq!(text.matches("tape     ").count(), 1, "{text}");
        drop(el);
    });
}
