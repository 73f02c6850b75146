//! Two threads flood the inbox while a timer runs and a peer is answered (P39; docs/contract.md,
//! Q5). Delays are counted in ticks, so a busy machine does not matter.
//!
//! `MAINSPRING_SOAK=20 cargo test --release --test contract thread_flood -- --nocapture` runs for
//! 20 s on each selector and prints the longest tick.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mainspring::{EventLoop, LoopHandle, Remote};

use crate::support::on_every_selector;

/// Number of messages taken from the inbox in a tick.
const BITE: usize = 64;
/// Other callbacks of a tick: the timer and the reader.
const OTHERS: usize = 2;
const PERIOD: Duration = Duration::from_millis(1);
/// Maximum number of messages that a thread is ahead of the loop; bounds the memory.
const AHEAD: u64 = 100_000;

/// State that the threads share with the loop.
#[derive(Debug, Default)]
struct Shared {
    tick: AtomicU64,
    ran: AtomicU64,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Soak {
    shared: Arc<Shared>,
    /// Number of messages of each thread that have run.
    flooded: [u64; 2],
    timers: u64,
    /// Deadline of the timer, and the first tick that began after it.
    due: Option<Instant>,
    overdue: Option<u64>,
    answers: u64,
}

impl Soak {
    fn tick(&self) -> u64 {
        self.shared.tick.load(Ordering::SeqCst)
    }
}

/// Sends without pause. Each closure must run once and in order.
fn flood(remote: &Remote<Soak>, shared: &Shared, thread: usize) -> u64 {
    for sent in 0.. {
        if shared.over.load(Ordering::Relaxed) {
            return sent;
        }
        while sent > shared.ran.load(Ordering::Relaxed) + AHEAD {
            thread::yield_now();
        }
        let counted = remote.call_soon(move |_, soak: &mut Soak| {
            assert_eq!(soak.flooded[thread], sent, "out of order");
            soak.flooded[thread] += 1;
        });
        counted.unwrap();
    }
    unreachable!("the range is endless")
}

/// Sends requests. Compares the tick of each answer with the tick in which the request was sent.
fn ask(mut peer: UnixStream, shared: &Shared) -> u64 {
    let mut asked = 0;
    while !shared.over.load(Ordering::Relaxed) {
        peer.write_all(&[1]).unwrap();
        let tick = shared.tick.load(Ordering::SeqCst);
        let mut answer = [0; 8];
        peer.read_exact(&mut answer).unwrap();
        let answered = u64::from_ne_bytes(answer);
        assert!(answered <= tick + 2, "requested in tick {tick}, answered in {answered}");
        asked += 1;
    }
    asked
}

/// Each run of the timer registers the next one.
fn run_timer(el: &LoopHandle<Soak>, soak: &mut Soak) {
    let due = el.now() + PERIOD;
    soak.due = Some(due);
    el.call_at(due, |el, soak: &mut Soak| {
        if let Some(since) = soak.overdue.take() {
            assert!(soak.tick() <= since + 2, "due in tick {since}, ran in {}", soak.tick());
        }
        soak.timers += 1;
        run_timer(el, soak);
    });
}

fn begin_tick(el: &LoopHandle<Soak>, soak: &mut Soak) {
    let tick = soak.shared.tick.fetch_add(1, Ordering::SeqCst) + 1;
    soak.shared
        .ran
        .store(*soak.flooded.iter().min().expect("the array has two elements"), Ordering::Relaxed);
    if soak.due.is_some_and(|due| due <= el.now()) {
        soak.overdue.get_or_insert(tick);
    }
}

/// Runs ticks until `end`. Returns the duration of the longest tick.
fn turn_until(el: &mut EventLoop<Soak>, end: Instant) -> Duration {
    let mut longest = Duration::ZERO;
    // A short test on a busy machine lasts until each part has run once.
    let idle = |soak: &Soak| soak.timers == 0 || soak.answers == 0 || soak.flooded.contains(&0);
    while Instant::now() < end || idle(el.state()) {
        let began = Instant::now();
        let ran = el.tick(None).unwrap();
        assert!(ran <= BITE + OTHERS, "{ran} callbacks in one tick");
        longest = longest.max(began.elapsed());
    }
    longest
}

#[test]
fn q5_p39_a_flood_delays_neither_timers_nor_answers() {
    let seconds = env::var("MAINSPRING_SOAK").map_or(0.2, |seconds| seconds.parse().unwrap());
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind).inbox_batch(BITE);
        let mut el = builder.build_with(Soak::default()).unwrap();
        let shared = el.state().shared.clone();
        el.on_prepare(begin_tick).unwrap();
        el.call_soon(run_timer);
        let (stream, peer) = UnixStream::pair().unwrap();
        el.add_reader(stream, |_, soak: &mut Soak, stream| {
            if stream.read(&mut [0])? == 0 {
                stream.cancel();
                return Ok(());
            }
            soak.answers += 1;
            (&**stream).write_all(&soak.tick().to_ne_bytes())?;
            Ok(())
        })
        .unwrap();
        let floods = [0, 1].map(|thread| {
            let (remote, shared) = (el.remote().background(), shared.clone());
            thread::spawn(move || flood(&remote, &shared, thread))
        });
        let asks = shared.clone();
        let asking = thread::spawn(move || ask(peer, &asks));
        let longest = turn_until(&mut el, Instant::now() + Duration::from_secs_f64(seconds));
        shared.over.store(true, Ordering::Relaxed);
        while !asking.is_finished() || !floods.iter().all(thread::JoinHandle::is_finished) {
            el.tick(Some(PERIOD)).unwrap();
        }
        let sent = floods.map(|flood| flood.join().unwrap());
        while el.state().flooded != sent {
            el.tick(Some(PERIOD)).unwrap();
        }
        let soak = el.state();
        assert_eq!(asking.join().unwrap(), soak.answers);
        let (tick, Soak { timers, answers, .. }) = (soak.tick(), soak);
        println!("{tick} ticks, the longest {longest:?}; {timers} timers, {answers} answers");
        println!("sent by the threads: {sent:?}");
    });
}
