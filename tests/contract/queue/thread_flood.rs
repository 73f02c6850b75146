//! P39: two threads flood the loop as fast as they can, for as long as one likes, while a timer
//! runs and a peer is answered. Delays are counted in ticks, which no busy machine makes longer.
//!
//! `MAINSPRING_SOAK=20 cargo test --release --test contract soak -- --nocapture` takes 20 s for each
//! selector, and tells what the longest tick was.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mainspring::{EventLoop, LoopHandle, Remote};

use crate::support::on_every_selector;

/// As many are taken out of the inbox in a tick.
const BITE: usize = 64;
/// Callbacks of a tick besides: the timer, and the reader.
const OTHERS: usize = 2;
const PERIOD: Duration = Duration::from_millis(1);
/// A flood may be this far ahead of the loop, since memory has an end.
const AHEAD: u64 = 100_000;

/// What the threads know of the loop.
#[derive(Debug, Default)]
struct Shared {
    tick: AtomicU64,
    ran: AtomicU64,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Soak {
    shared: Arc<Shared>,
    /// How many of each thread have run.
    flooded: [u64; 2],
    timers: u64,
    /// When the timer is due, and the tick that began after that.
    due: Option<Instant>,
    overdue: Option<u64>,
    answers: u64,
}

impl Soak {
    fn tick(&self) -> u64 {
        self.shared.tick.load(Ordering::SeqCst)
    }
}

/// Sends without a pause; what it sends must run once and in order.
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
    unreachable!("the range has no end")
}

/// Asks, and compares the tick of the answer with the one that the loop was in when it was asked.
fn ask(mut peer: UnixStream, shared: &Shared) -> u64 {
    let mut asked = 0;
    while !shared.over.load(Ordering::Relaxed) {
        peer.write_all(&[1]).unwrap();
        let tick = shared.tick.load(Ordering::SeqCst);
        let mut answer = [0; 8];
        peer.read_exact(&mut answer).unwrap();
        let answered = u64::from_ne_bytes(answer);
        assert!(answered <= tick + 2, "asked in tick {tick}, answered in {answered}");
        asked += 1;
    }
    asked
}

/// Each timer makes the next one.
fn run_timer(el: &LoopHandle<Soak>, soak: &mut Soak) {
    let due = el.now() + PERIOD;
    soak.due = Some(due);
    el.call_at(due, |el, soak: &mut Soak| {
        if let Some(since) = soak.overdue.take() {
            assert!(soak.tick() <= since + 2, "overdue in {since}, run in {}", soak.tick());
        }
        soak.timers += 1;
        run_timer(el, soak);
    });
}

fn begin_tick(el: &LoopHandle<Soak>, soak: &mut Soak) {
    let tick = soak.shared.tick.fetch_add(1, Ordering::SeqCst) + 1;
    soak.shared.ran.store(*soak.flooded.iter().min().expect("two"), Ordering::Relaxed);
    if soak.due.is_some_and(|due| due <= el.now()) {
        soak.overdue.get_or_insert(tick);
    }
}

/// Turns the loop for so long; its longest tick.
fn turn_until(el: &mut EventLoop<Soak>, end: Instant) -> Duration {
    let mut longest = Duration::ZERO;
    // A short soak on a busy machine lasts until each has had its turn.
    let idle = |soak: &Soak| soak.timers == 0 || soak.answers == 0 || soak.flooded.contains(&0);
    while Instant::now() < end || idle(el.state()) {
        let began = Instant::now();
        let ran = el.tick(None).unwrap();
        assert!(ran <= BITE + OTHERS, "{ran} callbacks in a tick");
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
