//! One callback that does all of the work that is there (docs/contract.md, G10).

use mainspring::testing::SimClock;
use mainspring::{LoopHandle, Result, sleep, yield_now};

use super::stage::{Journal, MS, heartbeat, play, work};

const ORDERS: usize = 100;

fn misbehaves(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let clock = clock.clone();
    let report = el.call_later(15 * MS, move |_, _| {
        for order in 0..ORDERS {
            add_to_report(order, &clock);
        }
    });
    el.set_name(report, "report");
    Ok(())
}

fn cured(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let clock = clock.clone();
    let report = el.spawn(async move {
        sleep(15 * MS).await;
        for order in 0..ORDERS {
            add_to_report(order, &clock);
            if order % 2 == 1 {
                yield_now().await; // others run
            }
        }
    });
    report.named("report").detach();
    Ok(())
}

#[test]
fn g10_a_giant_batch_stops_the_loop() {
    let [written, cured] = play("giant_batch", 160 * MS, misbehaves, cured);
    assert_eq!(written.turns("report"), [(15, 115)]);
    assert_eq!(written.journal.beats, [10, 115, 120, 130, 140, 150]);
    let late: Vec<u128> = cured.journal.beats.iter().map(|beat| beat % 10).collect();
    assert!(late.iter().all(|late| *late <= 3) && late.len() == 15, "{late:?}");
    assert_eq!(cured.end("report"), 115);
}

/// Stands for 1 ms of computing.
fn add_to_report(_: usize, clock: &SimClock) {
    work(clock, MS);
}
