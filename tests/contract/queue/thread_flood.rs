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
const INBOX_BATCH: usize = 64;
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
struct FloodState {
    shared: Arc<Shared>,
    /// Number of messages of each thread that have run.
    flooded: [u64; 2],
    timers: u64,
    /// Deadline of the timer, and the first tick that began after it.
    due: Option<Instant>,
    overdue: Option<u64>,
    answers: u64,
}

impl FloodState {
    fn tick(&self) -> u64 {
        self.shared.tick.load(Ordering::SeqCst)
    }
}

/// Sends without pause. Each closure must run once and in order.
fn flood(remote: &Remote<FloodState>, shared: &Shared, thread: usize) -> u64 {
    for sent in 0.. {
        if shared.over.load(Ordering::Relaxed) {
            return sent;
        }
        while sent > shared.ran.load(Ordering::Relaxed) + AHEAD {
            thread::yield_now();
        }
        let counted = remote.call_soon(move |_, state: &mut FloodState| {
            assert_eq!(state.flooded[thread], sent, "out of order");
            state.flooded[thread] += 1;
        });
        counted.unwrap();
    }
    unreachable!("the range is endless")
}

/// Sends requests. Compares the tick of each answer with the tick in which the request was sent.
fn send_requests(mut peer: UnixStream, shared: &Shared) -> u64 {
    let mut sent = 0;
    while !shared.over.load(Ordering::Relaxed) {
        peer.write_all(&[1]).unwrap();
        let tick = shared.tick.load(Ordering::SeqCst);
        let mut answer = [0; 8];
        peer.read_exact(&mut answer).unwrap();
        let answered = u64::from_ne_bytes(answer);
        assert!(answered <= tick + 2, "requested in tick {tick}, answered in {answered}");
        sent += 1;
    }
    sent
}

/// Each run of the timer registers the next one.
fn run_timer(el: &LoopHandle<FloodState>, state: &mut FloodState) {
    let due = el.now() + PERIOD;
    state.due = Some(due);
    el.call_at(due, |el, state: &mut FloodState| {
        if let Some(since) = state.overdue.take() {
            assert!(state.tick() <= since + 2, "due in tick {since}, ran in {}", state.tick());
        }
        state.timers += 1;
        run_timer(el, state);
    });
}

fn begin_tick(el: &LoopHandle<FloodState>, state: &mut FloodState) {
    let tick = state.shared.tick.fetch_add(1, Ordering::SeqCst) + 1;
    state
        .shared
        .ran
        .store(*state.flooded.iter().min().expect("the array has two elements"), Ordering::Relaxed);
    if state.due.is_some_and(|due| due <= el.now()) {
        state.overdue.get_or_insert(tick);
    }
}

/// Runs ticks until `end`. Returns the duration of the longest tick.
fn tick_until_end(el: &mut EventLoop<FloodState>, end: Instant) -> Duration {
    let mut longest = Duration::ZERO;
    // A short test on a busy machine lasts until each part has run once.
    let idle =
        |state: &FloodState| state.timers == 0 || state.answers == 0 || state.flooded.contains(&0);
    while Instant::now() < end || idle(el.state()) {
        let began = Instant::now();
        let ran = el.tick(None).unwrap();
        assert!(ran <= INBOX_BATCH + OTHERS, "{ran} callbacks in one tick");
        longest = longest.max(began.elapsed());
    }
    longest
}

#[test]
fn q5_p39_a_flood_delays_neither_timers_nor_answers() {
    let seconds = env::var("MAINSPRING_SOAK").map_or(0.2, |seconds| seconds.parse().unwrap());
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind).inbox_batch(INBOX_BATCH);
        let mut el = builder.build_with(FloodState::default()).unwrap();
        let shared = el.state().shared.clone();
        el.on_prepare(begin_tick).unwrap();
        el.call_soon(run_timer);
        let (stream, peer) = UnixStream::pair().unwrap();
        el.add_reader(stream, |_, state: &mut FloodState, stream| {
            if stream.read(&mut [0])? == 0 {
                stream.cancel();
                return Ok(());
            }
            state.answers += 1;
            (&**stream).write_all(&state.tick().to_ne_bytes())?;
            Ok(())
        })
        .unwrap();
        let floods = [0, 1].map(|thread| {
            let (remote, shared) = (el.remote().background(), shared.clone());
            thread::spawn(move || flood(&remote, &shared, thread))
        });
        let over = shared.clone();
        let requests = thread::spawn(move || send_requests(peer, &over));
        let longest = tick_until_end(&mut el, Instant::now() + Duration::from_secs_f64(seconds));
        shared.over.store(true, Ordering::Relaxed);
        while !requests.is_finished() || !floods.iter().all(thread::JoinHandle::is_finished) {
            el.tick(Some(PERIOD)).unwrap();
        }
        let sent = floods.map(|flood| flood.join().unwrap());
        while el.state().flooded != sent {
            el.tick(Some(PERIOD)).unwrap();
        }
        let state = el.state();
        assert_eq!(requests.join().unwrap(), state.answers);
        let (tick, FloodState { timers, answers, .. }) = (state.tick(), state);
        println!("{tick} ticks, the longest {longest:?}; {timers} timers, {answers} answers");
        println!("sent by the threads: {sent:?}");
    });
}
