//! The tape in a file (docs/contract.md, R3, R4, R6).

use std::fs;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mainspring::{EventLoop, LoopHandle, Recorder, ReportKind, Tape, TurnKind, yield_now};

use super::{callbacks, recorded};
use crate::support::{cases, on_every_selector};

/// Returns a path that no other test has.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("mainspring-tape-{name}-{}", std::process::id()))
}

/// Returns the path of the tape before that at `path`.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// Environment variable with the path of the tape, for the process that is killed.
const VICTIM: &str = "MAINSPRING_TEST_TAPE";

/// The body of the process that is killed: callbacks, tasks and timers without a pause.
fn be_killed(path: &str) {
    let recorder = Recorder::black_box(path).turns(4096);
    let mut el = EventLoop::builder().record(recorder).build_with(0_u64).unwrap();
    el.spawn(async {
        loop {
            yield_now().await;
        }
    })
    .detach();
    el.call_every(Duration::from_micros(50), |_, turns| *turns += 1).unwrap();
    fn again(el: &LoopHandle<u64>, turns: &mut u64) {
        *turns = black_box(*turns + 1);
        el.call_soon(again);
    }
    el.call_soon(again);
    el.run().unwrap();
}

#[test]
fn r3_a_tape_survives_kills_at_random_times() {
    if let Ok(path) = std::env::var(VICTIM) {
        return be_killed(&path);
    }
    let path = path("kill");
    for round in 0..cases(20) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recordings::black_box::r3_a_tape_survives_kills_at_random_times"])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Until the process records; the time after that differs from round to round.
        while !Tape::open(&path)
            .is_ok_and(|tape| tape.process() == child.id() && tape.turns().len() > 100)
        {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(u64::from(round * 7919 % 5000)));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let tape = Tape::open(&path).unwrap();
        let turns = tape.turns();
        assert!(turns.windows(2).all(|two| two[0].number + 1 == two[1].number));
        assert!(turns.windows(2).all(|two| two[0].at <= two[1].at));
        let has_place = |kind| matches!(kind, TurnKind::Soon | TurnKind::Task | TurnKind::Timer);
        assert!(turns.iter().all(|turn| has_place(turn.kind) != turn.place.is_empty()));
        assert_eq!(turns.last().unwrap().lasted, None);
    }
    fs::remove_file(&path).unwrap();
    drop(fs::remove_file(before(&path)));
}

#[test]
fn r3_a_callback_that_does_not_return_is_the_last_turn() {
    on_every_selector(|kind| {
        let path = path("stuck");
        let mut el = recorded(kind, Recorder::black_box(&path).turns(64), path.clone());
        let line = line!() + 1;
        el.call_soon(|_, path| {
            // Another process reads the same bytes.
            let tape = Tape::open(&*path).unwrap();
            let last = tape.turns().last().unwrap();
            assert_eq!((last.kind, last.lasted), (TurnKind::Soon, None));
            *path = PathBuf::from(last.place.to_string());
        });
        el.run().unwrap();
        assert_eq!(el.state().to_str().unwrap(), format!("{}:{line}", file!()));
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn r4_a_recorder_that_fails_is_a_report() {
    on_every_selector(|kind| {
        for recorder in [Recorder::black_box("/no/such/folder/tape"), Recorder::ring(0)] {
            let mut el = recorded(kind, recorder, Vec::new());
            el.set_exception_handler(|_, reports, report| reports.push(report.kind));
            el.call_soon(|_, _| {});
            el.run().unwrap();
            assert!(el.tape().is_none());
            assert_eq!(*el.state(), [ReportKind::Tape]);
        }
    });
}

#[test]
fn r4_a_file_is_private_and_keeps_the_tape_before() {
    on_every_selector(|kind| {
        let path = path("private");
        let old = before(&path);
        for turns in 1..=2 {
            let mut el = recorded(kind, Recorder::black_box(&path).turns(64), ());
            for _ in 0..turns {
                el.call_soon(|_, ()| {});
            }
            el.run().unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(callbacks(&Tape::open(&path).unwrap()).len(), 2);
        assert_eq!(callbacks(&Tape::open(&old).unwrap()).len(), 1);
        fs::remove_file(&path).unwrap();
        fs::remove_file(&old).unwrap();
    });
}

#[test]
fn r4_a_file_that_is_no_tape_is_refused() {
    let path = path("garbage");
    for bytes in [&b""[..], b"mstape", &[0xff; 100_000]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(Tape::open(&path).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    }
    fs::remove_file(&path).unwrap();
}
