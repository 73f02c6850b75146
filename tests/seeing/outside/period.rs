//! Tables and lines of a period (docs/contract.md, R8).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Recorder, sleep};

use super::stuck::has_proc;
use super::{Temporary, output, program, texts};
use crate::support::process::alone;

/// Records timers on simulated time: `slow` from 1 to 2 s and from 3 to 6 s, `third` from 6 to 8 s,
/// and `early` and `late`, which wait for them, at 2 s and at 8 s.
fn record(path: &Temporary) {
    let clock = SimClock::new();
    let recorder = Recorder::black_box(&path.0).turns(64);
    let mut el = EventLoop::builder().clock(clock.clone()).record(recorder).build().unwrap();
    let timers = [
        ("slow", 1000, 1000),
        ("early", 1500, 0),
        ("slow", 3000, 3000),
        ("third", 5500, 2000),
        ("late", 5600, 0),
    ];
    for (name, due, time) in timers {
        let (clock, time) = (clock.clone(), Duration::from_millis(time));
        let timer = el.call_later(Duration::from_millis(due), move |_, _| clock.advance(time));
        assert!(el.set_name(timer, name));
    }
    el.run().unwrap();
}

/// Returns the columns of a place's line: turns, time since the end, total, mean, worst and share.
fn columns(table: &str, kind: &str, name: &str) -> Option<Vec<String>> {
    let line = table.lines().find(|line| line.starts_with(kind) && line.contains(name))?;
    let columns = line[kind.len()..].split_whitespace().take(6);
    Some(columns.map(str::to_owned).collect())
}

#[test]
fn r8_the_table_has_the_times_of_the_period() {
    let path = Temporary::new("period");
    record(&path);
    let all = output(&["ps", path.text()]);
    let row = |kind, name| columns(&all, kind, name).unwrap();
    assert_eq!(row("timer", "slow ("), ["2", "2.0s", "4.0s", "2.0s", "3.0s", "50.0%"]);
    assert_eq!(row("timer", "third ("), ["1", "now", "2.0s", "2.0s", "2.0s", "25.0%"]);
    assert_eq!(row("sleep", ""), ["2", "5.0s", "2.0s", "1.0s", "1.0s", "25.0%"]);
    assert!(all.lines().next().unwrap().ends_with(" turns in 8.0s"), "{all}");
    assert!(all.contains(" has ended; ") && all.contains("\nlast     "), "{all}");
    let order: Vec<_> = all.lines().skip(5).take(3).map(|line| &line[..5]).collect();
    assert_eq!(order, ["timer", "sleep", "timer"], "the longest sum first:\n{all}");
    for command in ["ps", "top"] {
        let last = output(&[command, path.text(), "--last", "2500ms"]);
        let row = |kind, name| columns(&last, kind, name);
        assert_eq!(
            row("timer", "slow (").unwrap(),
            ["1", "2.0s", "500.0ms", "500.0ms", "3.0s", "20.0%"]
        );
        assert_eq!((row("sleep", ""), row("timer", "early (")), (None, None));
        assert!(last.lines().next().unwrap().ends_with(" turns in 2.5s"), "{last}");
    }
    assert_eq!(output(&["top", path.text(), "--once"]), all, "the last ten seconds");
}

/// A period that begins before the tape is not longer than the tape.
#[test]
fn r8_a_period_before_the_tape_begins_with_the_tape() {
    let path = Temporary::new("overwritten");
    let recorder = Recorder::black_box(&path.0).turns(16);
    let mut el = EventLoop::builder().clock(SimClock::new()).record(recorder).build().unwrap();
    for seconds in 1..=20 {
        el.call_later(Duration::from_secs(seconds), |_, _| {});
    }
    el.run().unwrap();
    let all = output(&["ps", path.text()]);
    let first = all.lines().next().unwrap();
    assert!(first.contains(": 15 turns in ") && !first.ends_with(" 20.0s"), "{first}");
    assert_eq!(output(&["ps", path.text(), "--last", "19s"]), all);
}

