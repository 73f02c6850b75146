//! Standard input of each kind, its flags, and the exit (docs/contract.md, Y1 and Y2).

use std::fs::File;
use std::io::{Read, Seek, Write, pipe};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use mainspring::EventLoop;
use mainspring::terminal::Stdin;

use super::pty::{Pty, assert_success, flags, has_setsid, is_program, program};
use crate::support::on_every_selector;

/// Reads everything, by a task on each selector but the last, and there by a callback.
fn read_all() -> String {
    let mut text = String::new();
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let lines = el.run_until_complete(async {
            let mut lines = Stdin::open().unwrap().lines().unwrap();
            let mut text = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                text += &line;
                if line == "next" {
                    break;
                }
            }
            text
        });
        text += &lines.unwrap();
    });
    let mut el = EventLoop::with_state(String::new()).unwrap();
    el.add_reader(Stdin::open().unwrap(), |_, text: &mut String, stdin| {
        let mut buffer = [0; 64];
        let count = stdin.read(&mut buffer)?;
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        if count == 0 {
            stdin.cancel();
        }
        Ok(())
    })
    .unwrap();
    el.run().unwrap();
    text + el.state()
}

/// Runs the body of the test with `stdin`, and returns its output.
fn output(name: &str, stdin: impl Into<Stdio>) -> String {
    let command = program(name);
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env("MAINSPRING_TERMINAL_TEST", name).stdin(stdin);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn y1_a_shared_standard_input_keeps_its_flags() {
    let name = "terminals::stdin::y1_a_shared_standard_input_keeps_its_flags";
    if is_program(name) {
        println!("<{}>", read_all());
        return;
    }
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"in a pipe").unwrap();
    drop(writer);
    let mut file = tempfile();
    file.write_all(b"in a file").unwrap();
    file.rewind().unwrap();
    let null = File::open("/dev/null").unwrap();
    let kinds: [(OwnedFd, &str); 3] =
        [(reader.into(), "<in a pipe>"), (file.into(), "<in a file>"), (null.into(), "<>")];
    for (stdin, expected) in kinds {
        let before = flags(&stdin);
        let text = output(name, stdin.try_clone().unwrap());
        assert!(text.contains(expected), "{expected}: {text}");
        assert_eq!(flags(&stdin), before, "{expected}");
    }
}

fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("mainspring-stdin-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

#[test]
fn y1_a_shared_terminal_keeps_its_flags_and_attributes() {
    let name = "terminals::stdin::y1_a_shared_terminal_keeps_its_flags_and_attributes";
    if is_program(name) {
        println!("waiting");
        let text = read_all();
        assert!(text.ends_with("typed"), "{text}");
        return;
    }
    if !has_setsid() {
        return;
    }
    let mut pty = Pty::new();
    let (before, attributes) = (flags(&pty.slave), pty.attributes());
    let mut child = pty.start_program(name);
    pty.wait_for("waiting");
    for _ in mainspring::SelectorKind::available() {
        pty.type_in("next\n");
    }
    pty.type_in("typed\x04\x04");
    assert_success(child.wait().unwrap());
    assert_eq!(flags(&pty.slave), before);
    assert_eq!(pty.attributes(), attributes);
}

/// Tasks and callbacks wait for input that never comes, and the process still exits.
#[test]
fn y2_an_idle_standard_input_does_not_delay_the_exit() {
    let name = "terminals::stdin::y2_an_idle_standard_input_does_not_delay_the_exit";
    if is_program(name) {
        on_every_selector(|kind| {
            let mut el = EventLoop::builder().selector(kind).build().unwrap();
            let read = async { Stdin::open().unwrap().into_io().unwrap().read(&mut [0]).await };
            let reading = el.spawn(read);
            el.tick(Some(std::time::Duration::ZERO)).unwrap();
            assert!(!reading.is_finished());
            drop(reading);
        });
        let el = EventLoop::new().unwrap();
        el.add_reader(Stdin::open().unwrap(), |_, (), _| Ok(())).unwrap();
        println!("the end");
        return;
    }
    let (reader, _idle) = pipe().unwrap();
    assert!(output(name, reader).contains("the end"));
    if has_setsid() {
        let pty = Pty::new();
        assert_success(pty.start_program(name).wait().unwrap());
    }
}

/// The startup code of std opens `/dev/null` as descriptor 0 where that is closed.
#[test]
fn y1_a_closed_standard_input_is_empty() {
    let name = "terminals::stdin::y1_a_closed_standard_input_is_empty";
    if is_program(name) {
        println!("<{}>", read_all());
        return;
    }
    let command = format!("exec {} <&-", program(name).join(" "));
    let mut child = Command::new("sh");
    let output = child.args(["-c", &command]).env("MAINSPRING_TERMINAL_TEST", name).output();
    let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    assert!(text.contains("<>"), "{text}");
}
