//! The stage on which the programs run.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{
    Clock, Diagnosis, EventLoop, Flag, FlagKind, LoopHandle, PanicPolicy, Recorder, Result,
    SelectorKind, Tape,
};

use crate::pictures::files::{ROOT, assert_file, wrapped};
use crate::pictures::lanes::{Chart, Lane};

pub const MS: Duration = Duration::from_millis(1);
/// More ticks than a diagnosis needs to find a loop that spins.
const TICKS_OF_A_DIAGNOSIS: usize = 1200;

/// The state of all programs: what a run leaves behind.
#[derive(Debug, Default)]
pub struct Journal {
    /// Times of the heartbeat, in milliseconds.
    pub beats: Vec<u128>,
    /// Results and reports.
    pub lines: Vec<String>,
}

/// A program of the guide, which registers its callbacks and tasks.
pub type Program = fn(&LoopHandle<Journal>, &SimClock) -> Result<()>;

/// A finished run.
pub struct Run {
    pub journal: Journal,
    tape: Tape,
    /// Names of tasks that had not ended.
    alive: Vec<String>,
    flags: Vec<Flag>,
}

impl Run {
    fn of(program: Program, length: Duration, kind: SelectorKind) -> Run {
        let clock = SimClock::new();
        let held = Arc::new(AtomicBool::new(false));
        HELD.set(Some(held.clone()));
        let clocks = HeldClock { clock: clock.clone(), held };
        let builder = EventLoop::builder().selector(kind).clock(clocks);
        let builder = builder.record(Recorder::ring(4096)).panic_policy(PanicPolicy::Report);
        let mut el = builder.build_with(Journal::default()).unwrap();
        el.set_exception_handler(|_, journal: &mut Journal, report| {
            journal.lines.push(report.to_string());
        });
        program(&el, &clock).unwrap();
        // Before anything that is due at the end.
        el.call_later(length - MS, |el, _| el.stop());
        el.run_forever().unwrap();
        let snapshot = el.snapshot();
        let names = snapshot.entries().iter().filter_map(|entry| entry.name());
        let alive = names.map(str::to_owned).collect();
        let (tape, journal) = (el.tape().unwrap(), std::mem::take(el.state_mut()));
        Run { tape, journal, alive, flags: flags(&mut el) }
    }

    /// Returns the beginning and the end of each turn of a name, in milliseconds.
    pub fn turns(&self, name: &str) -> Vec<(u128, u128)> {
        let start = format!("{name} (");
        let turns = self.tape.turns().iter().filter(|turn| turn.place.starts_with(&start));
        let times = turns.map(|turn| (turn.at, turn.at + turn.lasted.unwrap_or_default()));
        times.map(|(begin, end)| (begin.as_millis(), end.as_millis())).collect()
    }

    /// Returns true if no turn of a name began after it was due.
    pub fn is_on_time(&self, name: &str) -> bool {
        let start = format!("{name} (");
        let mut turns = self.tape.turns().iter().filter(|turn| turn.place.starts_with(&start));
        turns.all(|turn| turn.lateness() == Some(Duration::ZERO))
    }

    /// Returns the end of the last turn of a name, in milliseconds.
    pub fn end(&self, name: &str) -> u128 {
        self.turns(name).last().expect("a turn").1
    }

    /// Returns true if a registration of this name exists at the end.
    pub fn is_alive(&self, name: &str) -> bool {
        self.alive.iter().any(|it| it == name)
    }
}

/// Runs both programs on every selector, and compares their picture with the one of the guide.
/// Returns the last run of each.
pub fn play(name: &str, length: Duration, misbehaves: Program, cured: Program) -> [Run; 2] {
    let text = fs::read_to_string(Path::new(ROOT).join(page(name))).unwrap();
    let heading = text.lines().find_map(|line| line.strip_prefix("# ")).expect("a heading");
    let title = format!("{}: as written, and cured", heading.replace('`', ""));
    let mut last = None;
    for &kind in SelectorKind::available() {
        let runs = [misbehaves, cured].map(|program| Run::of(program, length, kind));
        let [written, cured] = &runs;
        assert_file(&page(name), &with_flags(name, &written.flags));
        assert_eq!(cured.flags, [], "{name}, cured");
        let lanes = runs.each_ref().map(|run| Lane::of_tape(&run.tape, length, &run.alive));
        let titles = ["as written", "cured"].map(str::to_owned);
        let lanes = titles.into_iter().zip(lanes).collect();
        let chart = Chart { title: title.clone(), length, mark: mark(length), runs: lanes };
        assert_file(&format!("src/guide/async_anti_patterns/{name}.svg"), &chart.svg());
        last = Some(runs);
    }
    last.expect("each system has a selector")
}