#[test]
fn r8_blame_of_a_period_has_the_causes_before_it() {
    let path = Temporary::new("blamed");
    record(&path);
    let names = |text: &str| -> Vec<String> {
        let named = text.lines().map(|line| line.split("  timer ").nth(1).unwrap());
        named.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let all = output(&["blame", path.text()]);
    assert_eq!(names(&all), ["late", "early", "third"]);
    let last = output(&["blame", path.text(), "--last=500ms"]);
    assert_eq!(names(&last), ["late", "third"]);
    let millis = |line: &str| {
        let part = |at: std::ops::Range<usize>| line[at].parse::<u64>().unwrap();
        ((part(11..13) * 60 + part(14..16)) * 60 + part(17..19)) * 1000 + part(20..23)
    };
    let [late, early] = [0, 1].map(|index| millis(all.lines().nth(index).unwrap()));
    let day = 24 * 3600 * 1000;
    assert_eq!((late + day - early) % day, 6000, "the time of each turn: {all}");
    let late = last.lines().next().unwrap();
    assert!(late.contains("ran 2.4s late: 2.0s of it timer third ("), "{late}");
    assert!(late.contains("400.0ms timer slow ("), "{late}");
}

/// A process runs, but a copy of its tape is not the file that it writes.
#[test]
fn r7_a_copy_of_a_tape_belongs_to_no_process() {
    let (path, copy) = (Temporary::new("original"), Temporary::new("copy"));
    let recorder = Recorder::black_box(&path.0).turns(64);
    let mut el = EventLoop::builder().record(recorder).build().unwrap();
    let (from, to) = (path.0.clone(), copy.0.clone());
    el.call_later(Duration::from_millis(1), move |_, _| _ = std::fs::copy(from, to).unwrap());
    el.run().unwrap();
    let text = output(&["ps", copy.text()]);
    if std::path::Path::new("/proc/self/maps").exists() {
        assert!(output(&["ps", path.text()]).contains(" runs; "), "the process of the original");
        assert!(text.contains(" has ended; "), "{text}");
        let last = text.lines().find(|line| line.starts_with("last ")).unwrap();
        assert!(last.starts_with("last     timer tests/"), "{last}");
        assert!(last.ends_with(" UTC"), "a timer has no cause but its time: {last}");
    }
}

#[test]
fn r7_a_task_that_slept_runs_because_of_a_timer() {
    let (path, copy) = (Temporary::new("sleeper"), Temporary::new("sleeper-copy"));
    let recorder = Recorder::black_box(&path.0).turns(64);
    let mut el = EventLoop::builder().clock(SimClock::new()).record(recorder).build().unwrap();
    let (from, to) = (path.0.clone(), copy.0.clone());
    el.spawn(async move {
        sleep(Duration::from_secs(1)).await;
        std::fs::copy(from, to).unwrap();
    })
    .detach();
    el.run().unwrap();
    let text = output(&["ps", copy.text()]);
    let running = text.lines().nth(2).unwrap();
    assert!(running.contains(" task tests/"), "{text}");
    assert!(running.ends_with(" UTC, because of timer"), "{text}");
}

/// Places with the same time are in the order of their kinds and names.
#[test]
fn r8_top_has_forty_rows_of_the_last_ten_seconds() {
    let path = Temporary::new("rows");
    let recorder = Recorder::black_box(&path.0).turns(256);
    let mut el = EventLoop::builder().clock(SimClock::new()).record(recorder).build().unwrap();
    for seconds in 1..=45 {
        let timer = el.call_later(Duration::from_secs(seconds), |_, _| {});
        assert!(el.set_name(timer, &format!("{seconds}")));
    }
    el.run().unwrap();
    let rows = |text: &str| text.lines().skip(5).count();
    let (top, all) = (output(&["top", path.text(), "--last", "1m"]), output(&["ps", path.text()]));
    assert_eq!((rows(&top), rows(&all)), (40, 47), "the loop and its sleep are places, too: {top}");
    let top = output(&["top", path.text()]);
    assert!(top.lines().next().unwrap().ends_with(" turns in 10.0s"), "{top}");
}

/// In its own process, which has no tapes of other tests.
#[test]
fn r8_top_shares_its_rows_among_tapes() {
    if !has_proc() {
        return;
    }
    alone("outside::period::r8_top_shares_its_rows_among_tapes", || {
        let both = [(); 2].map(|()| {
            let builder = EventLoop::builder().clock(SimClock::new());
            let mut el = builder.record(Recorder::ring(256)).build().unwrap();
            for second in 1..=30 {
                let timer = el.call_later(Duration::from_secs(second), |_, _| {});
                assert!(el.set_name(timer, &format!("{second}")));
            }
            el.run().unwrap();
            el
        });
        let text = output(&["top", &std::process::id().to_string(), "--last", "1000m"]);
        let is_row =
            |line: &&str| ["timer ", "sleep ", "loop "].iter().any(|it| line.starts_with(it));
        assert_eq!(text.lines().filter(is_row).count(), 40, "{text}");
        drop(both);
    });
}

/// Its own process could be looked into, but not by another user.
#[test]
fn r7_a_process_of_another_user_cannot_be_checked() {
    if !rustix::process::getuid().is_root() {
        return println!("skipped: only root can run a program as another user");
    }
    let path = Temporary::new("foreign");
    let recorder = Recorder::black_box(&path.0).turns(64);
    let mut el = EventLoop::builder().record(recorder).build().unwrap();
    el.call_soon(|_, _| {});
    el.run().unwrap();
    fs::set_permissions(&path.0, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = program(&["ps", path.text()]);
    // The user may be forbidden to reach the program, too.
    let Ok(ending) = command.uid(65534).gid(65534).output() else { return };
    let (code, out, err) = texts(ending);
    assert!(code == 0 && out.contains(" cannot be checked; "), "{out}{err}");
}

/// In its own process, which has no tapes of other tests.
#[test]
fn r7_a_tape_in_shared_memory_is_found_by_its_process() {
    if !Path::new("/dev/shm").is_dir() || !Path::new("/proc/self/maps").exists() {
        return println!("skipped: there is no /dev/shm");
    }
    alone("outside::period::r7_a_tape_in_shared_memory_is_found_by_its_process", || {
        let name = format!("/dev/shm/mainspring-outside-{}", std::process::id());
        let path = Temporary(name.into());
        let recorder = Recorder::black_box(&path.0).turns(64);
        let Ok(file) = fs::File::create(&path.0) else { return println!("skipped: no permission") };
        drop((file, fs::remove_file(&path.0)));
        let el = EventLoop::builder().record(recorder).build().unwrap();
        let text = output(&["ps", &std::process::id().to_string()]);
        assert!(text.contains(&format!("tape     {}: ", path.text())), "{text}");
        drop(el);
    });
}
