//! A blocking call in a callback (docs/contract.md, G10).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Error, LoopHandle, Result, sleep, spawn_blocking};

use super::ON_TIME;
use super::stage::{Journal, MS, brake, heartbeat, play};

fn misbehaves(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let disk = Disk::new(el);
    let clock = clock.clone();
    let request = el.call_later(15 * MS, move |_, _| {
        disk.read(&clock); // blocks for 100 ms
    });
    el.set_name(request, "request");
    Ok(())
}

fn cured(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let disk = Disk::new(el);
    let request = el.spawn(async move {
        sleep(15 * MS).await;
        spawn_blocking(move || disk.read_on_a_thread()).await?;
        Ok::<(), Error>(())
    });
    request.named("request").detach();
    Ok(())
}

#[test]
fn g10_a_blocking_call_stops_the_loop() {
    let [written, cured] = play("blocking_call", 160 * MS, misbehaves, cured);
    assert_eq!(written.journal.beats, [10, 115, 120, 130, 140, 150]);
    assert_eq!(cured.journal.beats, ON_TIME);
    assert!(!written.is_on_time("heartbeat") && cured.is_on_time("heartbeat"));
    assert_eq!((written.end("request"), cured.end("request")), (115, 115));
}

/// A disk that takes 100 ms to answer, from 15 ms on.
struct Disk {
    home: ThreadId,
    answers: Receiver<()>,
    is_answered: Arc<AtomicBool>,
    brake: Arc<AtomicBool>,
}

const ANSWERED_AT: Duration = Duration::from_millis(115);

impl Disk {
    fn new(el: &LoopHandle<Journal>) -> Disk {
        let (sender, answers): (Sender<()>, Receiver<()>) = channel();
        let is_answered = Arc::new(AtomicBool::new(false));
        let (brake, is_over) = (brake(), is_answered.clone());
        let held = brake.clone();
        let answer = el.call_later(ANSWERED_AT, move |_, _| {
            if !is_over.load(SeqCst) {
                // Until the loop has the result of the other thread.
                held.store(true, SeqCst);
                sender.send(()).expect("the job waits for it");
            }
        });
        el.set_background(answer);
        Disk { home: thread::current().id(), answers, is_answered, brake }
    }

    fn read(&self, clock: &SimClock) {
        assert_eq!(thread::current().id(), self.home);
        self.is_answered.store(true, SeqCst);
        clock.advance(ANSWERED_AT.saturating_sub(clock.elapsed()));
    }

    /// Returns a value that lets the clock continue when the loop has it.
    fn read_on_a_thread(&self) -> Answer {
        assert_ne!(thread::current().id(), self.home);
        self.answers.recv().expect("the timer sends it");
        Answer { brake: self.brake.clone() }
    }
}

struct Answer {
    brake: Arc<AtomicBool>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.brake.store(false, SeqCst);
    }
}
