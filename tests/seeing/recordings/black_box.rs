//! The tape in a file (docs/contract.md, R3, R4, R6).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mainspring::testing::SimClock;
use mainspring::{
    EventLoop, EventLoopBuilder, LoopHandle, Recorder, ReportKind, SelectorKind, Tape, TurnKind,
    yield_now,
};
use mainspring_sys::environment::is_privileged;
use mainspring_sys::shared_map::SharedMap;

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

/// State of the process that is killed. Simulated time is a nanosecond for each turn, so the time
/// of a record is the number of turns before it.
struct Victim {
    clock: SimClock,
    /// Page that outlives the process.
    page: SharedMap,
}

impl Victim {
    /// Counts the turn that runs, first on the page.
    fn count(&self) {
        self.page[0].fetch_add(1, Relaxed);
        self.clock.advance(Duration::from_nanos(1));
    }
}

/// The body of the process that is killed: callbacks, tasks and timers without a pause.
fn be_killed(path: &str) {
    let clock = SimClock::new();
    let page = SharedMap::create(&page_of(Path::new(path)), 1).unwrap();
    let state = Rc::new(Victim { clock: clock.clone(), page });
    let recorder = Recorder::black_box(path).turns(4096);
    let mut el = EventLoop::builder().clock(clock).record(recorder).build().unwrap();
    let (of_task, of_timer) = (state.clone(), state.clone());
    el.spawn(async move {
        loop {
            of_task.count();
            yield_now().await;
        }
    })
    .detach();
    el.call_every(Duration::from_nanos(50), move |_, ()| of_timer.count()).unwrap();
    fn again(el: &LoopHandle<()>, state: Rc<Victim>) {
        state.count();
        el.call_soon(move |el, ()| again(el, state));
    }
    again(&el, state);
    el.run().unwrap();
}

fn page_of(path: &Path) -> PathBuf {
    path.with_extension("page")
}

#[test]
fn r3_a_tape_survives_kills_at_random_times() {
    if let Ok(path) = std::env::var(VICTIM) {
        return be_killed(&path);
    }
    let path = path("kill");
    let (mut last_is_that, rounds) = (0, repetitions(20));
    for round in 0..rounds {
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
        let on_tape = callbacks(&tape).last().unwrap().at.as_nanos() as u64 + 1;
        let ran = ran_before(&path);
        // A turn is on the tape first, and on the page when its callback has begun.
        assert!(on_tape == ran || on_tape == ran + 1, "the tape has {on_tape}, {ran} ran");
        last_is_that += u32::from(on_tape == ran);
    }
    println!("{rounds} kills: the last record is the turn that ran in {last_is_that}");
    fs::remove_file(&path).unwrap();
    drop(fs::remove_file(before(&path)));
}