/// Returns the red flags of a loop, and those of one that spins: these are found in the ticks after
/// a first diagnosis.
fn flags(el: &mut EventLoop<Journal>) -> Vec<Flag> {
    let is_spinning = |kind| matches!(kind, FlagKind::BusyLoop | FlagKind::UndrainedDescriptor);
    // The cost of a clock is a fact of the machine.
    let mut found: Vec<Flag> = of_kind(&el.diagnose(), |kind| kind != FlagKind::SlowClock);
    for _ in 0..TICKS_OF_A_DIAGNOSIS {
        el.tick(Some(10 * MS)).unwrap();
    }
    found.extend(of_kind(&el.diagnose(), is_spinning));
    found
}

fn of_kind(diagnosis: &Diagnosis, is_wanted: impl Fn(FlagKind) -> bool) -> Vec<Flag> {
    diagnosis.flags().iter().filter(|flag| is_wanted(flag.kind())).cloned().collect()
}

/// Returns a line with the descriptor of the page.
fn without_fd(line: &str) -> String {
    let Some((before, after)) = line.split_once(": fd ") else { return line.to_owned() };
    format!("{before}: fd 9{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

fn page(name: &str) -> String {
    format!("src/guide/async_anti_patterns/{name}.md")
}

/// Returns the time between two marks of a picture: a fifth of its length, or a quarter.
fn mark(length: Duration) -> Duration {
    let fifth = length / 5;
    if fifth.as_millis().is_multiple_of(10) { fifth } else { length / 4 }
}

/// Returns the page with the red flags in its block `diagnosis`. A page without that block is about
/// a program that has none.
fn with_flags(name: &str, flags: &[Flag]) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(page(name))).unwrap();
    let lines: Vec<String> = flags.iter().map(|flag| without_fd(&flag.to_string())).collect();
    match filled(&text, "diagnosis", &lines) {
        Some(filled) if !flags.is_empty() => filled,
        Some(_) => panic!("{name} has no red flag"),
        None => {
            assert_eq!(flags, [], "{name}");
            text
        }
    }
}

/// Compares the block `shown` of a page with what a run has shown.
pub fn assert_shown(name: &str, lines: &[String]) {
    let text = fs::read_to_string(Path::new(ROOT).join(page(name))).unwrap();
    assert_file(&page(name), &filled(&text, "shown", lines).expect("the page has the block"));
}

/// Returns the page with these lines in its block of this name, if it has one.
fn filled(page: &str, block: &str, lines: &[String]) -> Option<String> {
    let begin = format!("```{block}\n");
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once("```\n").expect("the end of the block");
    let lines: String = lines.iter().map(|line| wrapped(line)).collect();
    Some(format!("{before}{begin}{lines}```\n{after}"))
}

/// Stands for `time` of computing, in which nothing else runs on this thread.
pub fn work(clock: &SimClock, time: Duration) {
    clock.advance(time);
}

/// A callback each 10 ms that notes when it ran. It shows whether the loop is late.
pub fn heartbeat(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    let clock = clock.clone();
    let beat = el.call_every(10 * MS, move |_, journal: &mut Journal| {
        journal.beats.push(clock.elapsed().as_millis());
    })?;
    el.set_name(beat, "heartbeat");
    Ok(())
}

thread_local! {
    /// The brake of the clock that runs on this thread.
    static HELD: Cell<Option<Arc<AtomicBool>>> = const { Cell::new(None) };
}

/// A simulated clock that stands still, and lets the loop sleep, while it is held: until another
/// thread has finished.
#[derive(Debug)]
struct HeldClock {
    clock: SimClock,
    held: Arc<AtomicBool>,
}

impl Clock for HeldClock {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        match self.held.load(SeqCst) && wanted != Some(Duration::ZERO) {
            true => None,
            false => self.clock.max_wait(wanted),
        }
    }

    fn on_timeout(&self, wanted: Option<Duration>) {
        self.clock.on_timeout(wanted);
    }
}

/// Returns the brake of the clock of this thread.
pub fn brake() -> Arc<AtomicBool> {
    let held = HELD.take().expect("a run has set it");
    HELD.set(Some(held.clone()));
    held
}

/// A value that several callbacks of a program count in.
pub type Count = Rc<Cell<usize>>;