/// Returns the number of turns on the page of a victim, and removes the page.
fn ran_before(path: &Path) -> u64 {
    let page = page_of(path);
    let bytes = fs::read(&page).unwrap();
    fs::remove_file(page).unwrap();
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

/// Returns the number of kills: `usual`, or `MAINSPRING_TEST_KILLS`.
fn repetitions(usual: u32) -> u32 {
    let asked = std::env::var("MAINSPRING_TEST_KILLS").ok();
    asked.map_or(cases(usual), |asked| asked.parse().expect("a number of kills"))
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

const PRIVILEGED: &str = "MAINSPRING_TEST_PRIVILEGED_TAPE";

/// Builds loops in a process with the rights of another user. Prints what they have recorded.
fn be_privileged(path: &str) {
    let next_fd = |builder: EventLoopBuilder| {
        let _el = builder.build().unwrap();
        File::open("/dev/null").unwrap().as_raw_fd()
    };
    let ring = EventLoop::builder().record(Recorder::ring(64));
    let has_fd = next_fd(ring) != next_fd(EventLoop::builder());
    let file = EventLoop::builder().record(Recorder::black_box(path));
    let mut el = file.build_with(Vec::new()).unwrap();
    el.set_exception_handler(|_, reports, report| reports.push(report.error.chain().to_string()));
    el.call_soon(|_, _| {});
    el.run().unwrap();
    let (is_raised, reports, has_tape) = (is_privileged(), el.state(), el.tape().is_some());
    println!("raised {is_raised}, descriptor {has_fd}, tape {has_tape}, {reports:?}");
}

/// Only the superuser can create a program that runs with other rights than its user.
#[test]
fn r4_a_set_user_id_program_has_no_tape_that_others_can_read() {
    if let Ok(path) = std::env::var(PRIVILEGED) {
        return be_privileged(&path);
    }
    let (tape, program) = (path("privileged"), path("program"));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let may = chown(&program, Some(65_534), None).is_ok();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let name = "recordings::black_box::r4_a_set_user_id_program_has_no_tape_that_others_can_read";
    let mut command = Command::new(&program);
    command.args(["--exact", name, "--nocapture"]).env(PRIVILEGED, &tape);
    let output = loop {
        match command.output() {
            // A child of another test has a copy of the descriptor that wrote it.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::remove_file(&program).unwrap();
                return println!("skipped: no program runs in the temporary directory");
            }
            output => break output.unwrap(),
        }
    };
    fs::remove_file(&program).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if !may || text.contains("raised false") {
        _ = fs::remove_file(&tape);
        return println!("skipped: programs cannot have the rights of another user");
    }
    assert!(text.contains("raised true, descriptor false, tape false, "), "{text}");
    assert!(text.contains("a process with raised privileges does not record"), "{text}");
    assert!(!tape.exists());
}

/// A path that is a folder by mistake is not moved away.
#[test]
fn r4_a_folder_stays_where_it_is() {
    on_every_selector(|kind| {
        let path = path("folder");
        fs::create_dir(&path).unwrap();
        let mut el = recorded(kind, Recorder::black_box(&path), Vec::new());
        el.set_exception_handler(|_, reports, report| {
            reports.push(report.error.chain().to_string())
        });
        el.call_soon(|_, _| {});
        el.run().unwrap();
        let text = format!("{}: not a regular file", path.display());
        assert!(el.state()[0].contains(&text), "{:?}", el.state());
        assert!(path.is_dir() && !before(&path).exists());
        fs::remove_dir(&path).unwrap();
    });
}

/// The bytes that are read first are older than the last ones.
#[test]
fn r3_a_tape_is_consistent_while_it_is_written() {
    on_every_selector(|kind| {
        let path = path("live");
        let builder = EventLoop::builder().selector(kind); // Its time is real.
        let mut el = builder.record(Recorder::black_box(&path).turns(256)).build().unwrap();
        let own = path.clone();
        let reader = thread::spawn(move || {
            let (mut read, mut are_right, start) = (0, true, Instant::now());
            while read < 300 && are_right {
                assert!(start.elapsed() < Duration::from_secs(60), "no turns within a minute");
                let tape = Tape::open(&own).unwrap();
                let turns = tape.turns();
                are_right = turns.windows(2).all(|two| two[0].at <= two[1].at);
                read += u32::from(!turns.is_empty());
            }
            are_right
        });
        let ticks = async {
            while !reader.is_finished() {
                yield_now().await;
            }
        };
        el.run_until_complete(ticks).unwrap();
        assert!(reader.join().unwrap(), "an older turn has a later time");
        fs::remove_file(&path).unwrap();
    });
}

/// The age is less than the time since the turn was queued, and the tape has the time of day.
#[test]
fn r3_a_tape_has_the_age_of_its_last_turn() {
    let builder = || EventLoop::builder().record(Recorder::ring(64));
    let (created, before) = (Instant::now(), SystemTime::now());
    let mut el = builder().build_with(None).unwrap();
    let delay = Duration::from_millis(30);
    el.call_later(delay, move |el, seen| {
        let tape = el.tape().unwrap();
        *seen = Some((tape.age(), created.elapsed(), tape.started()));
    });
    el.run().unwrap();
    let (age, elapsed, started) = el.state().unwrap();
    assert!(age + delay <= elapsed + Duration::from_millis(1), "{age:?} of {elapsed:?}");
    let second = Duration::from_secs(1);
    assert!(started + second >= before && started <= SystemTime::now() + second);
}

/// A file that takes its time, and the time at which its first byte was read.
struct Slow<'a>(&'a [u8], Instant, Option<Duration>);

impl Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.2 {
            None => self.2 = Some(self.1.elapsed()),
            Some(_) => thread::sleep(Duration::from_millis(5)),
        }
        self.0.read(to)
    }
}

/// A turn did not continue while its tape was read.
#[test]
fn r3_the_age_does_not_include_the_reading() {
    let (path, created) = (path("slow"), Instant::now());
    let mut el = EventLoop::builder().record(Recorder::black_box(&path).turns(64)).build().unwrap();
    el.call_soon(|_, ()| {});
    el.run().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut file = Slow(&bytes, created, None);
    let tape = Tape::read(&mut file).unwrap();
    let read_at = tape.age() + tape.turns().last().unwrap().at;
    assert!(read_at <= file.2.unwrap() + Duration::from_millis(1), "{read_at:?}");
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
fn r4_a_file_that_is_not_a_tape_is_refused() {
    let path = path("garbage");
    for bytes in [&b""[..], b"mstape", &[0xff; 100_000]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(Tape::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    fs::remove_file(&path).unwrap();
}

/// `mainspring ps PID` tries each file that the process has mapped.
#[test]
fn r9_a_large_file_that_is_not_a_tape_is_not_read() {
    let mut file = io::repeat(7).take(1 << 20);
    assert_eq!(Tape::read(&mut file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(file.limit() > (1 << 20) - 64);
}

#[test]
fn r4_a_link_is_renamed_and_its_file_stays() {
    let (path, target) = (path("link"), path("link-target"));
    fs::write(&target, "another file").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let recorder = Recorder::black_box(&path).turns(64);
    drop(recorded(SelectorKind::available()[0], recorder, ()));
    assert!(fs::symlink_metadata(&path).unwrap().is_file() && before(&path).is_symlink());
    assert_eq!(fs::read(&target).unwrap(), b"another file");
    [&path, &before(&path), &target].into_iter().for_each(|path| fs::remove_file(path).unwrap());
}
